"""Contexts as numbers: one float32 matrix from a table of features, alike in fitting and choosing. No model here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recommender.errors import InputError

__all__ = ["ContextColumn", "ContextEncoder"]

MOST_LEVELS = 30
DAY_US = 86_400_000_000
Matrix = npt.NDArray[np.float32]


@dataclass(frozen=True)
class ContextColumn:
    """One feature: `kind` number, flag, text or time; `levels` the values of a text that have a column of their own."""

    name: str
    kind: str
    levels: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        return {"text": len(self.levels), "time": 3}.get(self.kind, 1)

    @property
    def names(self) -> list[str]:
        """One name for each number."""
        if self.kind == "text":
            return [f"{self.name} = {level}" for level in self.levels]
        return [f"{self.name} {part}" for part in ("hour", "weekday", "day")] if self.kind == "time" else [self.name]


@dataclass(frozen=True)
class ContextEncoder:
    """Numbers and flags as they are (NaN where missing, infinite or beyond float32), the frequent values of a text as 0
    or 1, a time as hour, weekday (Monday 0) and days since 1970, all UTC."""

    columns: tuple[ContextColumn, ...]

    @classmethod
    def fit(cls, contexts: pa.Table) -> ContextEncoder:
        """Kinds from the types, levels from the values: at most 30 a column, each in five rows or more."""
        return cls(tuple(_column(name, contexts[name]) for name in contexts.column_names))

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for column in self.columns for name in column.names)

    def transform(self, contexts: pa.Table) -> tuple[Matrix, tuple[str, ...]]:
        """float32 (n, width), and a sentence for everything that the fitted log did not have.

        A column that is missing counts as missing in every row, an unknown value as none of the known ones; InputError
        when not one column is there or a value cannot be read as its kind.
        """
        known = [column for column in self.columns if column.name in contexts.column_names]
        if self.columns and not known:
            raise InputError(
                f"contexts with the columns {', '.join(contexts.column_names) or '(none)'}.",
                f"the features that the policy was fitted on: {', '.join(column.name for column in self.columns)}.",
                "Write the contexts with the columns of the log.",
            )
        parts, said = [], []
        for column in self.columns:
            if column not in known:
                said.append(f"{column.name} is not among the contexts: it counts as missing in every row")
                fill = 0.0 if column.kind == "text" else np.nan
                parts.append(np.full((contexts.num_rows, column.width), fill, dtype=np.float32))
                continue
            values, unknown = _encoded(column, contexts[column.name])
            parts.append(values)
            if unknown:
                said.append(f"{column.name} has a value in {unknown:,} rows that was not frequent in the log")
        empty = np.zeros((contexts.num_rows, 0), dtype=np.float32)
        return np.hstack([empty, *parts]).astype(np.float32), tuple(said)

    def as_json(self) -> list[dict[str, Any]]:
        return [asdict(column) for column in self.columns]

    @classmethod
    def from_json(cls, content: list[Mapping[str, Any]]) -> ContextEncoder:
        return cls(tuple(ContextColumn(own["name"], own["kind"], tuple(own["levels"])) for own in content))


def _column(name: str, column: pa.ChunkedArray) -> ContextColumn:
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if pa.types.is_boolean(kind):
        return ContextColumn(name, "flag")
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return ContextColumn(name, "time")
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return ContextColumn(name, "number")
    counted = pc.value_counts(column.cast(pa.string()).drop_null().combine_chunks())
    values, counts = (part.to_pylist() for part in counted.flatten())
    frequent = sorted(zip(values, counts, strict=True), key=lambda entry: (-entry[1], entry[0]))[:MOST_LEVELS]
    return ContextColumn(name, "text", tuple(sorted(value for value, count in frequent if count >= 5)))


def _encoded(column: ContextColumn, values: pa.ChunkedArray) -> tuple[Matrix, int]:
    """float32 (n, width), and how many rows hold a text without a column of its own."""
    try:
        if column.kind == "text":
            codes = pc.index_in(values.cast(pa.string()), pa.array(column.levels, pa.string()))
            place = codes.fill_null(-1).to_numpy()
            unknown = int((place < 0).sum()) - int(values.null_count)
            return (place[:, None] == np.arange(len(column.levels))).astype(np.float32), unknown
        if column.kind == "time":
            micros = values.cast(pa.timestamp("us")).cast(pa.int64())
            at = np.asarray(micros.cast(pa.float64()).to_numpy(zero_copy_only=False))
            day = np.floor(at / DAY_US)
            return np.stack([np.floor((at - day * DAY_US) / 3.6e9), (day + 3) % 7, day], axis=1).astype(np.float32), 0
        if column.kind == "flag" and pa.types.is_boolean(values.type):
            values = values.cast(pa.int8())
        with np.errstate(over="ignore"):
            numbers = np.array(values.cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float32)
        numbers[np.isinf(numbers)] = np.nan  # "never" is often written as infinity, which trees refuse
        return numbers[:, None], 0
    except pa.ArrowException as problem:
        raise InputError(
            f"the context {column.name} of type {values.type} ({str(problem).splitlines()[0]}).",
            f"a {column.kind}, as in the log that the policy was fitted on.",
            f"Write {column.name} with the type it has in the log.",
        ) from problem
