"""What a person's latest visits were like, and how a candidate compares with what was chosen there. No score is made.

A visit is a UTC day. Everything follows from the history's own entries, which keep an item's first and last
time: what a visit brought is what was touched last (or first) on its day.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from recommender.events import DAY_MS
from recommender.model.items import ITEM_FEATURES, ItemMatrix
from recommender.retrieval.candidates import UserBatch

__all__ = ["VISIT_FEATURES", "VISIT_PAIR_FEATURES", "visit_columns", "visit_pair_columns"]

Integers = npt.NDArray[np.int64]
Columns = dict[str, npt.NDArray[np.floating]]
Floats = npt.NDArray[np.float64]

VISIT_FEATURES = ("user_visit_items", "user_visit_new_share", "user_recent_new_share", "user_recent_popularity")
VISIT_PAIR_FEATURES = ("popularity_difference", "age_difference")
RECENT_VISITS = 3  # purchase days that count as recent
POPULARITY = ITEM_FEATURES.index("item_popularity")


def visit_columns(batch: UserBatch, items: ItemMatrix) -> Columns:
    """One value a user: log(1 + items last touched on the latest day), which share of them was new to the person,
    the same share and the mean log popularity over the latest purchase days; nan without a history."""
    last_day, first_day = batch.history("last_ms") // DAY_MS, batch.history("first_ms") // DAY_MS
    latest = batch.users.integers("last_ms") // DAY_MS
    in_latest, in_recent = last_day == latest[batch.history_user], _is_recent(batch)
    is_new_then = first_day == last_day
    return {
        "user_visit_items": np.log1p(_count(batch, in_latest)),
        "user_visit_new_share": _mean(batch, in_latest, is_new_then),
        "user_recent_new_share": _mean(batch, in_recent, is_new_then),
        "user_recent_popularity": _mean(batch, in_recent, items.fixed[batch.history_item, POPULARITY]),
    }


def visit_pair_columns(
    batch: UserBatch, items: ItemMatrix, user: Integers, item: Integers, popularity: npt.NDArray[np.floating]
) -> Columns:
    """How much more popular a candidate is than what the person chose of late (`popularity`, one a user), and how much
    longer it has been listed (log days); nan without a history."""
    age = np.log1p(_days_listed(items, batch.history_item, batch.contexts.at_ms[batch.history_user]))
    usual_age = _mean(batch, _is_recent(batch), age)
    own_age = np.log1p(_days_listed(items, item, batch.contexts.at_ms[user]))
    return {
        "popularity_difference": items.fixed[item, POPULARITY] - popularity[user],
        "age_difference": own_age - usual_age[user],
    }


def _is_recent(batch: UserBatch) -> npt.NDArray[np.bool_]:
    """Whether each history entry was touched last on or after the third latest purchase day, or the latest day of all
    where nothing was ever bought."""
    offsets, days = batch.users.offsets("purchase_days"), batch.users.flat_integers("purchase_days")
    since = batch.users.integers("last_ms") // DAY_MS
    known = np.diff(offsets)
    bought = np.flatnonzero(known > 0)
    since[bought] = days[offsets[bought] + np.minimum(known[bought], RECENT_VISITS) - 1]
    return np.asarray(batch.history("last_ms") // DAY_MS >= since[batch.history_user])


def _days_listed(items: ItemMatrix, item: Integers, at: Integers) -> Floats:
    return np.where(items.listed_ms[item] > 0, np.maximum(at - items.listed_ms[item], 0) / DAY_MS, np.nan)


def _count(batch: UserBatch, chosen: npt.NDArray[np.bool_]) -> Floats:
    return np.bincount(batch.history_user[chosen], minlength=len(batch)).astype(np.float64)


def _mean(batch: UserBatch, chosen: npt.NDArray[np.bool_], values: npt.NDArray[np.generic]) -> Floats:
    """Mean over each user's chosen entries that have a value, added up in their stored order; nan where none has."""
    value = values.astype(np.float64)
    kept = chosen & ~np.isnan(value)
    total = np.bincount(batch.history_user[kept], weights=value[kept], minlength=len(batch))
    count = _count(batch, kept)
    mean = np.full(len(batch), np.nan)
    np.divide(total, count, out=mean, where=count > 0)
    return mean
