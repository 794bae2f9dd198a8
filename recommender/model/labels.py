"""What counts as a good answer: graded (user, item) pairs from the events of a window. No features here."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recommender.events import strength_of
from recommender.states import ItemTable

__all__ = ["GradeConfig", "Relevant", "graded_pairs", "relevant_items"]


@dataclass(frozen=True)
class GradeConfig:
    """`grades` of event types that matter most; any other type with positive strength gets `other`."""

    grades: tuple[tuple[str, int], ...] = (("purchase", 3), ("add_to_cart", 2))
    other: int = 1

    def of(self, event_type: str) -> int:
        """Grade of a type: 0 when it says nothing positive."""
        return dict(self.grades).get(event_type, self.other) if strength_of(event_type) > 0 else 0


@dataclass(frozen=True)
class Relevant:
    """Pairs sorted by (user_row, item_index), each once. `unknown` counts, for each user row, relevant
    items that the item table does not hold: nobody could have listed them, yet they are missed."""

    user_row: npt.NDArray[np.int64]
    item_index: npt.NDArray[np.int64]
    grade: npt.NDArray[np.int64]
    unknown: npt.NDArray[np.int64]

    @property
    def counts(self) -> npt.NDArray[np.int64]:
        """Relevant items of each user row, unknown ones included."""
        return np.asarray(np.bincount(self.user_row, minlength=len(self.unknown)) + self.unknown)

    def labels(self, user_row: npt.NDArray[np.int64], item_index: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Grade of each (user row, item) asked for; 0 where it is not relevant."""
        if not len(self.grade):
            return np.zeros(len(item_index), dtype=np.float32)
        width = int(max(self.item_index.max(), item_index.max(initial=0))) + 1
        keys = self.user_row * width + self.item_index
        wanted = user_row * width + item_index
        at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        return np.where(keys[at] == wanted, self.grade[at], 0).astype(np.float32)


def graded_pairs(events: pa.Table, start_ms: int, end_ms: int, config: GradeConfig) -> pa.Table:
    """user_id, item_id, grade: the highest grade of each pair among events that occurred in [start, end)."""
    low, high = (pa.scalar(moment, pa.timestamp("ms")) for moment in (start_ms, end_ms))
    occurred = events["occurred_at"]
    inside = pc.and_(pc.greater_equal(occurred, low), pc.less(occurred, high))
    part = events.select(["user_id", "item_id", "event_type"]).filter(pc.and_(inside, pc.is_valid(events["item_id"])))
    types = pc.unique(part["event_type"]).to_pylist()
    grades = pa.array([config.of(name) for name in types], pa.int64())
    grade = grades.take(pc.index_in(part["event_type"].combine_chunks(), value_set=pa.array(types, pa.string())))
    part = part.append_column("grade", grade).filter(pc.greater(grade, 0))
    grouped = part.group_by(["user_id", "item_id"], use_threads=False).aggregate([("grade", "max")])
    return grouped.rename_columns({"grade_max": "grade"}).select(["user_id", "item_id", "grade"])


def relevant_items(pairs: pa.Table, user_ids: list[str], items: ItemTable) -> Relevant:
    """Rows of `graded_pairs` in the index spaces of some users and an item table; other users are dropped."""
    row = pc.index_in(pairs["user_id"].combine_chunks(), value_set=pa.array(user_ids, pa.string()))
    user = pc.fill_null(row, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    item = items.positions(pairs["item_id"].combine_chunks())
    unknown = np.bincount(user[(user >= 0) & (item < 0)], minlength=len(user_ids))
    known = np.flatnonzero((user >= 0) & (item >= 0))
    order = known[np.lexsort((item[known], user[known]))]
    return Relevant(user[order], item[order], pairs["grade"].to_numpy()[order], unknown)
