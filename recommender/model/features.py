"""The one assembler: user states, items, candidates and a moment become the model's matrix, in training and in serving.

Every value depends on one user, one item and the moment alone, never on the other users of a batch
or on the other candidates: sums run over a user's own entries in their stored order. So a row
assembled alone has the same bits as in a batch of thousands. Nothing is scored here.
"""

from __future__ import annotations

import hashlib
import math
import zlib
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache

import numpy as np
import numpy.typing as npt

from recommender.events import DAY_MS
from recommender.model.items import ITEM_FEATURES, ItemMatrix
from recommender.model.latest_visits import VISIT_FEATURES, VISIT_PAIR_FEATURES, LatestVisits
from recommender.model.quantities import days_between, ratio
from recommender.retrieval.candidates import Candidates, UserBatch
from recommender.retrieval.seeds import owners_of
from recommender.states import Contexts

__all__ = ["assemble", "feature_groups", "feature_names", "feature_version"]

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Columns = dict[str, npt.NDArray[np.floating]]

USER_FEATURES = (
    "user_events",
    "user_purchases",
    "user_items",
    "user_skips",
    "user_days_since_last",
    "user_days_since_first",
    "user_purchase_days",
    "user_purchase_gap",
    "user_due_ratio",
    "user_items_per_purchase_day",
    "user_spend_per_purchase",
    "user_repeat_share",
)
MOMENT_FEATURES = ("item_age_days", "item_idle_days")
PAIR_FEATURES = (
    "pair_events",
    "pair_purchases",
    "pair_strength",
    "pair_share",
    "pair_days_since_last",
    "pair_days_since_first",
    "pair_gap_days",
    "pair_due_ratio",
    "pair_events_per_day",
    "pair_days_before_last_visit",
    "pair_visits_since_last",
    "pair_visits_since_first",
    "pair_events_per_visit",
    "pair_recency_rank",
    "pair_is_in_last_visit",
    "pair_recent_events",
    "pair_recent_skips",
)
UNMET = np.array([0] * 4 + [np.nan] * 8 + [0, np.nan, 0, 0, 0], dtype=np.float32)  # of an item without history
AFFINITY_FEATURES = ("category_share", "brand_share", "price_distance", "price_difference")
# The moment itself. The same for all candidates of a slate, so trees can use it only together with what tells items
# apart. Retrospective slates all lie at their cut (one hour, one placement, no device), where a tree finds nothing to
# split: what the hour or the device changes is learnt from served slates alone, as they logged it.
CONTEXT_FEATURES = (
    "context_items",
    "moment_hour",
    "moment_weekday",
    "moment_placement",
    "moment_device",
    "moment_channel",
)


