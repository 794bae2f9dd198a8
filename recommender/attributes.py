"""Attributes of every item as columns that conditions read, decoded once per item table. No condition lives here."""

from __future__ import annotations

import json
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recommender.states import ItemTable

__all__ = ["CATALOGUE_ATTRIBUTES", "AttributeColumn", "Attributes", "attributes_of", "keep_attributes"]

Rows = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

TEXT_COLUMNS = ("brand", "category")
CATALOGUE_ATTRIBUTES = ("brand", "category", "price", "tags")  # every catalogue may have them; others are its own


@dataclass(frozen=True)
class AttributeColumn:
    """One attribute of all items: texts, of which an item may have several, and numbers where all of them are.

    `codes` int32 (n_items), −1 where nothing is said, None where some item has several values; `starts`
    and `postings` list the items of each code, ascending; `numbers` float64 (n_items), nan where unknown.
    """

    vocabulary: Mapping[str, int] = field(repr=False)
    codes: npt.NDArray[np.int32] | None = None
    starts: Rows | None = None
    postings: Rows | None = None
    numbers: npt.NDArray[np.float64] | None = None

    @classmethod
    def of_texts(cls, texts: pa.Array) -> AttributeColumn:
        """One text an item; "" is none."""
        encoded = pc.dictionary_encode(pc.if_else(pc.equal(texts, ""), pa.scalar(None, pa.string()), texts))
        codes = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False).astype(np.int32)
        return cls({text: code for code, text in enumerate(encoded.dictionary.to_pylist())}, codes)

    @classmethod
    def of_lists(cls, items: Rows, texts: Sequence[str]) -> AttributeColumn:
        """Pairs of an item and one of its texts; items ascending."""
        encoded = pc.dictionary_encode(pa.array(texts, pa.string()))
        codes = encoded.indices.to_numpy(zero_copy_only=False)
        order = np.argsort(codes, kind="stable")
        starts = np.concatenate([[0], np.cumsum(np.bincount(codes, minlength=len(encoded.dictionary)))])
        vocabulary = {text: code for code, text in enumerate(encoded.dictionary.to_pylist())}
        return cls(vocabulary, None, starts.astype(np.int64), items[order])

    def has_any(self, texts: Sequence[str], rows: Rows) -> Mask:
        """Whether each of the items at `rows` has one of the texts."""
        wanted = [code for text in texts if (code := self.vocabulary.get(text)) is not None]
        if self.codes is not None:
            own = self.codes[rows]
            return np.asarray(own == wanted[0] if len(wanted) == 1 else np.isin(own, wanted))
        found = np.zeros(len(rows), dtype=bool)
        assert self.starts is not None
        assert self.postings is not None
        for code in wanted:
            having = self.postings[self.starts[code] : self.starts[code + 1]]
            place = np.minimum(np.searchsorted(having, rows), len(having) - 1)
            found |= having[place] == rows
        return found

    @cached_property
    def sorted_numbers(self) -> npt.NDArray[np.float64]:
        """The known numbers of all items, ascending."""
        assert self.numbers is not None
        return np.sort(self.numbers[~np.isnan(self.numbers)])

    def lies_between(self, low: float, high: float, rows: Rows) -> Mask:
        """Whether each item's number is known and within the inclusive range."""
        if self.numbers is None:
            return np.zeros(len(rows), dtype=bool)
        values = self.numbers[rows]
        return np.asarray((low <= values) & (values <= high))


