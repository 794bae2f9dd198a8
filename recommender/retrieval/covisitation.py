"""What goes with what: item pairs counted in SQL, followed from a user's history and from the present session."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from scipy import sparse

from recommender.retrieval.candidates import UserBatch
from recommender.retrieval.panels import Panel, SharedPanel, SharedScores
from recommender.retrieval.seeds import Seeds, bounds_of, seed_room
from recommender.retrieval.storage import matrix_arrays, matrix_from_arrays
from recommender.retrieval.weights import weigh_session
from recommender.states import ItemTable

__all__ = [
    "PAIR_KINDS",
    "BoughtTogetherConfig",
    "BoughtTogetherGenerator",
    "CovisitationConfig",
    "CovisitationGenerator",
    "PairMatrices",
    "SessionGenerator",
]

PAIR_KINDS = ("together", "next", "view_buy", "buy_buy")


@dataclass(frozen=True)
class PairMatrices:
    """Items × items for each kind of pair, kept once and shared by the generators that follow them."""

    by_kind: Mapping[str, sparse.csr_matrix]
    n_items: int

    @classmethod
    def read(cls, pairs: pa.Table, items: ItemTable) -> PairMatrices:
        """From rows of PAIR_SCHEMA; pairs with an item that is not in the table are left out."""
        return cls(
            {kind: _matrix(pairs.filter(pc.equal(pairs["pair_kind"], kind)), items) for kind in PAIR_KINDS}, len(items)
        )

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[np.generic]], items: ItemTable) -> PairMatrices:
        return cls({kind: matrix_from_arrays(f"pairs_{kind}", arrays) for kind in PAIR_KINDS}, len(items))

    def arrays(self) -> Mapping[str, npt.NDArray[np.generic]]:
        parts = (matrix_arrays(f"pairs_{kind}", self.by_kind[kind]) for kind in PAIR_KINDS)
        return {name: array for part in parts for name, array in part.items()}

    def of(self, *kinds: str) -> sparse.csr_matrix:
        """The kinds of a pair added up, in the order named."""
        total = sparse.csr_matrix((self.n_items, self.n_items), dtype=np.float32)
        for kind in kinds:
            total = total + self.by_kind[kind]
        total.sort_indices()
        return total


@dataclass(frozen=True)
class CovisitationConfig:
    """`half_life_days` of a history item as a seed; `session_half_life_days` of a recent event."""

    half_life_days: float = 30.0
    session_half_life_days: float = 1.0


@dataclass(frozen=True)
class CovisitationGenerator:
    """Neighbours of the whole history by every kind: Σ over history items of 2^(−age / half-life) × pair weight."""

    pairs: PairMatrices
    config: CovisitationConfig = CovisitationConfig()
    name: str = "covisitation"

    def scores(self, batch: UserBatch) -> Panel:
        return batch.seeds(batch.history_fade(self.config.half_life_days)).follow(self._neighbours)

    @cached_property
    def _neighbours(self) -> sparse.csr_matrix:
        return self.pairs.of(*PAIR_KINDS)

    def arrays(self) -> Mapping[str, npt.NDArray[np.generic]]:
        return self.pairs.arrays()


@dataclass(frozen=True)
class SessionGenerator:
    """Neighbours of what is on the mind now, the latest events and the context's items: together with them, or next.

    A recent event's seed weighs 2^(−days before the newest one / half-life), so the last basket
    counts whether it was an hour or a month ago; a context item weighs 1.
    """

    pairs: PairMatrices
    config: CovisitationConfig = CovisitationConfig()
    name: str = "session"

    def scores(self, batch: UserBatch) -> Panel:
        return self._seeds(batch).follow(self._neighbours)

    @cached_property
    def _neighbours(self) -> sparse.csr_matrix:
        return self.pairs.of("together", "next")

    def arrays(self) -> Mapping[str, npt.NDArray[np.generic]]:
        return {}  # the pairs are kept once, by CovisitationGenerator

    def _seeds(self, batch: UserBatch) -> Seeds:
        shown = batch.context_items[1]
        seeds, weights, bounds = seed_room(len(batch), len(batch.recent_item) + len(shown))
        weigh_session(
            batch.recent_offsets,
            batch.recent_item,
            batch.recent_ms,
            batch.recent_is_skip,
            batch.context_offsets,
            shown,
            self.config.session_half_life_days,
            seeds,
            weights,
            bounds,
        )
        return Seeds(seeds[: bounds[-1]], weights[: bounds[-1]], bounds, len(batch.items))


@dataclass(frozen=True)
class BoughtTogetherConfig:
    """Nothing to set: the mart decides which neighbours are kept."""


@dataclass(frozen=True)
class BoughtTogetherGenerator:
    """What is bought in one basket with the context's items; what goes together with them where people only buy.

    Without context items (no product page, no cart) it has nothing to say.
    """

    pairs: PairMatrices
    config: BoughtTogetherConfig = BoughtTogetherConfig()
    name: str = "bought_together"

    def scores(self, batch: UserBatch) -> Panel:
        owner, shown = batch.context_items
        if not len(shown):
            return SharedPanel(self._silence, len(batch))
        known = shown >= 0
        starts = bounds_of(owner[known], len(batch))
        weights = np.ones(len(owner), dtype=np.float32)[known]
        return Seeds(shown[known], weights, starts, len(batch.items)).follow(self._neighbours)

    @cached_property
    def _silence(self) -> SharedScores:
        return SharedScores(np.zeros(self.pairs.n_items, dtype=np.float32))

    @cached_property
    def _neighbours(self) -> sparse.csr_matrix:
        return self.pairs.of("buy_buy" if self.pairs.by_kind["buy_buy"].nnz else "together")

    def arrays(self) -> Mapping[str, npt.NDArray[np.generic]]:
        return {}  # the pairs are kept once, by CovisitationGenerator


def _matrix(pairs: pa.Table, items: ItemTable) -> sparse.csr_matrix:
    first = items.positions(pairs["item_id"].combine_chunks())
    second = items.positions(pairs["other_item_id"].combine_chunks())
    weight = pairs["weight_micros"].to_numpy() / 1e6
    known = np.flatnonzero((first >= 0) & (second >= 0))
    shape = (len(items), len(items))
    matrix = sparse.csr_matrix((weight[known].astype(np.float32), (first[known], second[known])), shape=shape)
    matrix.sort_indices()
    return matrix
