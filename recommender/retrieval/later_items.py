"""Generators over an item table that later rows were laid over: what was fitted stays, and reaches further. No new fit.

Of a new item nobody's behaviour is known: it is proposed for what it is (content, sequence) and for being new. What a
pipeline run would say of it otherwise is what is usual in the shop, or nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import singledispatch
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from scipy import sparse

from recommender.catalogue import Overlay
from recommender.retrieval.candidates import CandidateGenerator
from recommender.retrieval.collaborative import AlsGenerator, EaseGenerator
from recommender.retrieval.content import ContentGenerator, LikeRecentGenerator
from recommender.retrieval.covisitation import (
    BoughtTogetherGenerator,
    CovisitationGenerator,
    PairMatrices,
    SessionGenerator,
)
from recommender.retrieval.history import HistoryGenerator, ReplenishGenerator, ViewedGenerator
from recommender.retrieval.item_vectors import item_vectors
from recommender.retrieval.later_vectors import LaidVectors, lay_vectors
from recommender.retrieval.popular import PopularGenerator, fit_arrivals
from recommender.retrieval.retriever import Retriever
from recommender.retrieval.segments import PopularCategoryGenerator, PopularSegmentGenerator, fit_popular_category
from recommender.retrieval.sequence import SequenceGenerator, suggested_vectors
from recommender.states import ItemTable

__all__ = ["later_codes", "lay_generators"]

Floats = npt.NDArray[np.float32]


def lay_generators(retriever: Retriever, overlay: Overlay) -> Retriever:
    """The retriever over the wider table; the one below stays as it is and shares what did not change."""
    ground = _Ground(overlay, lay_vectors(overlay), retriever.config.of("arrivals"))
    wider = tuple(_wider(generator, ground) for generator in retriever.generators)
    return Retriever(overlay.items, wider, retriever.config)


def later_codes(codes: npt.NDArray[np.int32], overlay: Overlay, name: str) -> npt.NDArray[np.int32]:
    """`codes` of a text column below (as `ItemTable.codes` gives them), with those of the later rows; new texts get
    codes behind the known."""
    rows = np.concatenate([overlay.changed[name], overlay.added])
    if not len(rows):
        return codes
    texts = overlay.items.table[name].combine_chunks().take(pa.array(rows)).to_pylist()
    known = _known_codes(overlay.base, codes, name, set(texts))
    found = np.concatenate([codes, np.full(len(overlay.added), -1, dtype=np.int32)])
    behind = int(codes.max(initial=-1)) + 1
    for text in texts:
        if text and text not in known:
            known[text] = behind
            behind += 1
    found[rows] = [known.get(text, -1) for text in texts]
    return found


@dataclass(frozen=True)
class _Ground:
    """What all generators of one overlay need; `lists` by their length, made once."""

    overlay: Overlay
    laid: LaidVectors
    arrivals: Any
    lists: dict[int, sparse.csr_matrix] = field(default_factory=dict)
    pairs: dict[int, PairMatrices] = field(default_factory=dict)

    @property
    def size(self) -> int:
        return len(self.overlay.items)


@singledispatch
def _wider(generator: CandidateGenerator, ground: _Ground) -> CandidateGenerator:
    raise TypeError(f"no way is written to lay rows over a generator of type {type(generator).__name__}")


@_wider.register(HistoryGenerator)
@_wider.register(ViewedGenerator)
def _(generator: Any, ground: _Ground) -> Any:
    return generator


@_wider.register
def _(generator: ReplenishGenerator, ground: _Ground) -> ReplenishGenerator:
    items, n = ground.overlay.base, len(ground.overlay.added)
    users, repeated = items.integers("user_count"), items.integers("repeat_user_count")
    usual = generator.gap_days[repeated == 0] if (repeated == 0).any() else generator.gap_days
    gap = np.full(n, np.median(usual) if len(usual) else 28.0, dtype=np.float32)
    again = np.full(n, repeated.sum() / max(users.sum(), 1), dtype=np.float32)
    gaps, repeats = np.concatenate([generator.gap_days, gap]), np.concatenate([generator.repeat, again])
    return replace(generator, gap_days=gaps, repeat=repeats)


@_wider.register(SessionGenerator)
@_wider.register(CovisitationGenerator)
@_wider.register(BoughtTogetherGenerator)
def _(generator: Any, ground: _Ground) -> Any:
    if id(generator.pairs) not in ground.pairs:
        by_kind: Mapping[str, sparse.csr_matrix] = generator.pairs.by_kind
        kinds = {kind: _grown(matrix, ground.size, ground.size) for kind, matrix in by_kind.items()}
        ground.pairs[id(generator.pairs)] = PairMatrices(kinds, ground.size)
    neighbours = _grown(generator._neighbours, ground.size, ground.size)  # added up once, below
    return _with(replace(generator, pairs=ground.pairs[id(generator.pairs)]), _neighbours=neighbours)


@_wider.register
def _(generator: EaseGenerator, ground: _Ground) -> EaseGenerator:
    return replace(generator, weights=_grown(generator.weights, ground.size, ground.size))


@_wider.register
def _(generator: AlsGenerator, ground: _Ground) -> AlsGenerator:
    return replace(generator, fold_in=_longer(generator.fold_in, ground.size))


@_wider.register
def _(generator: SequenceGenerator, ground: _Ground) -> SequenceGenerator:
    """New items stand where their content suggests, as in a fit; of many the newest are covered."""
    added, laid = ground.overlay.added, ground.laid
    if not len(added):
        return generator
    vectors = _longer(generator.vectors, ground.size)
    own = laid.part.matrix[len(laid.rows) - len(added) :]
    vectors[added] = suggested_vectors(generator, item_vectors(ground.overlay.base), own)
    has = added[np.abs(vectors[added]).sum(axis=1) > 0]
    listed = ground.overlay.items.integers("listed_ms")[has]
    newest = has[np.argsort(-listed, kind="stable")[: generator.config.max_items]]
    return replace(generator, vectors=vectors, chosen=np.concatenate([generator.chosen, np.sort(newest)]))


@_wider.register(ContentGenerator)
@_wider.register(LikeRecentGenerator)
def _(generator: Any, ground: _Ground) -> Any:
    length = generator.config.list_length
    if length not in ground.lists:
        ground.lists[length] = _longer_lists(generator._lists, ground, length)
    return _with(replace(generator, vectors=ground.laid.vectors), _lists=ground.lists[length])


@_wider.register
def _(generator: PopularCategoryGenerator, ground: _Ground) -> PopularCategoryGenerator:
    if len(ground.overlay.changed["category"]):
        return fit_popular_category(ground.overlay.items, generator.config)
    codes = later_codes(generator.categories, ground.overlay, "category")
    width = max(generator.shares.shape[0], int(codes.max(initial=-1)) + 1)
    return replace(generator, categories=codes, shares=_grown(generator.shares, width, ground.size))


@_wider.register
def _(generator: PopularSegmentGenerator, ground: _Ground) -> PopularSegmentGenerator:
    return replace(generator, shares=_grown(generator.shares, generator.shares.shape[0], ground.size))


@_wider.register
def _(generator: PopularGenerator, ground: _Ground) -> PopularGenerator:
    if generator.name == "arrivals":
        return fit_arrivals(ground.overlay.items, ground.arrivals)
    return replace(generator, item_scores=_longer(generator.item_scores, ground.size))


def _with(generator: Any, **made: Any) -> Any:
    """A generator with properties that were made already."""
    vars(generator).update(made)
    return generator


def _grown(matrix: sparse.csr_matrix, rows: int, columns: int) -> sparse.csr_matrix:
    """The matrix with empty rows and columns behind; its entries are shared."""
    more = np.full(rows - matrix.shape[0], matrix.indptr[-1], dtype=matrix.indptr.dtype)
    parts = (matrix.data, matrix.indices, np.concatenate([matrix.indptr, more]))
    return sparse.csr_matrix(parts, shape=(rows, columns), copy=False)


def _longer(array: Floats, n: int) -> Floats:
    """The array with rows of zeros behind."""
    longer = np.zeros((n, *array.shape[1:]), dtype=array.dtype)
    longer[: len(array)] = array
    return longer


def _longer_lists(lists: sparse.csr_matrix, ground: _Ground, length: int) -> sparse.csr_matrix:
    """Champion lists below, without the rows that were read anew, and at most `length` of these behind in each list."""
    rows, own = ground.laid.rows, ground.laid.part.lists(length).tocoo()
    entry = lists.tocoo()
    is_new = np.zeros(ground.size, dtype=np.bool_)
    is_new[rows] = True
    kept = ~is_new[entry.col]
    row, column = np.concatenate([entry.row[kept], own.row]), np.concatenate([entry.col[kept], rows[own.col]])
    parts = (np.concatenate([entry.data[kept], own.data]), (row, column))
    return sparse.csr_matrix(parts, shape=(lists.shape[0], ground.size))


def _known_codes(base: ItemTable, codes: npt.NDArray[np.int32], name: str, wanted: set[str]) -> dict[str, int]:
    """Code of each of the wanted texts that the table below has."""
    texts = sorted(wanted - {""})
    place = pc.index_in(pa.array(texts, pa.string()), value_set=base.table[name].combine_chunks())
    return {text: int(codes[row]) for text, row in zip(texts, place.to_pylist(), strict=True) if row is not None}
