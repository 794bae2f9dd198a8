"""The places of the highest values of a row: selection without sorting. What the values mean is not known here."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from recommender.compiled import compiled

__all__ = ["best_of_row", "first_without"]

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

_NONE, _EVERY = np.zeros(0, dtype=np.bool_), np.zeros(0, dtype=np.int64)


def best_of_row(
    values: Floats, limit: int, keeps_ties: bool = False, without: Mask = _NONE, items: Integers = _EVERY
) -> Integers:
    """Ascending places of the `limit` highest positive values; of equals the lower place wins, or all are kept.

    `without`: a mask of items whose places are passed over, where it is not empty; `items`: which item each place is,
    where that is not its number.
    """
    places, ordered = np.empty(len(values), dtype=np.int64), np.empty(len(values), dtype=np.float32)
    n = _list_positive(values, without, items, places, ordered)
    if n <= limit:  # most generators know a few items only
        return places[:n]
    ordered = ordered[:n]
    ordered.partition(n - limit)
    return places[: _keep_best(values, ordered[n - limit], limit, keeps_ties, places[:n])]


def first_without(order: npt.NDArray[np.int32], limit: int, without: Mask) -> Integers:
    """The first `limit` of an order of items that the mask does not hold; an empty mask holds none."""
    found = np.empty(min(limit, len(order)), dtype=np.int64)
    return found[: _list_first(order, without, found)]


@compiled("const float32[::1]", "const boolean[::1]", "const int64[::1]", "int64[::1]", "float32[::1]")
def _list_positive(values: Floats, without: Mask, items: Integers, places: Integers, positive: Floats) -> int:
    n = 0
    for place in range(len(values)):
        places[n], positive[n] = place, values[place]  # written over by the next where it does not count: no branch
        is_free = len(without) == 0 or not without[items[place] if len(items) else place]
        n += (values[place] > 0) & is_free
    return n


@compiled("const float32[::1]", "float32", "int64", "boolean", "int64[::1]")
def _keep_best(values: Floats, least: np.float32, limit: int, keeps_ties: bool, places: Integers) -> int:
    """Keep, at the front of `places`, those whose value is above the least or equal to it while there is room."""
    room = limit
    for place in places:
        room -= values[place] > least
    kept = 0
    for place in places:
        is_equal = values[place] == least
        if values[place] > least or (is_equal and (keeps_ties or room > 0)):
            room -= is_equal
            places[kept] = place
            kept += 1
    return kept


@compiled("const int32[::1]", "const boolean[::1]", "int64[::1]")
def _list_first(order: npt.NDArray[np.int32], without: Mask, found: Integers) -> int:
    n = 0
    for item in order:
        if n == len(found):
            break
        if not (len(without) and without[item]):
            found[n] = item
            n += 1
    return n
