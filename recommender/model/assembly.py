"""The loops of the assembler: one row of features for each candidate, person by person. Names are given elsewhere.

Sums run over a person's own entries in their stored order, so a row has the same bits whoever else is in the batch.
Days are fractional, from the milliseconds, and at least 0; nan where something never happened or a ratio has no bottom.
Functions without types of arguments are parts of the one that has them. As calls of numpy, one person's columns took
0.21 ms; here they take 0.05.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from recommender.compiled import compiled
from recommender.events import DAY_MS

__all__ = ["PERSON_COLUMNS", "fill_rows"]

Values = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Codes = npt.NDArray[np.int32]

PERSON_COLUMNS = (
    "event_count",
    "purchase_count",
    "skip_count",
    "first_ms",
    "last_ms",
    "last_purchase_ms",
    "spend_micros",
)
ITEM, STRENGTH, COUNT, BOUGHT, FIRST, LAST = range(6)  # rows of `UserBatch.history_table`
EVENTS, PURCHASES, SKIPS, EARLIEST, LATEST, PURCHASED, SPENT = range(7)

OF_PERSON = 16  # columns that are the same for all candidates of a person
RECENT_VISITS = 3  # purchase days that count as recent
POPULARITY, AGE, PRICE = range(3)  # what a person's choices are on average


@compiled()
def _days(then: int, now: int) -> float:
    return max(now - then, 0) / DAY_MS if then > 0 else math.nan


@compiled()
def _ratio(top: float, bottom: float) -> float:
    return top / bottom if bottom > 0 else math.nan


@compiled()
def _days_after(days: Integers, at_ms: int) -> int:
    """How many of the purchase days (of the last 30) came after the day of a moment."""
    found = 0
    for day in days:
        found += day > at_ms // DAY_MS
    return found


@compiled()
def _write_person(
    columns: Values, means: Floats, person: Integers, at: int, history: Integers, days: Integers, fixed: Values,
    listed_ms: Integers, log_price: Floats, popularity: int,
) -> None:  # fmt: skip
    """Columns of one person, and the means that candidates are compared with."""
    n = history.shape[1]
    # Recent is what was touched last on or after the third latest purchase day, or, of somebody who never bought, on
    # the latest day of all. A visit is a UTC day; what one brought is what was touched last (or first) on its day.
    latest = person[LATEST] // DAY_MS
    since = days[min(len(days), RECENT_VISITS) - 1] if len(days) else latest
    repeated = in_latest = new_in_latest = in_recent = new_in_recent = 0
    popular, n_popular, age, n_aged = 0.0, 0, 0.0, 0
    paid, paid_strength = 0.0, 0.0
    for entry in range(n):
        item, last_day = history[ITEM, entry], history[LAST, entry] // DAY_MS
        is_new_then = history[FIRST, entry] // DAY_MS == last_day
        repeated += history[COUNT, entry] > 1
        if last_day == latest:
            in_latest += 1
            new_in_latest += is_new_then
        if last_day >= since:
            in_recent += 1
            new_in_recent += is_new_then
            value = np.float64(fixed[item, popularity])
            if not np.isnan(value):
                popular += value
                n_popular += 1
            listed = math.log1p(_days(listed_ms[item], at))
            if not np.isnan(listed):
                age += listed
                n_aged += 1
        if not np.isnan(log_price[item]):
            paid += history[STRENGTH, entry] * log_price[item]
            paid_strength += history[STRENGTH, entry]
    means[POPULARITY] = _ratio(popular, n_popular)
    means[AGE] = _ratio(age, n_aged)
    means[PRICE] = _ratio(paid, paid_strength)
    gap = (days[0] - days[-1]) / (len(days) - 1) if len(days) > 1 else math.nan
    spent = np.maximum(_ratio(person[SPENT], person[PURCHASES]), 0.0)
    columns[0] = math.log1p(person[EVENTS])
    columns[1] = math.log1p(person[PURCHASES])
    columns[2] = math.log1p(n)
    columns[3] = math.log1p(person[SKIPS])
    columns[4] = _days(person[LATEST], at)
    columns[5] = _days(person[EARLIEST], at)
    columns[6] = len(days)
    columns[7] = gap
    columns[8] = _days(person[PURCHASED], at) / np.maximum(gap, 1.0)
    columns[9] = _ratio(person[PURCHASES], len(days))
    columns[10] = math.log1p(spent / 1e6)
    columns[11] = _ratio(repeated, n)
    columns[12] = math.log1p(in_latest)
    columns[13] = _ratio(new_in_latest, in_latest)
    columns[14] = _ratio(new_in_recent, in_recent)
    columns[15] = means[POPULARITY]


@compiled()
def _write_met(row: Values, history: Integers, entry: int, person: Integers, at: int, days: Integers) -> None:
    """What the person's history says of a candidate that is in it."""
    first, last = history[FIRST, entry], history[LAST, entry]
    count, latest = float(history[COUNT, entry]), person[LATEST]
    since_last, since_first = _days(last, at), _days(first, at)
    gap = (last - first) / DAY_MS / (count - 1) if count > 1 else math.nan
    visits = _days_after(days, first)
    row[0] = count
    row[1] = history[BOUGHT, entry]
    row[2] = history[STRENGTH, entry]
    row[3] = count / max(person[EVENTS], 1)
    row[4] = since_last
    row[5] = since_first
    row[6] = gap
    row[7] = since_last / np.maximum(gap, 1.0)
    row[8] = count / np.maximum(since_first, 1.0)
    row[9] = (latest - last) / DAY_MS
    row[10] = _days_after(days, last)
    row[11] = visits
    row[12] = count / (visits + 1.0)
    row[13] = entry
    row[14] = last // DAY_MS == latest // DAY_MS


