"""Products of one person's row with a sparse matrix, for panels of one. What the rows and matrices mean is not known.

The kernels are scipy's own, without the objects around them: of the 60 to 190 µs that `csr_matrix @ csr_matrix`
takes for one person, 10 are arithmetic. Sums run in the same order and precision, so the bits are those of the
product of a batch, as `tests/model/test_row_products.py` holds against scipy's public product.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse import _sparsetools as kernels

__all__ = ["Rows", "dense_product", "places_of", "rows_of", "summed", "summed_sparse"]

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Rows:
    """Some rows of a csr matrix, one after the other: `starts` (n_rows + 1), `columns` and `values` (n entries)."""

    starts: npt.NDArray[np.int32]
    columns: npt.NDArray[np.int32]
    values: Floats

    def owner(self) -> Integers:
        """Which of the rows each entry belongs to."""
        return np.repeat(np.arange(len(self.starts) - 1), self.starts[1:] - self.starts[:-1])


def rows_of(matrix: sparse.csr_matrix, rows: npt.NDArray[np.integer]) -> Rows:
    """The rows of a float32 csr matrix with int32 indexes, in the order asked for, repeated ones too."""
    starts = np.zeros(len(rows) + 1, dtype=np.int32)
    wanted = rows.astype(np.int32, copy=False)
    (matrix.indptr[wanted + 1] - matrix.indptr[wanted]).cumsum(out=starts[1:])
    size = starts[-1]
    columns, values = np.empty(size, dtype=np.int32), np.empty(size, dtype=np.float32)
    kernels.csr_row_index(len(wanted), wanted, matrix.indptr, matrix.indices, matrix.data, columns, values)
    return Rows(starts, columns, values)


def summed(rows: Rows, weights: Floats, width: int) -> Floats:
    """Σ weight × row as float32 (width), added up row by row."""
    total = np.zeros(width, dtype=np.float32)
    kernels.csc_matvec(width, len(weights), rows.starts, rows.columns, rows.values, weights, total)
    return total


def summed_sparse(rows: Rows, weights: Floats, width: int) -> tuple[Integers, Floats]:
    """The same for a large width: the columns that have an entry, each once and in no order, and their sums; nothing
    of length `width` is made or walked through."""
    total, place = _SCRATCH.of(width)
    kernels.csc_matvec(width, len(weights), rows.starts, rows.columns, rows.values, weights, total)
    every = np.arange(len(rows.columns), dtype=np.int32)
    place[rows.columns] = every
    columns = rows.columns[place[rows.columns] == every]
    sums = total[columns]
    total[columns] = 0
    return columns.astype(np.int64), sums


def places_of(wanted: Integers, among: Integers, width: int) -> tuple[Integers, npt.NDArray[np.bool_]]:
    """Where each of `wanted` stands in `among` (each below `width`, each once, at least one), and whether it does.

    A sparse set (Briggs, Torczon 1993): what an earlier call left behind is told by looking back.
    """
    place = _SCRATCH.of(width)[1]
    place[among] = np.arange(len(among), dtype=np.int32)
    found = np.minimum(place[wanted], len(among) - 1)
    return found, among[found] == wanted


def dense_product(items: npt.NDArray[np.integer], weights: Floats, matrix: Floats) -> Floats:
    """Σ weight × matrix[item] as float32 (1, columns), added up item by item; `matrix` C-contiguous float32."""
    total = np.zeros((1, matrix.shape[1]), dtype=np.float32)
    starts, columns = np.array([0, len(items)], dtype=np.int32), items.astype(np.int32)
    kernels.csr_matvecs(1, len(matrix), matrix.shape[1], starts, columns, weights, matrix.ravel(), total.ravel())
    return total


class _Scratch(threading.local):
    """Two arrays a thread as wide as the widest matrix so far; the sums are all 0 between uses, places anything ≥ 0."""

    total: Floats
    place: npt.NDArray[np.int32]

    def __init__(self) -> None:
        self.total, self.place = np.zeros(0, dtype=np.float32), np.zeros(0, dtype=np.int32)

    def of(self, width: int) -> tuple[Floats, npt.NDArray[np.int32]]:
        if len(self.total) < width:
            self.total, self.place = np.zeros(width, dtype=np.float32), np.zeros(width, dtype=np.int32)
        return self.total, self.place


_SCRATCH = _Scratch()
