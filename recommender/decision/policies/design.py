"""Contexts standardised for linear models: mean 0, deviation 1, missing at the mean, a 1 appended. No model here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Standard", "row_products"]

Matrix = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]

ROWS_AT_A_TIME = 4096


@dataclass(frozen=True)
class Standard:
    """`centre` and `scale`, float64 (d), of the contexts that were there."""

    centre: Floats
    scale: Floats

    @classmethod
    def of(cls, contexts: Matrix) -> Standard:
        raw = contexts.astype(np.float64)
        known = ~np.isnan(raw)
        count = np.maximum(known.sum(axis=0), 1)
        centre = np.where(known, raw, 0.0).sum(axis=0) / count
        scale = np.sqrt((np.where(known, raw - centre, 0.0) ** 2).sum(axis=0) / count)
        return cls(centre, np.where(scale > 0, scale, 1.0))

    def design(self, contexts: Matrix) -> Floats:
        """float64 (n, d + 1)."""
        values = np.nan_to_num((contexts.astype(np.float64) - self.centre) / self.scale, nan=0.0)
        return np.column_stack([values, np.ones(len(values))])

    def as_json(self) -> dict[str, list[float]]:
        return {"centre": self.centre.tolist(), "scale": self.scale.tolist()}

    @classmethod
    def from_json(cls, content: Mapping[str, list[float]]) -> Standard:
        return cls(np.asarray(content["centre"], dtype=np.float64), np.asarray(content["scale"], dtype=np.float64))


def row_products(design: Floats, weights: Floats) -> Floats:
    """float64 (n, m): design (n, d) times weights (m, d) transposed, summed row by row and not by BLAS, so that a row
    alone gets the same bits as among thousands."""
    found = np.empty((len(design), len(weights)))
    for start in range(0, len(design), ROWS_AT_A_TIME):
        rows = slice(start, start + ROWS_AT_A_TIME)
        found[rows] = (design[rows, None, :] * weights).sum(axis=2)
    return found