def feature_groups(generators: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The columns of each group, in the order of the matrix; the retrieval columns follow the generators'."""
    retrieval = tuple(f"retrieval_{name}" for name in generators)
    relative = tuple(f"retrieval_{name}_relative" for name in generators)
    return {
        "user": (*USER_FEATURES, *VISIT_FEATURES),
        "item": (*ITEM_FEATURES, *MOMENT_FEATURES),
        "pair": PAIR_FEATURES,
        "affinity": (*AFFINITY_FEATURES, *VISIT_PAIR_FEATURES),
        "context": CONTEXT_FEATURES,
        "retrieval": (*retrieval, *relative),
    }


def feature_names(generators: Sequence[str]) -> tuple[str, ...]:
    """Columns of the matrix, in order."""
    return tuple(name for group in feature_groups(generators).values() for name in group)


def feature_version(names: Sequence[str]) -> str:
    """Twelve hex digits that change when a column is added, dropped, renamed, moved or redefined."""
    return hashlib.sha256("\n".join((DEFINITIONS, *names)).encode()).hexdigest()[:12]


HOUR_MS = 3_600_000
THURSDAY = 3  # 1970 began on one
CODES = 1024  # few texts are in use: a chance of 1 in 100 that two of five devices share a code
MANY_DAYS = 1_000_000  # more than a day's number since 1970 will be
FEW_KEYS = 16_384  # (user, code) pairs up to which an array of all costs less than sorting those there are

DEFINITIONS = "1"  # raise when a column keeps its name and changes its meaning


def assemble(batch: UserBatch, items: ItemMatrix, candidates: Candidates) -> npt.NDArray[np.float32]:
    """float32 (n_candidates, n_features), C-contiguous, columns as `feature_names(candidates.generators)`.

    Days are fractional; counts are log(1 + count) where they grow without bound; nan where a value
    does not exist (days since an event that never happened), which XGBoost learns to read.
    """
    user, item = candidates.user_row, candidates.item_index
    place = _places(candidates.generators)
    matrix = np.empty((len(item), len(place)), dtype=np.float32)
    visits = LatestVisits(batch, items)
    per_user = _user_columns(batch) | visits.columns()
    _fill_columns(matrix, place, (*USER_FEATURES, *VISIT_FEATURES), user, per_user)
    start = place[ITEM_FEATURES[0]]
    matrix[:, start : start + len(ITEM_FEATURES)] = items.fixed[item]
    moment = _moment_columns(items, item, batch.contexts.at_ms[user])
    groups: tuple[Mapping[str, npt.NDArray[np.floating]], ...] = (
        moment,
        _affinity_columns(batch, items, user, item),
        visits.pair_columns(user, item, moment["item_age_days"]),
    )
    for group in groups:
        for name, values in group.items():
            matrix[:, place[name]] = values
    _fill_pair_columns(matrix, place, batch, user, item)
    _fill_columns(matrix, place, CONTEXT_FEATURES, user, _context_columns(batch.contexts))
    first = place[f"retrieval_{candidates.generators[0]}"]
    width = len(candidates.generators)
    matrix[:, first : first + width] = candidates.retrieval_scores
    matrix[:, first + width :] = candidates.relative
    return matrix


def _fill_columns(
    matrix: npt.NDArray[np.float32], place: dict[str, int], names: Sequence[str], user: Integers, columns: Columns
) -> None:
    """Write columns that stand side by side and have one value a user: one row for each user, then one copy of it."""
    rows = np.empty((len(columns[names[0]]), len(names)), dtype=np.float32)
    for column, name in enumerate(names):
        rows[:, column] = columns[name]
    start = place[names[0]]
    matrix[:, start : start + len(names)] = rows if len(rows) == 1 else rows[user]


@cache
def _places(generators: tuple[str, ...]) -> dict[str, int]:
    return {name: column for column, name in enumerate(feature_names(generators))}


def _user_columns(batch: UserBatch) -> Columns:
    users, at = batch.users, batch.contexts.at_ms
    purchases = users.integers("purchase_count")
    kept = batch.history_offsets[1:] - batch.history_offsets[:-1]
    repeated = np.bincount(batch.history_user[batch.history("counts") > 1], minlength=len(batch))
    days, gap = _purchase_rhythm(batch)
    since_purchase = days_between(users.integers("last_purchase_ms"), at)
    return {
        "user_events": np.log1p(users.integers("event_count")),
        "user_purchases": np.log1p(purchases),
        "user_items": np.log1p(kept),
        "user_skips": np.log1p(users.integers("skip_count")),
        "user_days_since_last": days_between(users.integers("last_ms"), at),
        "user_days_since_first": days_between(users.integers("first_ms"), at),
        "user_purchase_days": days,
        "user_purchase_gap": gap,
        "user_due_ratio": since_purchase / np.maximum(gap, 1.0),
        "user_items_per_purchase_day": ratio(purchases, days),
        "user_spend_per_purchase": np.log1p(np.maximum(ratio(users.integers("spend_micros"), purchases), 0) / 1e6),
        "user_repeat_share": ratio(repeated, kept),
    }


def _context_columns(contexts: Contexts) -> Columns:
    """UTC hour (fractional, 0 to 24), weekday (Monday 0), and a stable code for each text (nan where unknown)."""
    day, within = np.divmod(contexts.at_ms, DAY_MS)
    return {
        "context_items": np.asarray([len(named) for named in contexts.context_item_ids], dtype=np.float64),
        "moment_hour": within / HOUR_MS,
        "moment_weekday": ((day + THURSDAY) % 7).astype(np.float64),
        "moment_placement": np.asarray([_code(text) for text in contexts.placement]),
        "moment_device": np.asarray([_code(text) for text in contexts.device]),
        "moment_channel": np.asarray([_code(text) for text in contexts.channel]),
    }


@lru_cache(maxsize=4096)
def _code(text: str) -> float:
    """The same number for the same text in every process and version, whatever other texts there are."""
    return float(zlib.crc32(text.encode()) % CODES) if text else math.nan


def _purchase_rhythm(batch: UserBatch) -> tuple[Floats, Floats]:
    """Number of known purchase days, and the mean days between them (nan below two)."""
    offsets, flat = batch.users.offsets("purchase_days"), batch.users.flat_integers("purchase_days")
    count = offsets[1:] - offsets[:-1]
    gap = np.full(len(count), np.nan)
    several = (count > 1).nonzero()[0]
    newest, oldest = flat[offsets[several]], flat[offsets[several + 1] - 1]
    gap[several] = (newest - oldest) / (count[several] - 1)
    return count.astype(np.float64), gap


def _moment_columns(items: ItemMatrix, item: Integers, at: Integers) -> dict[str, Floats]:
    return {
        "item_age_days": days_between(items.listed_ms[item], at),
        "item_idle_days": days_between(items.last_ms[item], at),
    }


def _fill_pair_columns(
    matrix: npt.NDArray[np.float32], place: dict[str, int], batch: UserBatch, user: Integers, item: Integers
) -> None:
    """What the user's history says of the candidate itself; zeros and nan for an item without history."""
    start, stop = place[PAIR_FEATURES[0]], place[PAIR_FEATURES[-1]] + 1
    matrix[:, start:stop] = UNMET
    entry, has = _find(batch, user, item)
    met = has.nonzero()[0]
    if len(met):
        columns = _met_columns(batch, entry[met], batch.history_user[entry[met]])
        rows = np.empty((len(met), len(columns)), dtype=np.float32)
        for column, values in enumerate(columns):
            rows[:, column] = values
        matrix[met, start : start + len(columns)] = rows
    for name, values in _recent_columns(batch, user, item).items():
        matrix[:, place[name]] = values


def _met_columns(batch: UserBatch, entry: Integers, user: Integers) -> tuple[npt.NDArray[np.generic], ...]:
    """PAIR_FEATURES without the recent ones, of candidates that are history entry `entry` of `user`, one value each."""
    at, latest = batch.contexts.at_ms[user], batch.users.integers("last_ms")[user]
    count = batch.history("counts")[entry].astype(np.float64)
    first, last = batch.history("first_ms")[entry], batch.history("last_ms")[entry]
    since_last, since_first = days_between(last, at), days_between(first, at)
    gap = np.where(count > 1, (last - first) / DAY_MS / np.maximum(count - 1, 1), np.nan)
    days = _Days(batch)
    visits_since_first = days.after(user, first)
    return (
        count,
        batch.history("purchase_counts")[entry],
        batch.history("strengths")[entry],
        count / np.maximum(batch.users.integers("event_count")[user], 1),
        since_last,
        since_first,
        gap,
        since_last / np.maximum(gap, 1.0),
        count / np.maximum(since_first, 1.0),
        (latest - last) / DAY_MS,
        days.after(user, last),
        visits_since_first,
        count / (visits_since_first + 1.0),
        entry - batch.history_offsets[user],
        last // DAY_MS == latest // DAY_MS,
    )


class _Days:
    """The purchase days of everybody in a batch, in one ascending list."""

    def __init__(self, batch: UserBatch) -> None:
        self._offsets, days = batch.users.offsets("purchase_days"), batch.users.flat_integers("purchase_days")
        owner = owners_of(self._offsets)
        self._keys = np.sort(owner * MANY_DAYS + days)

    def after(self, user: Integers, at_ms: Integers) -> Floats:
        """How many of the user's purchase days (of the last 30) came after the day of a moment."""
        before = self._keys.searchsorted(user * MANY_DAYS + at_ms // DAY_MS, side="right")
        return (self._offsets[user + 1] - before).astype(np.float64)


def _find(batch: UserBatch, user: Integers, item: Integers) -> tuple[Integers, npt.NDArray[np.bool_]]:
    """History entry of each candidate, and whether there is one."""
    width = len(batch.items)
    keys = batch.history_user * width + batch.history_item
    if not len(keys):
        return np.zeros(len(item), dtype=np.int64), np.zeros(len(item), dtype=np.bool_)
    order = np.argsort(keys)
    wanted = user * width + item
    at = np.minimum(np.searchsorted(keys, wanted, sorter=order), len(keys) - 1)
    entry = order[at]
    return entry, keys[entry] == wanted


def _recent_columns(batch: UserBatch, user: Integers, item: Integers) -> Columns:
    """How often the candidate is among the latest events, and how often it was skipped there."""
    width = len(batch.items)
    known = batch.recent_item >= 0
    keys = (batch.recent_user * width + batch.recent_item) * 2 + batch.recent_is_skip
    ordered = np.sort(keys[known])
    wanted = (user * width + item) * 2
    first, between, after = (ordered.searchsorted(wanted + more) for more in (0, 1, 2))
    return {
        "pair_recent_events": (between - first).astype(np.float64),
        "pair_recent_skips": (after - between).astype(np.float64),
    }


def _affinity_columns(batch: UserBatch, items: ItemMatrix, user: Integers, item: Integers) -> Columns:
    """How the candidate resembles what the user chose: category, brand, price."""
    strength = batch.history("strengths")
    log_price = items.log_price[batch.history_item]
    priced = ~np.isnan(log_price)
    owner, weight = batch.history_user[priced], strength[priced].astype(np.float64)
    total = np.bincount(owner, weights=weight, minlength=len(batch))
    mean = ratio(np.bincount(owner, weights=weight * log_price[priced], minlength=len(batch)), total)
    difference = items.log_price[item] - mean[user]
    return {
        "category_share": _share(batch, items.category, items.category_count, strength, user, item),
        "brand_share": _share(batch, items.brand, items.brand_count, strength, user, item),
        "price_distance": np.abs(difference),
        "price_difference": difference,
    }


def _share(
    batch: UserBatch, codes: npt.NDArray[np.int32], width: int, strength: Integers, user: Integers, item: Integers
) -> Floats:
    """Share of the user's strength that fell on items with the candidate's code, of `width` codes; nan where it has
    none."""
    if width == 0:
        return np.full(len(item), np.nan)
    code = codes[batch.history_item].astype(np.int64)
    coded = code >= 0
    keys, owner, weight = (batch.history_user * width + code)[coded], batch.history_user[coded], strength[coded]
    total = np.bincount(owner, weights=weight, minlength=len(batch))[user]
    own = codes[item]
    sums = _sums(keys, weight, user * width + own, len(batch) * width)
    return np.where((own >= 0) & (total > 0), sums / np.maximum(total, 1.0), np.nan)


def _sums(keys: Integers, weight: Integers, wanted: Integers, size: int) -> Floats:
    """Sum of the weights of each wanted key, 0 where there are none; keys lie below `size`, wanted ones may be −1."""
    if size <= FEW_KEYS:
        return np.asarray(np.bincount(keys, weights=weight, minlength=size)[wanted], dtype=np.float64)
    held, place = np.unique(keys, return_inverse=True)
    sums = np.append(np.bincount(place, weights=weight, minlength=len(held)), 0.0)
    at = np.minimum(np.searchsorted(held, wanted), max(len(held) - 1, 0))
    found = held[at] == wanted if len(held) else np.zeros(len(wanted), dtype=np.bool_)
    return np.where(found, sums[at], 0.0)