@compiled()
def _write_unmet(row: Values) -> None:
    """The same of a candidate that is not."""
    for column in range(15):
        row[column] = 0 if column < 4 or column in (12, 14) else math.nan


@compiled()
def _write_differences(row: Values, means: Floats, log_price: float, popularity: float, days_listed: float) -> None:
    """How a candidate differs from what the person chose."""
    difference = log_price - means[PRICE]
    row[0] = abs(difference)
    row[1] = difference
    row[2] = popularity - means[POPULARITY]
    row[3] = math.log1p(days_listed) - means[AGE]


@compiled()
def _share(sums: Floats, place: Codes, own: Codes, code: int, total: float) -> float:
    """Share of the person's strength that fell on items with the candidate's code; nan where it has none."""
    if code < 0 or total <= 0:
        return math.nan
    entry = place[code]
    return sums[entry] / max(total, 1.0) if 0 <= entry < len(own) and own[entry] == code else 0.0


@compiled()
def _summed_by_code(codes: Codes, history: Integers, own: Codes, place: Codes, sums: Floats) -> float:
    """Strength by code, each sum kept at the first entry that has the code, to which `place` leads; the sum of all."""
    total = 0.0
    for entry in range(len(own)):
        code = codes[history[ITEM, entry]]
        own[entry], sums[entry] = code, 0.0
        if code < 0:
            continue
        total += history[STRENGTH, entry]
        # What an earlier person left in `place` is told by looking back (sparse sets: Briggs, Torczon 1993).
        first = place[code]
        if not (0 <= first < entry and own[first] == code):
            first = place[code] = entry
        sums[first] += history[STRENGTH, entry]
    return total


@compiled()
def _count_recent(
    seen: Integers, is_skip: npt.NDArray[np.bool_], place: Codes, n_seen: Codes, n_skipped: Codes
) -> None:
    """How often each item is among the latest events, skips apart, kept at its first event, to which `place` leads."""
    for event in range(len(seen)):
        if seen[event] < 0:
            continue
        first = place[seen[event]]
        if not (0 <= first < event and seen[first] == seen[event]):
            first = place[seen[event]] = event
        n_skipped[first] += is_skip[event]
        n_seen[first] += not is_skip[event]


