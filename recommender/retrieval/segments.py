"""What is popular among people like this one: in their country, on their device, in the categories of their taste."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from scipy import sparse

from recommender.retrieval.candidates import UserBatch
from recommender.retrieval.panels import Panel
from recommender.retrieval.seeds import Seeds, bounds_of
from recommender.retrieval.storage import matrix_arrays, matrix_from_arrays
from recommender.states import ItemTable

__all__ = [
    "CategoryConfig",
    "PopularCategoryGenerator",
    "PopularSegmentGenerator",
    "SegmentConfig",
    "fit_popular_category",
    "fit_popular_segment",
]

Arrays = Mapping[str, npt.NDArray[np.generic]]


@dataclass(frozen=True)
class SegmentConfig:
    """`prior`: a segment's own shares weigh as much as the shop's once it has this much decayed strength."""

    prior: float = 200.0


@dataclass(frozen=True)
class PopularSegmentGenerator:
    """Share of an item among what a segment chooses, shrunk to its share in the shop; mean over a person's segments.

    (p_s(i) + prior × p(i) / p) / (p_s + prior), p decayed strength. `shares` is segments × items, its rows
    named `<kind>:<segment>` by `names`. The device and channel of the moment go before the last known ones.
    """

    names: npt.NDArray[np.str_]
    shares: sparse.csr_matrix
    config: SegmentConfig = SegmentConfig()
    name: str = "popular_segment"

    def scores(self, batch: UserBatch) -> Panel:
        if len(batch) == 1:
            return self._of_one(batch).follow(self.shares)
        users, at = batch.users, batch.contexts
        known = {
            "country": users.texts("country"),
            "device": _first_known(at.device, users.texts("device")),
            "channel": _first_known(at.channel, users.texts("channel")),
        }
        place = np.stack([self._rows(kind, texts) for kind, texts in known.items()], axis=1)
        user, kind = np.nonzero(place >= 0)
        count = (place >= 0).sum(axis=1)
        starts = np.concatenate([[0], np.cumsum(count)])
        weights = (1.0 / count[user]).astype(np.float32)
        return Seeds(place[user, kind], weights, starts, len(self.names)).follow(self.shares)

    def _of_one(self, batch: UserBatch) -> Seeds:
        """The segments of a batch of one, without its columns."""
        users, at = batch.users, batch.contexts
        country, device, channel = (str(users.texts(name)[0]) for name in ("country", "device", "channel"))
        keys = f"country:{country}", f"device:{at.device[0] or device}", f"channel:{at.channel[0] or channel}"
        own = [self._row[key] for key in keys if key in self._row]
        weights = np.full(len(own), 1.0 / max(len(own), 1), dtype=np.float32)
        return Seeds(np.array(own, dtype=np.int64), weights, np.array([0, len(own)]), len(self.names))

    def _rows(self, kind: str, segments: pa.Array | Sequence[str]) -> npt.NDArray[np.int64]:
        """Row of each person's segment; −1 for none, or one too small to have a list."""
        if isinstance(segments, list):
            return np.array([self._row.get(f"{kind}:{segment}", -1) for segment in segments], dtype=np.int64)
        found = pc.index_in(pc.binary_join_element_wise(pa.scalar(f"{kind}:"), segments, ""), value_set=self._names)
        return np.asarray(pc.fill_null(found, -1).to_numpy(zero_copy_only=False), dtype=np.int64)

    @cached_property
    def _names(self) -> pa.Array:
        return pa.array(self.names.tolist(), pa.string())

    @cached_property
    def _row(self) -> Mapping[str, int]:
        return {name: row for row, name in enumerate(self.names.tolist())}

    def arrays(self) -> Arrays:
        return {"segment_names": self.names, **matrix_arrays("segment_shares", self.shares)}

    @classmethod
    def from_arrays(cls, arrays: Arrays, config: SegmentConfig) -> PopularSegmentGenerator:
        return cls(arrays["segment_names"].astype(np.str_), matrix_from_arrays("segment_shares", arrays), config)


def fit_popular_segment(segments: pa.Table, items: ItemTable, config: SegmentConfig) -> PopularSegmentGenerator:
    """From rows of SEGMENT_SCHEMA at one cut; items that are not in the table are left out."""
    keys = pc.binary_join_element_wise(segments["segment_kind"], segments["segment"], ":").combine_chunks()
    names = pc.array_sort_indices(pc.unique(keys))
    ordered = pc.unique(keys).take(names)
    row = pc.index_in(keys, value_set=ordered).to_numpy(zero_copy_only=False).astype(np.int64)
    item = items.positions(segments["item_id"].combine_chunks())
    popularity = items.integers("popularity_micros") / 1e6
    usual = popularity / max(popularity.sum(), 1e-12)
    own, total = (segments[name].to_numpy() / 1e6 for name in ("popularity_micros", "segment_micros"))
    share = (own + config.prior * usual[item]) / (total + config.prior)
    known = item >= 0
    parts = (share[known].astype(np.float32), (row[known], item[known]))
    matrix = sparse.csr_matrix(parts, shape=(len(ordered), len(items)))
    return PopularSegmentGenerator(np.asarray(ordered.to_pylist(), dtype=np.str_), matrix, config)


@dataclass(frozen=True)
class CategoryConfig:
    """`half_life_days` of a history item in the taste; `items_per_category`: the most popular that it proposes."""

    half_life_days: float = 30.0
    items_per_category: int = 100


@dataclass(frozen=True)
class PopularCategoryGenerator:
    """P(category | person) × P(item | category): decayed shares of the history, and of the category's choices."""

    categories: npt.NDArray[np.int32]  # of each item, −1 where unknown
    shares: sparse.csr_matrix  # categories × items
    config: CategoryConfig = CategoryConfig()
    name: str = "popular_category"

    def scores(self, batch: UserBatch) -> Panel:
        code = self.categories[batch.history_item]
        known = code >= 0
        share = batch.taste(self.config.half_life_days, known).weights[known]
        starts = bounds_of(batch.history_user[known], len(batch))
        return Seeds(code[known], share, starts, self.shares.shape[0]).follow(self.shares)

    def arrays(self) -> Arrays:
        return {}  # derived from the item table, which a bundle holds


def fit_popular_category(items: ItemTable, config: CategoryConfig) -> PopularCategoryGenerator:
    """From the item table's categories and decayed popularity."""
    code = items.codes("category")
    popularity = items.integers("popularity_micros").astype(np.float64)
    width = int(code.max(initial=-1)) + 1
    having = np.flatnonzero((code >= 0) & (popularity > 0))
    total = np.bincount(code[having], weights=popularity[having], minlength=width)
    order = having[np.lexsort((having, -popularity[having], code[having]))]
    place = np.arange(len(order)) - np.searchsorted(code[order], code[order])
    best = order[place < config.items_per_category]
    parts = ((popularity[best] / total[code[best]]).astype(np.float32), (code[best], best))
    return PopularCategoryGenerator(code, sparse.csr_matrix(parts, shape=(width, len(items))), config)


def _first_known(now: Sequence[str], last: pa.Array | Sequence[str]) -> pa.Array | Sequence[str]:
    if isinstance(last, list):
        return [first or second for first, second in zip(now, last, strict=True)]
    current = pa.array(now, pa.string())
    return pc.if_else(pc.equal(current, ""), last, current)
