"""Vectors of rows that were laid over an item table: read with the words and weights of the table below. No new fit."""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from scipy import sparse

from recommender.attributes import CATALOGUE_ATTRIBUTES, AttributeColumn, Attributes, attributes_of
from recommender.catalogue import Overlay
from recommender.retrieval.item_vectors import (
    ItemVectors,
    VectorConfig,
    coded,
    item_vectors,
    keep_vectors,
    merit_of,
    of_length_one,
    priced,
    split_words,
    weighted,
)
from recommender.states import ItemTable

__all__ = ["LaidVectors", "lay_vectors"]

Integers = npt.NDArray[np.int64]
Fitted = tuple[Integers, int]  # how many items have each term, and how many items there are


@dataclass(frozen=True)
class LaidVectors:
    """`vectors` of the wider table; `rows` of it that were read anew, and their vectors, `part`, alone."""

    vectors: ItemVectors
    rows: Integers
    part: ItemVectors


def lay_vectors(overlay: Overlay) -> LaidVectors:
    """The vectors of the wider table, from now on those of `item_vectors`.

    Rows whose description is new are read with the vocabulary below: a word, value or category that the catalogue did
    not have counts in an item's length alone, as one that a single item has. A change of price alone moves no vector
    (it weighs 7 in 100) until the next run.
    """
    below, items = item_vectors(overlay.base), overlay.part(overlay.described)
    matrix, changed = below.matrix, overlay.described[: len(overlay.described) - len(overlay.added)]
    part = ItemVectors(sparse.csr_matrix((0, matrix.shape[1]), dtype=np.float32), np.zeros(0, np.int64))
    if len(items):
        part = ItemVectors(_encoder_of(overlay.base).matrix(items), merit_of(items))
        matrix = sparse.vstack([matrix, part.matrix], format="csr")
        if len(changed):
            n = len(overlay.base)
            place = np.concatenate([np.arange(n), n + len(changed) + np.arange(len(overlay.added))])
            place[changed] = n + np.arange(len(changed))
            matrix = matrix[place]
    vectors = ItemVectors(matrix, np.concatenate([below.merit, overlay.added]))
    keep_vectors(overlay.items, vectors)
    return LaidVectors(vectors, overlay.described, part)


@dataclass(frozen=True)
class _Encoder:
    """What the vectors of one table were made with, found again; `values`: name → text → code."""

    config: VectorConfig
    words: pa.Array
    of_words: Fitted
    category: Mapping[str, int]
    brand: Mapping[str, int]
    lowest_price: float
    bands: int
    tags: Mapping[str, Mapping[str, int]]
    of_tags: Fitted
    values: Mapping[str, Mapping[str, int]]
    of_values: Fitted

    @classmethod
    def of(cls, items: ItemTable, config: VectorConfig) -> _Encoder:
        known = attributes_of(items)
        owner, words = split_words(items)
        encoded = pc.dictionary_encode(words)
        pairs = np.unique(owner * max(len(encoded.dictionary), 1) + encoded.indices.to_numpy())
        frequency = np.bincount(pairs % max(len(encoded.dictionary), 1), minlength=len(encoded.dictionary))
        tags, of_tags = _terms(known, ("tags",))
        values, of_values = _terms(known, _own_names(known))
        return cls(
            config,
            encoded.dictionary,
            (frequency, len(items)),
            _vocabulary(known.column("category")),
            _vocabulary(known.column("brand")),
            float(np.nanmin(known.prices)) if not np.isnan(known.prices).all() else 1.0,
            priced(known.prices, config.price_band).shape[1],
            tags,
            of_tags,
            values,
            of_values,
        )

    def matrix(self, items: ItemTable) -> sparse.csr_matrix:
        """Rows of length 1 over the features of the table below: float32 csr (n, n_features)."""
        known, config, n = Attributes(items), self.config, len(items)
        owner, words = split_words(items)
        code, frequency = self._word_codes(words)
        parts = (
            (config.text, weighted(owner, code, n, len(frequency), (frequency, self.of_words[1]))),
            (config.category, coded(_recoded(known.column("category"), self.category), n)),
            (config.brand, coded(_recoded(known.column("brand"), self.brand), n)),
            (config.price, priced(known.prices, config.price_band, self.lowest_price, self.bands)),
            (config.tags, _valued(known, ("tags",), self.tags, self.of_tags)),
            (config.attributes, _valued(known, _own_names(known), self.values, self.of_values)),
        )
        whole = sparse.hstack([part * np.float32(np.sqrt(weight)) for weight, part in parts], format="csr")
        return of_length_one(whole)

    def _word_codes(self, words: pa.Array) -> tuple[Integers, Integers]:
        """Codes of words, unknown ones behind the known, each counted as if one item had it."""
        encoded = pc.dictionary_encode(words)
        found = pc.index_in(encoded.dictionary, value_set=self.words)
        code = pc.fill_null(found, -1).to_numpy(zero_copy_only=False).astype(np.int64)
        return _behind(code, self.of_words[0], encoded.indices.to_numpy())


