"""Attributes of an item table with later rows over it: what was decoded below stays, the rest is put in place."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import numpy.typing as npt

from recommender.attributes import CATALOGUE_ATTRIBUTES, AttributeColumn, Attributes, attributes_of, keep_attributes
from recommender.catalogue import Overlay

__all__ = ["LaterAttributes", "lay_attributes"]

Rows = npt.NDArray[np.int64]


def lay_attributes(overlay: Overlay) -> Attributes:
    """The attributes of the wider table, from now on those of `attributes_of`; each column is made when asked for.

    Decoding 100,000 items takes 1.3 s; of these only the rows that are new are decoded.
    """
    found = LaterAttributes(overlay)
    keep_attributes(overlay.items, found)
    return found


class LaterAttributes(Attributes):
    """As the table below has them, but for the rows that are described anew."""

    def __init__(self, overlay: Overlay) -> None:
        super().__init__(overlay.items)
        # The attributes below, not the overlay: a table must be able to go while its attributes are held.
        self._below = attributes_of(overlay.base)
        self._rows = overlay.described
        self._part = Attributes(overlay.part(self._rows))

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(sorted({*self._below.names, *self._part.names}))

    def _decode(self, name: str) -> AttributeColumn | None:
        if name == "price":
            return AttributeColumn({}, numbers=self.prices)
        below, part = self._below.column(name), self._part.column(name)
        if part is None or not len(self._rows):
            return below if not len(self._rows) else _without(below, self._rows, self.size)
        if below is None:
            below = AttributeColumn({}, None, np.zeros(1, np.int64), np.zeros(0, np.int64), np.full(self.size, np.nan))
        vocabulary, code = _united(below, part)
        if below.codes is not None and part.codes is not None:
            codes = np.full(self.size, -1, dtype=np.int32)
            codes[: len(below.codes)] = below.codes
            codes[self._rows] = np.append(code, -1)[part.codes]
            return AttributeColumn(vocabulary, codes)
        item, own = _pairs(_without(below, self._rows, self.size))
        more_item, more = _pairs(part)
        item, own = np.concatenate([item, self._rows[more_item]]), np.concatenate([own, code[more]])
        order = np.lexsort((item, own))
        starts = np.concatenate([[0], np.cumsum(np.bincount(own, minlength=len(vocabulary)))]).astype(np.int64)
        return AttributeColumn(vocabulary, None, starts, item[order], self._numbers(name, below, part))

    def _numbers(self, name: str, below: AttributeColumn, part: AttributeColumn) -> npt.NDArray[np.float64] | None:
        if name in CATALOGUE_ATTRIBUTES or below.numbers is None or part.numbers is None:
            return None
        values = np.full(self.size, np.nan)
        values[: len(below.numbers)] = below.numbers
        values[self._rows] = part.numbers
        return values


def _without(column: AttributeColumn | None, rows: Rows, size: int) -> AttributeColumn | None:
    """The column where nothing is said of the items at `rows`, for a table of `size` items."""
    if column is None:
        return None
    codes, numbers, starts, postings = column.codes, column.numbers, column.starts, column.postings
    if codes is not None:
        codes = np.concatenate([codes, np.full(size - len(codes), -1, dtype=np.int32)])
        codes[rows] = -1
    if numbers is not None:
        numbers = np.concatenate([numbers, np.full(size - len(numbers), np.nan)])
        numbers[rows] = np.nan
    if starts is not None and postings is not None:
        is_new = np.zeros(size, dtype=np.bool_)
        is_new[rows] = True
        kept = ~is_new[postings]
        starts, postings = np.concatenate([[0], np.cumsum(kept)])[starts], postings[kept]
    return AttributeColumn(column.vocabulary, codes, starts, postings, numbers)


def _pairs(column: AttributeColumn | None) -> tuple[Rows, Rows]:
    """(item, code) of every value."""
    assert column is not None
    assert column.starts is not None
    assert column.postings is not None
    return column.postings, np.repeat(np.arange(len(column.starts) - 1), np.diff(column.starts))


def _united(below: AttributeColumn, part: AttributeColumn) -> tuple[dict[str, int], Rows]:
    """The vocabulary below with the part's new texts behind it, and the code of each of the part's texts in it."""
    vocabulary = dict(below.vocabulary)
    code = [vocabulary.setdefault(text, len(vocabulary)) for text in part.vocabulary]
    return vocabulary, np.array(code, dtype=np.int64)
