"""Products of one person's row with a matrix, and places in a list of its entries. What rows and matrices mean is not
known.

Compiled loops instead of scipy's objects: of the 60 to 190 µs that `csr_matrix @ csr_matrix` takes for one person, 10
are arithmetic. Sums run in the same order and precision, so the bits are those of the product of a batch, as
`tests/model/test_row_products.py` holds against scipy's public product.
"""

from __future__ import annotations

import threading

import numpy as np
import numpy.typing as npt
from scipy import sparse

from recommender.compiled import compiled

__all__ = ["cosines", "dense_product", "entries_of", "places_of", "summed", "summed_sparse"]

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]
Places = npt.NDArray[np.int32]

CSR = ("const int32[::1]", "const int32[::1]", "const float32[::1]")


def summed(matrix: sparse.csr_matrix, rows: npt.NDArray[np.integer], weights: Floats) -> Floats:
    """Σ weight × row as float32 (width), added up in the order of `rows`; a float32 matrix with int32 indexes, here and
    below."""
    total = np.zeros(matrix.shape[1], dtype=np.float32)
    _add_rows(matrix.indptr, matrix.indices, matrix.data, rows.astype(np.int64, copy=False), weights, total)
    return total


def summed_sparse(matrix: sparse.csr_matrix, rows: npt.NDArray[np.integer], weights: Floats) -> tuple[Integers, Floats]:
    """The same for a wide matrix: the columns that have an entry, each once and in no order, and their sums; nothing as
    wide as the matrix is made or walked through."""
    wanted = rows.astype(np.int64, copy=False)
    size = int((matrix.indptr[wanted + 1] - matrix.indptr[wanted]).sum())
    columns, sums = np.empty(size, dtype=np.int64), np.empty(size, dtype=np.float32)
    place = _SCRATCH.of(matrix.shape[1])
    n = _list_sums(matrix.indptr, matrix.indices, matrix.data, wanted, weights, place, columns, sums)
    return columns[:n], sums[:n]


def entries_of(matrix: sparse.csr_matrix, rows: npt.NDArray[np.integer]) -> Places:
    """The columns of all entries of some rows, one row behind the other."""
    parts = [matrix.indices[matrix.indptr[row] : matrix.indptr[row + 1]] for row in rows.tolist()]
    return np.concatenate([np.zeros(0, dtype=np.int32), *parts])


def cosines(matrix: sparse.csr_matrix, rows: Integers, profile: Floats, own: Floats, highest: Floats) -> None:
    """Raise `highest` (n) to profile · row − own of each of `rows` where that is more; a row's products are added up
    one by one in float64."""
    _raise_cosines(matrix.indptr, matrix.indices, matrix.data, rows, profile, own, highest)


def places_of(wanted: Integers, among: Integers, width: int) -> tuple[Integers, npt.NDArray[np.bool_]]:
    """Where each of `wanted` stands in `among` (each below `width`, each once, at least one), and whether it does."""
    found, is_there = np.empty(len(wanted), dtype=np.int64), np.empty(len(wanted), dtype=np.bool_)
    _look_up(wanted, among, _SCRATCH.of(width), found, is_there)
    return found, is_there


def dense_product(items: npt.NDArray[np.integer], weights: Floats, matrix: Floats) -> Floats:
    """Σ weight × matrix[item] as float32 (1, columns), added up item by item; `matrix` C-contiguous float32."""
    total = np.zeros((1, matrix.shape[1]), dtype=np.float32)
    _add_dense_rows(items.astype(np.int64, copy=False), weights, matrix, total[0])
    return total


@compiled(*CSR, "const int64[::1]", "const float32[::1]", "float32[::1]")
def _add_rows(starts: Places, columns: Places, values: Floats, rows: Integers, weights: Floats, total: Floats) -> None:
    for place in range(len(rows)):
        weight = weights[place]
        for entry in range(starts[rows[place]], starts[rows[place] + 1]):
            total[columns[entry]] += weight * values[entry]


@compiled(*CSR, "const int64[::1]", "const float32[::1]", "int32[::1]", "int64[::1]", "float32[::1]")
def _list_sums(
    starts: Places, columns: Places, values: Floats, rows: Integers, weights: Floats, place: Places, found: Integers,
    sums: Floats,
) -> int:  # fmt: skip
    """A sparse set (Briggs, Torczon 1993): what an earlier call left in `place` is told by looking back."""
    n = 0
    for row in range(len(rows)):
        weight = weights[row]
        for entry in range(starts[rows[row]], starts[rows[row] + 1]):
            column = columns[entry]
            at = place[column]
            if not (0 <= at < n and found[at] == column):
                at = place[column] = n
                found[n], sums[n] = column, 0
                n += 1
            sums[at] += weight * values[entry]
    return n


@compiled(*CSR, "const int64[::1]", "const float32[::1]", "const float32[::1]", "float32[::1]")
def _raise_cosines(
    starts: Places, columns: Places, values: Floats, rows: Integers, profile: Floats, own: Floats, highest: Floats
) -> None:
    for place in range(len(rows)):
        found = 0.0
        for entry in range(starts[rows[place]], starts[rows[place] + 1]):
            found += np.float64(profile[columns[entry]] * values[entry])
        highest[place] = max(highest[place], np.float32(max(found - np.float64(own[place]), 0.0)))


@compiled("const int64[::1]", "const int64[::1]", "int32[::1]", "int64[::1]", "bool[::1]")
def _look_up(
    wanted: Integers, among: Integers, place: Places, found: Integers, is_there: npt.NDArray[np.bool_]
) -> None:
    for at in range(len(among)):
        place[among[at]] = at
    for row in range(len(wanted)):
        found[row] = min(max(place[wanted[row]], 0), len(among) - 1)
        is_there[row] = among[found[row]] == wanted[row]


@compiled("const int64[::1]", "const float32[::1]", "const float32[:, ::1]", "float32[::1]")
def _add_dense_rows(items: Integers, weights: Floats, matrix: Floats, total: Floats) -> None:
    for place in range(len(items)):
        weight, row = weights[place], matrix[items[place]]
        for column in range(len(total)):
            total[column] += weight * row[column]


class _Scratch(threading.local):
    """An array a thread as wide as the widest matrix so far, with anything in it."""

    place: Places

    def __init__(self) -> None:
        self.place = np.zeros(0, dtype=np.int32)

    def of(self, width: int) -> Places:
        if len(self.place) < width:
            self.place = np.zeros(width, dtype=np.int32)
        return self.place


_SCRATCH = _Scratch()
