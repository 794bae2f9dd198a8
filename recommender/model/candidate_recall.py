"""What retrieval lets the ranker choose from: how much of the truth was proposed, and by whom. No ranking here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recommender.model.metrics import Interval, intervals
from recommender.model.truth import Truth
from recommender.retrieval.candidates import Candidates

__all__ = ["CandidateFigures", "Proposals", "candidate_figures"]

Integers = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Proposals:
    """`pair_proposers` int64, one a pair of the truth: bit g set when generator g proposed it, 0 when nobody did;
    `counts` int64 (n_users, 1 + n_generators): candidates of each user in all, then by generator."""

    names: tuple[str, ...]
    pair_proposers: Integers
    counts: Integers

    @classmethod
    def of(cls, candidates: Candidates, truth: Truth) -> Proposals:
        """Candidates of all of the truth's users."""
        width = int(max(truth.item_index.max(initial=0), candidates.item_index.max(initial=0))) + 1
        user = candidates.user_row
        keys, wanted = user * width + candidates.item_index, truth.user_row * width + truth.item_index
        at = np.minimum(np.searchsorted(keys, wanted), max(len(keys) - 1, 0))
        found = keys[at] == wanted if len(keys) else np.zeros(len(wanted), dtype=np.bool_)
        proposers = np.where(found, candidates.proposers[at], 0) if len(keys) else np.zeros(len(wanted), dtype=np.int64)
        bits = [np.ones(len(user), dtype=np.bool_)]
        bits += [(candidates.proposers >> place & 1).astype(np.bool_) for place in range(len(candidates.generators))]
        counts = np.column_stack([np.bincount(user[bit], minlength=truth.n_users) for bit in bits])
        return cls(candidates.generators, proposers, counts)

    @classmethod
    def concatenate(cls, parts: Sequence[Proposals]) -> Proposals:
        """Those of consecutive users."""
        pairs = np.concatenate([part.pair_proposers for part in parts])
        return cls(parts[0].names, pairs, np.concatenate([part.counts for part in parts]))


@dataclass(frozen=True)
class CandidateFigures:
    """Recall of the candidates over users: `union` of all generators, each `alone`, and the union `without` it.

    `marginal` is the paired difference union − without: what would be lost with the generator. `counts`: mean
    candidates a user, "all" or by generator.
    """

    union: Interval
    alone: Mapping[str, Interval]
    without: Mapping[str, Interval]
    marginal: Mapping[str, Interval]
    counts: Mapping[str, float]


def candidate_figures(proposals: Proposals, truth: Truth, seed: int, draws: int) -> CandidateFigures:
    """Recall of what was proposed for users with something to find."""
    bits = [np.int64(1 << place) for place in range(len(proposals.names))]

    def recall(found: npt.NDArray[np.bool_]) -> Values:
        counts = truth.counts
        hits = np.bincount(truth.user_row, weights=found, minlength=truth.n_users)
        return np.asarray(np.divide(hits, counts, out=np.full(truth.n_users, np.nan), where=counts > 0))

    union = recall(proposals.pair_proposers != 0)
    alone = [recall((proposals.pair_proposers & bit) != 0) for bit in bits]
    without = [recall((proposals.pair_proposers & ~bit) != 0) for bit in bits]
    columns = [union, *alone, *without, *(union - other for other in without)]
    found = intervals(np.column_stack(columns), seed, draws)
    width = len(bits)
    by_name = [dict(zip(proposals.names, found[1 + width * place :], strict=False)) for place in range(3)]
    means = dict(zip(("all", *proposals.names), proposals.counts.mean(axis=0).tolist(), strict=True))
    return CandidateFigures(found[0], by_name[0], by_name[1], by_name[2], means)
