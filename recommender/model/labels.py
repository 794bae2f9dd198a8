"""What counts as a good answer: graded (user, item) pairs from the events of a window. No features here."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recommender.events import DAY_MS, strength_of
from recommender.objectives import MAX_SPEND_GRADES, Objective
from recommender.states import ItemTable

__all__ = ["Relevant", "event_grades", "graded_pairs", "relevant_items"]

Integers = npt.NDArray[np.int64]
NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Relevant:
    """Pairs sorted by (user_row, item_index), each once, with grade and money spent. `unknown` counts, for each
    user row, relevant items that the item table does not hold: nobody could have listed them, yet they are missed."""

    user_row: Integers
    item_index: Integers
    grade: Integers
    unknown: Integers
    spend_micros: Integers

    @property
    def counts(self) -> npt.NDArray[np.int64]:
        """Relevant items of each user row, unknown ones included."""
        return np.asarray(np.bincount(self.user_row, minlength=len(self.unknown)) + self.unknown)

    def take(self, kept: npt.NDArray[np.bool_]) -> Relevant:
        """Only the pairs of a mask; `unknown` stays."""
        return Relevant(
            self.user_row[kept], self.item_index[kept], self.grade[kept], self.unknown, self.spend_micros[kept]
        )

    def labels(self, user_row: npt.NDArray[np.int64], item_index: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Grade of each (user row, item) asked for; 0 where it is not relevant."""
        if not len(self.grade):
            return np.zeros(len(item_index), dtype=np.float32)
        width = int(max(self.item_index.max(), item_index.max(initial=0))) + 1
        keys = self.user_row * width + self.item_index
        wanted = user_row * width + item_index
        at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        return np.where(keys[at] == wanted, self.grade[at], 0).astype(np.float32)


def event_grades(events: pa.Table, objective: Objective, until_ms: int | Integers) -> Integers:
    """Grade of each event for an objective; `until_ms` (for all, or for each) ends the time in which a person can be
    seen to come back. Reads user_id, event_type, occurred_at, quantity and price_micros."""
    kinds, code = _coded(events["event_type"])
    by_kind = np.asarray([objective.grade_of(kind) for kind in kinds], dtype=np.int64)
    grades = np.append(by_kind, 0)[code]
    if objective.kpi == "revenue":
        micros = _spend_micros(events)
        # The exponent of a float is the whole part of its logarithm, exactly, on every machine.
        doublings = np.frexp(1.0 + micros / 1e6 / objective.spend_unit)[1] - 1
        grades = grades + np.where(grades > 0, np.minimum(doublings, MAX_SPEND_GRADES), 0)
    if objective.kpi == "retention":
        is_back = _next_visit_ms(events) < until_ms
        grades = grades + np.where((grades > 0) & is_back, objective.return_grades, 0)
    return np.asarray(grades, dtype=np.int64)


def graded_pairs(events: pa.Table, start_ms: int, end_ms: int, objective: Objective) -> pa.Table:
    """user_id, item_id, grade, spend_micros: the best grade of each pair and its purchases' sum, among events that
    occurred in [start, end). Nothing outside the window is looked at, a return included."""
    low, high = (pa.scalar(moment, pa.timestamp("ms")) for moment in (start_ms, end_ms))
    occurred = events["occurred_at"]
    columns = ["user_id", "item_id", "event_type", "occurred_at", "quantity", "price_micros"]
    part = events.select(columns).filter(pc.and_(pc.greater_equal(occurred, low), pc.less(occurred, high)))
    part = part.append_column("grade", pa.array(event_grades(part, objective, end_ms)))
    part = part.append_column("spend_micros", pa.array(_spend_micros(part)))
    part = part.filter(pc.and_(pc.is_valid(part["item_id"]), pc.greater(part["grade"], 0)))
    sums = [("grade", "max"), ("spend_micros", "sum")]
    grouped = part.group_by(["user_id", "item_id"], use_threads=False).aggregate(sums)
    names = {"grade_max": "grade", "spend_micros_sum": "spend_micros"}
    return grouped.rename_columns(names).select(["user_id", "item_id", "grade", "spend_micros"])


def _coded(column: pa.ChunkedArray) -> tuple[list[str], Integers]:
    """Distinct values, and the place of each row's among them (−1 for null)."""
    distinct = pc.unique(column).drop_null()
    place = pc.index_in(column.combine_chunks(), value_set=distinct)
    return distinct.to_pylist(), pc.fill_null(place, -1).to_numpy(zero_copy_only=False).astype(np.int64)


def _spend_micros(events: pa.Table) -> Integers:
    """quantity × price of purchases, 0 of other events; a missing quantity counts 1, a missing price 0."""
    quantity = pc.fill_null(events["quantity"], 1).to_numpy()
    price = pc.fill_null(events["price_micros"], 0).to_numpy()
    is_purchase = pc.equal(events["event_type"], "purchase").to_numpy()
    return np.where(is_purchase, np.maximum(quantity * price, 0), 0).astype(np.int64)


def _next_visit_ms(events: pa.Table) -> Integers:
    """For each event its user's first positive event on a later UTC day, in milliseconds; NEVER without one."""
    kinds, kind = _coded(events["event_type"])
    is_positive = np.append(np.asarray([strength_of(name) > 0 for name in kinds], dtype=np.bool_), False)[kind]
    _, user = _coded(events["user_id"])
    at = events["occurred_at"].cast(pa.int64()).to_numpy()
    rows = np.flatnonzero(is_positive)
    rows = rows[np.lexsort((at[rows], user[rows]))]
    found = np.full(len(at), NEVER, dtype=np.int64)
    if not len(rows):
        return found
    owner, day = user[rows], at[rows] // DAY_MS
    opens = np.append(True, (owner[1:] != owner[:-1]) | (day[1:] != day[:-1]))  # the first event of a user's day
    starts = np.flatnonzero(opens)
    has_next = np.append(owner[starts][1:] == owner[starts][:-1], False)
    following = np.where(has_next, at[rows[np.append(starts[1:], 0)]], NEVER)
    found[rows] = following[np.cumsum(opens) - 1]
    return found


def relevant_items(pairs: pa.Table, user_ids: list[str], items: ItemTable) -> Relevant:
    """Rows of `graded_pairs` in the index spaces of some users and an item table; other users are dropped."""
    row = pc.index_in(pairs["user_id"].combine_chunks(), value_set=pa.array(user_ids, pa.string()))
    user = pc.fill_null(row, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    item = items.positions(pairs["item_id"].combine_chunks())
    unknown = np.bincount(user[(user >= 0) & (item < 0)], minlength=len(user_ids))
    known = np.flatnonzero((user >= 0) & (item >= 0))
    order = known[np.lexsort((item[known], user[known]))]
    grade, spend = pairs["grade"].to_numpy()[order], pairs["spend_micros"].to_numpy()[order]
    return Relevant(user[order], item[order], grade, unknown, spend)