_ENCODERS: dict[int, _Encoder] = {}


def _encoder_of(items: ItemTable) -> _Encoder:
    """Made when a table is first laid over, 0.5 s for 100,000 items, and kept as long as the table lives."""
    if id(items) not in _ENCODERS:
        _ENCODERS[id(items)] = _Encoder.of(items, VectorConfig())
        weakref.finalize(items, _ENCODERS.pop, id(items), None)
    return _ENCODERS[id(items)]


def _own_names(known: Attributes) -> list[str]:
    return [name for name in known.names if name not in CATALOGUE_ATTRIBUTES]


def _vocabulary(column: AttributeColumn | None) -> Mapping[str, int]:
    return {} if column is None else column.vocabulary


def _recoded(column: AttributeColumn | None, vocabulary: Mapping[str, int]) -> AttributeColumn:
    """One text an item, in the codes of the table below; −1 for one that is new."""
    assert column is not None
    assert column.codes is not None
    code = np.array([vocabulary.get(text, -1) for text in column.vocabulary] + [-1], dtype=np.int32)
    return AttributeColumn(vocabulary, code[column.codes])


def _terms(known: Attributes, names: Sequence[str]) -> tuple[Mapping[str, Mapping[str, int]], Fitted]:
    """Codes in the order in which the vectors were made, and how many items have each."""
    codes: dict[str, Mapping[str, int]] = {}
    counts, width = [np.zeros(0, np.int64)], 0
    for name in names:
        column = known.column(name)
        if column is not None and column.starts is not None:
            codes[name] = {text: width + code for text, code in column.vocabulary.items()}
            # An item that names a value twice has it once.
            counts.append(_distinct_items(column))
            width += len(column.starts) - 1
    return codes, (np.concatenate(counts), known.size)


def _distinct_items(column: AttributeColumn) -> Integers:
    assert column.starts is not None
    assert column.postings is not None
    own = np.repeat(np.arange(len(column.starts) - 1), np.diff(column.starts))
    is_first = np.ones(len(own), dtype=np.bool_)
    is_first[1:] = (np.diff(own) != 0) | (np.diff(column.postings) != 0)
    return np.bincount(own[is_first], minlength=len(column.starts) - 1)


def _valued(
    known: Attributes, names: Sequence[str], codes: Mapping[str, Mapping[str, int]], fitted: Fitted
) -> sparse.csr_matrix:
    owners, found, texts = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    width = 0
    for name in names:
        column = known.column(name)
        if column is None or column.starts is None or column.postings is None:
            continue
        own = codes.get(name, {})
        texts.append(np.array([own.get(text, -1) for text in column.vocabulary], dtype=np.int64))
        owners.append(column.postings)
        found.append(width + np.repeat(np.arange(len(column.vocabulary)), np.diff(column.starts)))
        width += len(column.vocabulary)
    code, frequency = _behind(np.concatenate(texts), fitted[0], np.concatenate(found))
    return weighted(np.concatenate(owners), code, known.size, len(frequency), (frequency, fitted[1]))


def _behind(code: Integers, frequency: Integers, chosen: npt.NDArray[np.integer]) -> tuple[Integers, Integers]:
    """`code` of each term, −1 for unknown ones, which get places behind the known and a frequency of one; the codes at
    `chosen`, and the longer frequencies."""
    unknown = np.flatnonzero(code < 0)
    code = code.copy()
    code[unknown] = len(frequency) + np.arange(len(unknown))
    return code[chosen], np.concatenate([frequency, np.ones(len(unknown), dtype=np.int64)])