class Attributes:
    """The columns of one item table, each decoded when it is first asked for."""

    def __init__(self, items: ItemTable) -> None:
        names = [
            name for name in (*TEXT_COLUMNS, "tags", "price_micros", "attributes") if name in items.table.schema.names
        ]
        # The columns, not the table: an item table must be able to go while its attributes are still held here.
        self._raw: dict[str, pa.Array] = {name: items.table[name].combine_chunks() for name in names}
        self._decoded: dict[str, AttributeColumn] = {}
        self.size = len(items)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Every attribute that some item has a value of, and those that any catalogue may have."""
        return tuple(sorted({*CATALOGUE_ATTRIBUTES, *self._own}))

    def warm(self) -> None:
        """Decode everything now, so that no request pays for it."""
        for name in self.names:
            self.column(name)

    def column(self, name: str) -> AttributeColumn | None:
        """The attribute of that name; None where no item has it."""
        if name not in self._decoded:
            found = self._decode(name)
            if found is None:
                return None
            self._decoded[name] = found
        return self._decoded[name]

    def codes(self, name: str) -> npt.NDArray[np.int32]:
        """Codes of a catalogue text, brand or category: int32 (n_items), −1 where unknown."""
        column = self.column(name)
        assert column is not None
        assert column.codes is not None
        return column.codes

    @cached_property
    def prices(self) -> npt.NDArray[np.float64]:
        """Price of each item in natural units, nan where unknown."""
        micros = self._raw["price_micros"].to_numpy(zero_copy_only=False)
        return np.where(micros > 0, micros / 1e6, np.nan)

    def _decode(self, name: str) -> AttributeColumn | None:
        if name in TEXT_COLUMNS:
            return AttributeColumn.of_texts(self._raw[name])
        if name == "tags":
            return _tags(self._raw["tags"])
        if name == "price":
            return AttributeColumn({}, numbers=self.prices)
        return _own_column(self._own[name], self.size) if name in self._own else None

    @cached_property
    def _own(self) -> dict[str, list[tuple[int, Any]]]:
        """The catalogue's further attributes: name → (item, value), nulls left out."""
        found: dict[str, list[tuple[int, Any]]] = {}
        if "attributes" not in self._raw:
            return found
        texts = self._raw["attributes"]
        # In Python: 1.3 s for 100,000 items of five attributes each, once a loaded bundle (values may be of any type).
        decoded: dict[str, Any] = {"": {}, "{}": {}}
        for item, text in enumerate(texts.to_pylist()):
            if text not in decoded:
                decoded[text] = json.loads(text)
            for name, value in decoded[text].items():
                if value is not None and name not in CATALOGUE_ATTRIBUTES:
                    found.setdefault(name, []).append((item, value))
        return found


_DERIVED: dict[int, Attributes] = {}


def attributes_of(items: ItemTable) -> Attributes:
    """The attributes of an item table, made once and kept as long as the table lives."""
    key = id(items)
    if key not in _DERIVED:
        keep_attributes(items, Attributes(items))
    return _DERIVED[key]


def keep_attributes(items: ItemTable, attributes: Attributes) -> None:
    """Have `attributes_of` give these as long as the item table lives."""
    _DERIVED[id(items)] = attributes
    weakref.finalize(items, _DERIVED.pop, id(items), None)


def _tags(texts: pa.Array) -> AttributeColumn:
    """Comma separated texts, trimmed; an empty one is none."""
    split = pc.split_pattern(texts, ",")
    item = pc.list_parent_indices(split).to_numpy()
    words = pc.utf8_trim_whitespace(pc.list_flatten(split))
    keep = pc.not_equal(words, "")
    return AttributeColumn.of_lists(item[keep.to_numpy(zero_copy_only=False)].astype(np.int64), words.filter(keep))


def _own_column(pairs: Sequence[tuple[int, Any]], size: int) -> AttributeColumn:
    """An attribute of the catalogue's own: texts always, numbers as well where every value reads as one."""
    spread = [(item, one) for item, value in pairs for one in (value if isinstance(value, list) else [value])]
    numbers = [_number(value) for _, value in spread]
    items = np.array([item for item, _ in spread], dtype=np.int64)
    texts = [_text(value, number) for (_, value), number in zip(spread, numbers, strict=True)]
    column = AttributeColumn.of_lists(items, texts)
    if any(number is None for number in numbers):
        return column
    values = np.full(size, np.nan)
    values[items] = numbers
    return AttributeColumn(column.vocabulary, None, column.starts, column.postings, values)


def _number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if np.isfinite(number) else None


def _text(value: Any, number: float | None = None) -> str:
    """One spelling a value: true, 8 (also for 8.0 and "8.0"), 0.5, red."""
    if number is not None:
        return str(int(number)) if number.is_integer() else repr(number)
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.strip() if isinstance(value, str) else json.dumps(value, sort_keys=True)
