"""What each entry of a person's history and of their latest events weighs as a seed: the formulas as compiled loops.

Person by person, from offsets[u] to offsets[u + 1], each alone: weights do not depend on the batch. `history` is
`UserBatch.history_table`. Which generator weighs how, and what follows from it, is not known here.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from recommender.compiled import compiled
from recommender.events import DAY_MS

__all__ = ["fade_history", "scale_to_one", "weigh_by_taste", "weigh_due", "weigh_mind", "weigh_session"]

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

ITEM, STRENGTH, COUNT, BOUGHT, FIRST, LAST = range(6)


@compiled("const int64[:, ::1]", "const int64[::1]", "const int64[::1]", "float64", "float64[::1]")
def fade_history(
    history: Integers, offsets: Integers, at_ms: Integers, half_life_days: float, weights: Doubles
) -> None:
    """2^(−age / half-life), age in days from the last event with the item to the moment, at least 0."""
    for user in range(len(at_ms)):
        for entry in range(offsets[user], offsets[user + 1]):
            age = max(at_ms[user] - history[LAST, entry], 0) / DAY_MS
            weights[entry] = np.exp2(-age / half_life_days)


@compiled(
    "const int64[:, ::1]", "const int64[::1]", "const int64[::1]", "const float32[::1]", "const float32[::1]",
    "float64", "float64", "float32[::1]",
)  # fmt: skip
def weigh_due(
    history: Integers, offsets: Integers, at_ms: Integers, gap_days: Floats, repeat: Floats, prior: float,
    min_days: float, weights: Floats,
) -> None:  # fmt: skip
    """P(bought again) × x·e^(1 − x) of what was bought, 0 of the rest; see ReplenishGenerator."""
    for user in range(len(at_ms)):
        for entry in range(offsets[user], offsets[user + 1]):
            item, bought = history[ITEM, entry], history[BOUGHT, entry]
            weights[entry] = 0
            if bought > 0:
                span = (history[LAST, entry] - history[FIRST, entry]) / DAY_MS
                known = bought - 1 if span >= min_days else 0
                own, typical = span / max(known, 1), np.float64(gap_days[item])
                gap = max((known * own + prior * typical) / (known + prior), min_days)
                again = (known + 2 * np.float64(repeat[item])) / (known + 2)
                due = max(at_ms[user] - history[LAST, entry], 0) / DAY_MS / gap
                weights[entry] = again * due * math.exp(1 - due)


@compiled("const int64[:, ::1]", "const int64[::1]", "const float64[::1]", "const bool[::1]", "float32[::1]")
def weigh_by_taste(history: Integers, offsets: Integers, faded: Doubles, is_kept: Mask, weights: Floats) -> None:
    """log(1 + strength) × `faded` of the entries that are kept, as shares of each person's sum; 0 of the rest."""
    for user in range(len(offsets) - 1):
        start, stop = offsets[user], offsets[user + 1]
        total = 0.0
        for entry in range(start, stop):
            if is_kept[entry]:
                total += math.log1p(history[STRENGTH, entry]) * faded[entry]
        for entry in range(start, stop):
            own = math.log1p(history[STRENGTH, entry]) * faded[entry] if is_kept[entry] else 0.0
            weights[entry] = own / max(total, 1e-12)


@compiled(
    "const int64[::1]", "const int64[::1]", "const int64[::1]", "const bool[::1]", "const int64[::1]",
    "const int64[::1]", "float64", "int64[::1]", "float32[::1]", "int64[::1]",
)  # fmt: skip
def weigh_session(
    offsets: Integers, item: Integers, at_ms: Integers, is_skip: Mask, shown_offsets: Integers, shown: Integers,
    half_life_days: float, seeds: Integers, weights: Floats, bounds: Integers,
) -> None:  # fmt: skip
    """Context items (`shown`), each 1, then recent events that are no skips, latest first: 2^(−days before the newest
    event / half-life). Unknown items (−1) are left out; `bounds` (n_users + 1) says whose seeds lie where."""
    n = 0
    for user in range(len(offsets) - 1):
        bounds[user] = n
        for place in range(shown_offsets[user], shown_offsets[user + 1]):
            if shown[place] >= 0:
                seeds[n], weights[n] = shown[place], 1
                n += 1
        for event in range(offsets[user], offsets[user + 1]):
            if item[event] >= 0 and not is_skip[event]:
                since = at_ms[event] - at_ms[offsets[user]]
                seeds[n], weights[n] = item[event], np.exp2(since / (DAY_MS * half_life_days))
                n += 1
    bounds[len(offsets) - 1] = n


@compiled(
    "const int64[::1]", "const int64[::1]", "const int64[::1]", "const bool[::1]", "const int64[::1]",
    "const int64[::1]", "const int64[::1]", "float64", "float64", "int64[::1]", "float32[::1]", "int64[::1]",
)  # fmt: skip
def weigh_mind(
    offsets: Integers, item: Integers, at_ms: Integers, is_skip: Mask, shown_offsets: Integers, shown: Integers,
    now_ms: Integers, half_life_events: float, half_life_days: float, seeds: Integers, weights: Floats,
    bounds: Integers,
) -> None:  # fmt: skip
    """Context items, each 1; of somebody whose context names none the recent events: 2^(−place among them / half-life −
    days before the newest / half-life). The rest as in `weigh_session`."""
    n = 0
    for user in range(len(offsets) - 1):
        bounds[user] = n
        for place in range(shown_offsets[user], shown_offsets[user + 1]):
            if shown[place] >= 0:
                seeds[n], weights[n] = shown[place], 1
                n += 1
        start = offsets[user] if shown_offsets[user] == shown_offsets[user + 1] else offsets[user + 1]
        for event in range(start, offsets[user + 1]):
            if item[event] >= 0 and not is_skip[event]:
                age = max(now_ms[user] - at_ms[event], 0) / DAY_MS
                newest = max(now_ms[user] - at_ms[offsets[user]], 0) / DAY_MS
                fade = -(event - offsets[user]) / half_life_events - (age - newest) / half_life_days
                seeds[n], weights[n] = item[event], np.exp2(fade)
                n += 1
    bounds[len(offsets) - 1] = n


@compiled("float32[:, ::1]")
def scale_to_one(rows: Floats) -> None:
    """Make each row one of length 1, in place; one of length 0 stays as it is."""
    for row in range(len(rows)):
        square = 0.0
        for column in range(rows.shape[1]):
            square += np.float64(rows[row, column]) ** 2
        length = max(math.sqrt(square), 1e-9)
        for column in range(rows.shape[1]):
            rows[row, column] = rows[row, column] / length
