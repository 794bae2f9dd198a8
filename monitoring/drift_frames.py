"""Any table turned into columns whose distributions can be compared: floats and texts. No statistics here."""

from __future__ import annotations

from collections.abc import Collection
from typing import TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa

from recommender.errors import InputError

__all__ = ["Frame", "comparable_frames", "is_numeric"]

_LARGEST = 1e150  # its square is still a float
_BINS = 1_000

Frame: TypeAlias = "pa.Table | pd.DataFrame"


def comparable_frames(
    reference: Frame, current: Frame, ignored: Collection[str], min_rows: int
) -> tuple[pd.DataFrame, pd.DataFrame, tuple[str, ...]]:
    """Both frames with the same columns, float64 or object, and the names of the columns left out.

    Left out are the ignored ones (silently), types without a distribution (times, lists), numbers whose
    spread a float64 cannot resolve, and columns with fewer than `min_rows` values on either side. A column
    with gaps also becomes a second one, `<name> is missing`, because effect sizes ignore gaps: a feed that
    went silent would pass unseen.
    Raises InputError when the current frame lacks a column of the reference.
    """
    before, after = _pandas(reference), _pandas(current)
    names = [name for name in before.columns if name not in ignored]
    if absent := [name for name in names if name not in after.columns]:
        raise InputError(
            f"a current window without the column(s) {', '.join(absent)}.",
            f"every column of the reference: {', '.join(names)}.",
            "profile both sides with the same version, or profile the reference again.",
        )
    pairs: dict[str, tuple[pd.Series, pd.Series]] = {}
    skipped = []
    for name in names:
        left, right = _comparable(before[name]), _comparable(after[name])
        if left is None or right is None or left.dtype != right.dtype or not (_spreads(left) and _spreads(right)):
            skipped.append(name)
            continue
        if left.isna().any() or right.isna().any():
            pairs[f"{name} is missing"] = (_gaps(left), _gaps(right))
        pairs[name] = (left, right)
    few = [name for name, pair in pairs.items() if min(side.notna().sum() for side in pair) < min_rows]
    kept = [name for name in pairs if name not in few]
    return (
        pd.DataFrame({name: pairs[name][0] for name in kept}),
        pd.DataFrame({name: pairs[name][1] for name in kept}),
        tuple(skipped + few),
    )


def is_numeric(column: pd.Series) -> bool:
    """Of the two kinds that `comparable_frames` yields, is this the float one?"""
    return bool(column.dtype != object)


def _pandas(frame: Frame) -> pd.DataFrame:
    return frame.to_pandas() if isinstance(frame, pa.Table) else frame.reset_index(drop=True)


def _comparable(column: pd.Series) -> pd.Series | None:
    """Numbers as float64 (infinities are gaps, as in Evidently); texts, categories and booleans as objects."""
    kinds = pd.api.types
    if kinds.is_bool_dtype(column) or isinstance(column.dtype, pd.CategoricalDtype) or kinds.is_string_dtype(column):
        return _texts(column)
    if kinds.is_numeric_dtype(column):
        return column.astype(np.float64).replace([np.inf, -np.inf], np.nan)
    if column.dtype == object and all(isinstance(value, str | bool) for value in column.dropna().unique()[:100]):
        return _texts(column)
    return None


def _spreads(column: pd.Series) -> bool:
    """Can a histogram be drawn? numpy raises when ten bins are finer than the floats, as with ids near 2**60."""
    if not is_numeric(column) or not column.notna().any():
        return True
    low, high = float(column.min()), float(column.max())
    largest = max(abs(low), abs(high))
    return largest < _LARGEST and ((high - low) or 1.0) > _BINS * np.spacing(largest)


def _texts(column: pd.Series) -> pd.Series:
    return column.astype(object).where(column.notna(), None).map(str, na_action="ignore").astype(object)


def _gaps(column: pd.Series) -> pd.Series:
    return column.isna().map({True: "missing", False: "present"}).astype(object)
