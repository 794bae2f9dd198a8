"""The places of the highest values of a row: selection without sorting. What the values mean is not known here."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from recommender.compiled import compiled

__all__ = ["best_of_row"]

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]


def best_of_row(values: Floats, limit: int, keeps_ties: bool = False) -> Integers:
    """Ascending places of the `limit` highest positive values; of equals the lower place wins, or all are kept."""
    places = np.empty(len(values), dtype=np.int64)
    return places[: _select(values, limit, keeps_ties, places)]


@compiled("const float32[::1]", "int64", "boolean", "int64[::1]")
def _select(values: Floats, limit: int, keeps_ties: bool, places: Integers) -> int:
    # Most generators know a few items only: then the positive ones are all there is to find.
    n = 0
    for place in range(len(values)):
        if values[place] > 0:
            places[n] = place
            n += 1
    if n <= limit:
        return n
    ordered = np.empty(n, dtype=np.float32)
    for place in range(n):
        ordered[place] = values[places[place]]
    least = _of_rank(ordered, n - limit)
    room = limit
    for place in range(n):
        room -= values[places[place]] > least
    kept = 0
    for place in range(n):
        value = values[places[place]]
        is_tied = value == least and (keeps_ties or room > 0)
        if value > least or is_tied:
            room -= value == least
            places[kept] = places[place]
            kept += 1
    return kept


@compiled()
def _of_rank(values: Floats, rank: int) -> float:
    """The value that stands at `rank` (from 0) in ascending order; `values` are moved about (Hoare 1961, Find)."""
    low, high = 0, len(values) - 1
    while low < high:
        # The middle of three: rows that are ordered already are no worst case.
        first, middle, last = values[low], values[(low + high) // 2], values[high]
        pivot = max(min(first, middle), min(max(first, middle), last))
        left, right = low, high
        while left <= right:
            while values[left] < pivot:
                left += 1
            while values[right] > pivot:
                right -= 1
            if left <= right:
                values[left], values[right] = values[right], values[left]
                left += 1
                right -= 1
        if rank <= right:
            high = right
        elif rank >= left:
            low = left
        else:
            break
    return values[rank]