@compiled(
    "const int64[::1]", "const int64[:, ::1]", "const float64[:, ::1]",
    "const int64[::1]", "const int64[:, ::1]", "const int64[::1]", "const int64[::1]",
    "const int64[::1]", "const int64[::1]", "const bool[::1]",
    "const float32[:, ::1]", "const int64[::1]", "const int64[::1]", "const float64[::1]",
    "const int32[::1]", "const int32[::1]", "int64", "int64", "int64",
    "const int64[::1]", "const int64[::1]", "const float32[:, ::1]", "const float32[:, ::1]", "float32[:, ::1]",
)  # fmt: skip
def fill_rows(
    at_ms: Integers, people: Integers, moments: Floats,
    history_offsets: Integers, history: Integers, day_offsets: Integers, purchase_days: Integers,
    recent_offsets: Integers, recent_item: Integers, recent_is_skip: npt.NDArray[np.bool_],
    fixed: Values, listed_ms: Integers, last_ms: Integers, log_price: Floats,
    category: Codes, brand: Codes, n_categories: int, n_brands: int, popularity: int,
    offsets: Integers, items: Integers, scores: Values, relative: Values, matrix: Values,
) -> None:  # fmt: skip
    """Write the rows of all candidates, columns as `features.feature_groups` orders them.

    Of n users: `at_ms` (n), `people` (n, PERSON_COLUMNS), `moments` (n, any) the columns of the moment. Of their
    entries, from offsets[u] to offsets[u + 1]: `history` as `UserBatch.history_table`, `purchase_days`
    latest first, `recent_*`, item −1 where unknown. By item index: `fixed` (n_items, any), `popularity` one of its
    columns, the others as `ItemMatrix`. Of candidates: `offsets` (n + 1), `items`, `scores` and `relative` (any).
    """
    n_items, n_fixed = fixed.shape
    n_moments, n_generators = moments.shape[1], scores.shape[1]
    person_columns, means = np.empty(OF_PERSON, dtype=np.float32), np.empty(3, dtype=np.float64)
    entry_of, recent_of = np.empty(n_items, dtype=np.int32), np.empty(n_items, dtype=np.int32)
    category_place, brand_place = np.empty(n_categories, dtype=np.int32), np.empty(n_brands, dtype=np.int32)
    for user in range(len(at_ms)):
        at, person = at_ms[user], people[user]
        own = history[:, history_offsets[user] : history_offsets[user + 1]]
        days = purchase_days[day_offsets[user] : day_offsets[user + 1]]
        seen = recent_item[recent_offsets[user] : recent_offsets[user + 1]]
        is_skip = recent_is_skip[recent_offsets[user] : recent_offsets[user + 1]]
        _write_person(person_columns, means, person, at, own, days, fixed, listed_ms, log_price, popularity)
        n = own.shape[1]
        own_category, own_brand = np.empty(n, dtype=np.int32), np.empty(n, dtype=np.int32)
        by_category, by_brand = np.empty(n, dtype=np.float64), np.empty(n, dtype=np.float64)
        in_categories = _summed_by_code(category, own, own_category, category_place, by_category)
        in_brands = _summed_by_code(brand, own, own_brand, brand_place, by_brand)
        for entry in range(n):
            entry_of[own[ITEM, entry]] = entry
        n_seen, n_skipped = np.zeros(len(seen), dtype=np.int32), np.zeros(len(seen), dtype=np.int32)
        _count_recent(seen, is_skip, recent_of, n_seen, n_skipped)
        for candidate in range(offsets[user], offsets[user + 1]):
            item, row = items[candidate], matrix[candidate]
            row[:OF_PERSON] = person_columns
            column = OF_PERSON
            row[column : column + n_fixed] = fixed[item]
            column += n_fixed
            days_listed = _days(listed_ms[item], at)
            row[column] = days_listed
            row[column + 1] = _days(last_ms[item], at)
            column += 2
            entry = entry_of[item]
            if 0 <= entry < n and own[ITEM, entry] == item:
                _write_met(row[column:], own, entry, person, at, days)
            else:
                _write_unmet(row[column:])
            column += 15
            event = recent_of[item]
            was_seen = 0 <= event < len(seen) and seen[event] == item
            row[column] = n_seen[event] if was_seen else 0
            row[column + 1] = n_skipped[event] if was_seen else 0
            row[column + 2] = _share(by_category, category_place, own_category, category[item], in_categories)
            row[column + 3] = _share(by_brand, brand_place, own_brand, brand[item], in_brands)
            _write_differences(row[column + 4 :], means, log_price[item], fixed[item, popularity], days_listed)
            column += 8
            row[column : column + n_moments] = moments[user]
            column += n_moments
            row[column : column + n_generators] = scores[candidate]
            row[column + n_generators :] = relative[candidate]
