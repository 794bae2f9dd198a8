"""What a person's latest visits were like, and how a candidate compares with what was chosen there. No score is made.

A visit is a UTC day. Everything follows from the history's own entries, which keep an item's first and last
time: what a visit brought is what was touched last (or first) on its day.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from recommender.events import DAY_MS
from recommender.model.items import ITEM_FEATURES, ItemMatrix
from recommender.model.quantities import days_between, ratio
from recommender.retrieval.candidates import UserBatch

__all__ = ["VISIT_FEATURES", "VISIT_PAIR_FEATURES", "LatestVisits"]

Integers = npt.NDArray[np.int64]
Columns = dict[str, npt.NDArray[np.floating]]
Floats = npt.NDArray[np.float64]

VISIT_FEATURES = ("user_visit_items", "user_visit_new_share", "user_recent_new_share", "user_recent_popularity")
VISIT_PAIR_FEATURES = ("popularity_difference", "age_difference")
RECENT_VISITS = 3  # purchase days that count as recent
POPULARITY = ITEM_FEATURES.index("item_popularity")


class LatestVisits:
    """The latest visits of everybody in a batch."""

    def __init__(self, batch: UserBatch, items: ItemMatrix) -> None:
        self._batch, self._items = batch, items
        self._last_day = batch.history("last_ms") // DAY_MS
        self._latest = batch.users.integers("last_ms") // DAY_MS
        self._is_recent = self._recent()
        self._popularity = self._mean(items.fixed[batch.history_item, POPULARITY])

    def columns(self) -> Columns:
        """One value a user: log(1 + items last touched on the latest day), which share of them was new to the person,
        the same share and the mean log popularity over the latest purchase days; nan without a history."""
        batch, recent = self._batch, self._is_recent
        latest = self._last_day == self._latest[batch.history_user]
        is_new_then = batch.history("first_ms") // DAY_MS == self._last_day
        in_latest = _count(batch, latest)
        return {
            "user_visit_items": np.log1p(in_latest),
            "user_visit_new_share": ratio(_count(batch, latest & is_new_then), in_latest),
            "user_recent_new_share": ratio(_count(batch, recent & is_new_then), _count(batch, recent)),
            "user_recent_popularity": self._popularity,
        }

    def pair_columns(self, user: Integers, item: Integers, days_listed: Floats) -> Columns:
        """How much more popular a candidate is than what the person chose of late, and how much longer it has been
        listed (log days; `days_listed` of each candidate, nan where unknown); nan without a history."""
        batch, items = self._batch, self._items
        age = np.log1p(days_between(items.listed_ms[batch.history_item], batch.contexts.at_ms[batch.history_user]))
        return {
            "popularity_difference": items.fixed[item, POPULARITY] - self._popularity[user],
            "age_difference": np.log1p(days_listed) - self._mean(age)[user],
        }

    def _recent(self) -> npt.NDArray[np.bool_]:
        """Whether each history entry was touched last on or after the third latest purchase day, or the latest day of
        all where nothing was ever bought."""
        batch, since = self._batch, self._latest.copy()
        offsets, days = batch.users.offsets("purchase_days"), batch.users.flat_integers("purchase_days")
        known = offsets[1:] - offsets[:-1]
        bought = (known > 0).nonzero()[0]
        since[bought] = days[offsets[bought] + np.minimum(known[bought], RECENT_VISITS) - 1]
        return np.asarray(self._last_day >= since[batch.history_user])

    def _mean(self, values: npt.NDArray[np.generic]) -> Floats:
        """Mean over each user's recent entries that have a value, added up in their stored order; nan without one."""
        batch, value = self._batch, values.astype(np.float64)
        kept = self._is_recent & ~np.isnan(value)
        total = np.bincount(batch.history_user[kept], weights=value[kept], minlength=len(batch))
        return ratio(total, _count(batch, kept))


def _count(batch: UserBatch, chosen: npt.NDArray[np.bool_]) -> Floats:
    """How many of each user's history entries are chosen."""
    if len(batch) == 1:
        return np.array([np.count_nonzero(chosen)], dtype=np.float64)
    return np.bincount(batch.history_user[chosen], minlength=len(batch)).astype(np.float64)
