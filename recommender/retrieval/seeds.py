"""What a person's scores start from: weighted items, and where a matrix leads from there. Who weighs what is not known
here."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from recommender.retrieval.panels import DENSE_ITEMS, DensePanel, Panel, RowPanel, panel_of
from recommender.retrieval.row_products import dense_product, summed, summed_sparse

__all__ = ["Seeds", "bounds_of", "owners_of", "seed_room"]

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]


def bounds_of(owner: Integers, n_users: int) -> Integers:
    """Offsets (n_users + 1) of entries whose user rows ascend."""
    if n_users == 1:
        return np.array([0, len(owner)])
    return np.concatenate([[0], np.cumsum(np.bincount(owner, minlength=n_users))])


def owners_of(offsets: Integers) -> Integers:
    """The way back: the user row of each entry."""
    if len(offsets) == 2:
        return np.zeros(offsets[1], dtype=np.int64)
    return np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))


def seed_room(n_users: int, n: int) -> tuple[Integers, Floats, Integers]:
    """Rows and weights of up to n seeds and their offsets, for a kernel to fill."""
    return np.empty(n, dtype=np.int64), np.empty(n, dtype=np.float32), np.empty(n_users + 1, dtype=np.int64)


@dataclass(frozen=True)
class Seeds:
    """Weights of the rows of a matrix for each user: user u has `rows` and `weights` from offsets[u] to offsets[u + 1].

    `height` is how many rows that matrix has. Sums run in the order given; one user goes through kernels that cost
    a tenth of scipy's objects and give the same bits.
    """

    rows: npt.NDArray[np.integer]
    weights: Floats
    offsets: Integers
    height: int

    def panel(self) -> Panel:
        """The weights themselves as scores; each user's rows must be distinct items."""
        if len(self.offsets) != 2:
            return panel_of(self.matrix())
        if self.height <= DENSE_ITEMS:
            values = np.zeros(self.height, dtype=np.float32)
            values[self.rows] = self.weights
            return DensePanel(values[None])
        return RowPanel(self.rows.astype(np.int64), self.weights, self.height)

    def follow(self, matrix: sparse.csr_matrix) -> Panel:
        """Scores of the matrix's columns: Σ weight × row."""
        if len(self.offsets) != 2:
            return panel_of(self.matrix() @ matrix)
        if matrix.shape[1] <= DENSE_ITEMS:
            return DensePanel(summed(matrix, self.rows, self.weights)[None])
        return RowPanel(*summed_sparse(matrix, self.rows, self.weights), matrix.shape[1])

    def fold(self, matrix: Floats) -> Floats:
        """Σ weight × row of a dense float32 matrix, float32 (n_users, columns)."""
        if len(self.offsets) == 2:
            return dense_product(self.rows, self.weights, matrix)
        return np.asarray(self.matrix() @ matrix)

    def matrix(self) -> sparse.csr_matrix:
        """Users × rows, for everything else."""
        parts = (self.weights, self.rows.astype(np.int32), self.offsets.astype(np.int32))
        return sparse.csr_matrix(parts, shape=(len(self.offsets) - 1, self.height), copy=False)

    @classmethod
    def dense(cls, values: Floats) -> Seeds:
        """Each user weighs every row: float32 (n_users, height). A sparse product still, since dense BLAS gives other
        bits for other batch shapes."""
        n_users, height = values.shape
        if n_users == 1:
            return cls(np.arange(height), values[0], np.array([0, height]), height)
        columns = np.tile(np.arange(height), n_users)
        return cls(columns, values.ravel(), np.arange(n_users + 1) * height, height)
