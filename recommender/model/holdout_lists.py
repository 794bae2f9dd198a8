"""The lists of every system for the users of a holdout: rankers', simple systems', each generator's alone.

All rankers score the same candidates of one retriever. Nothing is measured here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from recommender.model.baselines import baselines
from recommender.model.candidate_recall import Proposals
from recommender.model.holdout import DEPTH, Holdout, Lists
from recommender.model.ranker import Ranker
from recommender.model.scorer import RankingModel
from recommender.model.truth import ANY, Truth
from recommender.retrieval.candidates import Candidates, UserBatch
from recommender.retrieval.retriever import Retriever

__all__ = ["KindLists", "holdout_lists", "ranked_lists"]

USERS_AT_A_TIME = 2_000  # about 250 candidates × 60 features × 4 bytes × 2,000 = 120 MB


@dataclass(frozen=True)
class KindLists:
    """Of one kind ("repeat" or "novel"): each system's lists, each generator's alone, and who proposed what."""

    systems: Mapping[str, Lists]
    families: Mapping[str, Lists]
    proposals: Proposals
    is_finite: bool


def holdout_lists(
    holdout: Holdout,
    retriever: Retriever,
    rankers: Mapping[str, Ranker],
    kind: str,
    tell: Callable[[int, int], None] | None = None,
) -> KindLists:
    """Retrieve once, rank with every ranker; bounded memory. `rankers` must want the columns of `retriever`."""
    truth, parts, starts = holdout.truths[kind][ANY], [], range(0, len(holdout), USERS_AT_A_TIME)
    for start in starts:
        if tell:
            tell(start, len(holdout))
        batch = holdout.batch.slice(start, min(USERS_AT_A_TIME, len(holdout) - start))
        parts.append(_lists_of(batch, retriever, rankers, kind == "novel", _slice(truth, start, len(batch))))
    return KindLists(
        {name: _joined([part.systems[name] for part in parts], starts) for name in parts[0].systems},
        {name: _joined([part.families[name] for part in parts], starts) for name in parts[0].families},
        Proposals.concatenate([part.proposals for part in parts]),
        all(part.is_finite for part in parts),
    )


def ranked_lists(model: RankingModel, batch: UserBatch, novel: bool) -> Lists:
    """One model's lists for any number of users, in bounded memory."""
    parts, starts = [], range(0, len(batch), USERS_AT_A_TIME)
    for start in starts:
        part = batch.slice(start, min(USERS_AT_A_TIME, len(batch) - start))
        candidates, _, scores = model.score_batch(part, novel=novel)
        parts.append(Lists.best(candidates.user_row, candidates.item_index, scores))
    return _joined(parts, starts)


def _lists_of(
    batch: UserBatch, retriever: Retriever, rankers: Mapping[str, Ranker], novel: bool, truth: Truth
) -> KindLists:
    first, *others = rankers
    candidates, features, scores = RankingModel(rankers[first], retriever).score_batch(batch, novel=novel)
    scored = {first: scores} | {name: rankers[name].predict(features) for name in others}
    user = candidates.user_row
    systems = {name: Lists.best(user, candidates.item_index, found) for name, found in scored.items()}
    for generator in baselines(batch.items):
        simple = Retriever(batch.items, (generator,)).retrieve_batch(batch, DEPTH, novel=novel)
        systems[generator.name] = Lists.best(simple.user_row, simple.item_index, simple.retrieval_scores[:, 0])
    families = {name: _alone(candidates, place) for place, name in enumerate(candidates.generators)}
    finite = all(bool(np.isfinite(found).all()) for found in scored.values())
    return KindLists(systems, families, Proposals.of(candidates, truth), finite)


def _alone(candidates: Candidates, place: int) -> Lists:
    """One generator's own best: it proposed them, and its score orders them."""
    own = np.flatnonzero(candidates.proposers >> place & 1)
    return Lists.best(candidates.user_row[own], candidates.item_index[own], candidates.retrieval_scores[own, place])


def _slice(truth: Truth, start: int, length: int) -> Truth:
    low, high = np.searchsorted(truth.user_row, [start, start + length])
    return Truth(truth.user_row[low:high] - start, truth.item_index[low:high], truth.gain[low:high], length)


def _joined(parts: Sequence[Lists], starts: Sequence[int]) -> Lists:
    user = [part.user_row + start for part, start in zip(parts, starts, strict=True)]
    item, rank = [part.item_index for part in parts], [part.rank for part in parts]
    return Lists(np.concatenate(user), np.concatenate(item), np.concatenate(rank))
