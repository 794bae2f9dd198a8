"""The people an agent may decide for, as columns: zones, consents and what conditions read. No rule is applied here."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recommender.attributes import AttributeColumn
from recommender.errors import InputError

__all__ = ["Audience"]

CONSENT = "consent_"
DEED = "did:"  # when a person last did something that stops messages; added by `deeds`, never a feature


@dataclass(frozen=True)
class Audience:
    """One row a person: an Arrow table with `user_id` (text, once each), `timezone`, `consent_<channel>` and any
    further columns, which conditions and policies read.
    """

    table: pa.Table

    @classmethod
    def read(cls, table: pa.Table) -> Audience:
        """Check what an audience's query gave; people come out in the order of their ids."""
        if "user_id" not in table.schema.names:
            found = f"an audience with the columns {', '.join(table.schema.names) or 'none'}."
            raise InputError(found, "a column user_id.", "Select user_id in the agent's audience.")
        ids = table["user_id"].cast(pa.string())
        if ids.null_count:
            raise InputError(f"{ids.null_count} people without a user_id.", "one in every row.", "Filter them out.")
        repeated = len(ids) - pc.count_distinct(ids).as_py()
        if repeated:
            found = f"{repeated} repeated people in an audience."
            raise InputError(found, "each user_id once.", "Select distinct user_id, or group.")
        place = table.schema.get_field_index("user_id")
        return cls(table.set_column(place, "user_id", ids).sort_by("user_id").combine_chunks())

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @cached_property
    def user_ids(self) -> list[str]:
        return list(self.table["user_id"].to_pylist())

    def consents(self, channel: str) -> npt.NDArray[np.bool_]:
        """Mask (n): who said yes to a channel. Unknown is no, and so is a column that is not there."""
        name = CONSENT + channel
        if name not in self.table.schema.names:
            return np.zeros(len(self), dtype=bool)
        column = self.table[name].combine_chunks()
        if not pa.types.is_boolean(column.type):
            text = pc.utf8_lower(column.cast(pa.string()))
            column = pc.is_in(text, value_set=pa.array(["true", "t", "yes", "y", "1"]))
        return np.asarray(pc.fill_null(column, False).to_numpy(zero_copy_only=False), dtype=bool)

    def zones(self, fallback: str) -> tuple[npt.NDArray[np.int64], list[ZoneInfo]]:
        """Each person's zone as a place in the list of all; what no zone is called takes the fallback."""
        given = self.table["timezone"].cast(pa.string()) if "timezone" in self.table.schema.names else None
        if given is None:
            return np.zeros(len(self), dtype=np.int64), [ZoneInfo(fallback)]
        encoded = pc.dictionary_encode(pc.fill_null(given, fallback).combine_chunks())
        found = [_zone(name, fallback) for name in encoded.dictionary.to_pylist()]
        return encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64), found

    def unknown_zones(self) -> dict[str, int]:
        """What stands for a time zone and is none, and how many people have it."""
        if "timezone" not in self.table.schema.names:
            return {}
        given = pc.value_counts(self.table["timezone"].cast(pa.string()).drop_null()).to_pylist()
        return {one["values"]: one["counts"] for one in given if _known_zone(one["values"]) is None}

    def column(self, name: str) -> AttributeColumn | None:
        """What conditions read of an attribute; None where the audience has no such column."""
        if name not in self.table.schema.names:
            return None
        values = self.table[name].combine_chunks()
        if pa.types.is_integer(values.type) or pa.types.is_floating(values.type):
            numbers = np.asarray(pc.fill_null(values.cast(pa.float64()), np.nan).to_numpy(zero_copy_only=False))
            texts = pa.array([_spelt(number) for number in numbers.tolist()], pa.string())
            column = AttributeColumn.of_texts(texts)
            return AttributeColumn(column.vocabulary, column.codes, numbers=numbers)
        return AttributeColumn.of_texts(values.cast(pa.string()))


def _zone(name: str, fallback: str) -> ZoneInfo:
    return _known_zone(name) or ZoneInfo(fallback)


def _known_zone(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):  # ZoneInfoNotFoundError is a KeyError
        return None


def _spelt(number: float) -> str | None:
    if math.isnan(number):
        return None
    return str(int(number)) if number.is_integer() else repr(number)
