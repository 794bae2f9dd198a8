"""States of one person, or of a few, read without a table in between. What a state holds is defined in `states`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from recommender.states import UserStates

__all__ = ["People", "PersonState"]


class PersonState(UserStates):
    """`UserStates` of one row, such as `merge_live` gives: the same values, 10 µs instead of the 500 that building an
    Arrow table of 27 columns and decoding it again took.

    Texts come back as lists. The table is made only if somebody asks for it. A row whose columns are missing or
    of another kind raises KeyError, TypeError or ValueError when they are read.
    """

    def __init__(self, row: Mapping[str, Any]) -> None:
        object.__setattr__(self, "_row", row)
        object.__setattr__(self, "_decoded", {})

    _row: Mapping[str, Any]
    _decoded: dict[str, npt.NDArray[np.int64]]

    @property
    def table(self) -> pa.Table:  # type: ignore[override]  # a field there, made on demand here
        return UserStates.from_rows([self._row]).table

    def __len__(self) -> int:
        return 1

    @property
    def user_ids(self) -> list[str]:
        return [self._row["user_id"]]

    def integers(self, name: str) -> npt.NDArray[np.int64]:
        return np.array([self._row[name]], dtype=np.int64)

    def integers_of(self, names: Sequence[str]) -> npt.NDArray[np.int64]:
        return np.array([[self._row[name] for name in names]], dtype=np.int64)

    def texts(self, name: str) -> Sequence[str]:
        return [self._row[name]]

    def offsets(self, name: str) -> npt.NDArray[np.int64]:
        return np.array([0, len(self._row[name])], dtype=np.int64)

    def flat(self, name: str) -> Sequence[Any]:
        return self._row[name]  # type: ignore[no-any-return]

    def flat_integers(self, name: str) -> npt.NDArray[np.int64]:
        if name not in self._decoded:
            self._decoded[name] = np.array(self._row[name], dtype=np.int64)
        return self._decoded[name]

    def flat_integers_of(self, names: Sequence[str]) -> npt.NDArray[np.int64]:
        return np.array([self._row[name] for name in names], dtype=np.int64)

    def take(self, rows: npt.NDArray[np.int64]) -> UserStates:
        return UserStates(self.table.take(pa.array(rows)))

    def slice(self, start: int, length: int) -> UserStates:
        return self if (start, length) == (0, 1) else UserStates(self.table.slice(start, length))


class People(UserStates):
    """The states of several batches, one behind the other, whose columns are put together when they are read."""

    def __init__(self, parts: Sequence[UserStates]) -> None:
        object.__setattr__(self, "_parts", tuple(parts))

    _parts: tuple[UserStates, ...]

    @property
    def table(self) -> pa.Table:  # type: ignore[override]  # a field there, made on demand here
        return pa.concat_tables([part.table for part in self._parts]).combine_chunks()

    def __len__(self) -> int:
        return sum(map(len, self._parts))

    @property
    def user_ids(self) -> list[str]:
        return [name for part in self._parts for name in part.user_ids]

    def integers(self, name: str) -> npt.NDArray[np.int64]:
        return np.concatenate([part.integers(name) for part in self._parts])

    def integers_of(self, names: Sequence[str]) -> npt.NDArray[np.int64]:
        return np.concatenate([part.integers_of(names) for part in self._parts])

    def texts(self, name: str) -> Sequence[str]:
        return [text for part in self._parts for text in _plain(part.texts(name))]

    def offsets(self, name: str) -> npt.NDArray[np.int64]:
        ends = np.concatenate([np.diff(part.offsets(name)) for part in self._parts])
        return np.concatenate([[0], np.cumsum(ends)])

    def flat(self, name: str) -> Sequence[Any]:
        return [value for part in self._parts for value in _plain(part.flat(name))]

    def flat_integers(self, name: str) -> npt.NDArray[np.int64]:
        return np.concatenate([part.flat_integers(name) for part in self._parts])

    def flat_integers_of(self, names: Sequence[str]) -> npt.NDArray[np.int64]:
        return np.concatenate([part.flat_integers_of(names) for part in self._parts], axis=1)


def _plain(values: pa.Array | Sequence[Any]) -> Sequence[Any]:
    return values.to_pylist() if isinstance(values, pa.Array) else values
