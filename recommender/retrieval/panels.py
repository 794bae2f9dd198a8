"""Scores of one generator for a batch of users, without a dense users × items array where catalogues are large.

A panel answers three questions: which items are a user's best, what does a given pair score, and how high
does the best item score. Values are the same bits whichever shape holds them. Nothing is fitted here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt
from scipy import sparse

from recommender.compiled import compiled
from recommender.retrieval.best_places import best_of_row
from recommender.retrieval.row_products import places_of

__all__ = [
    "DENSE_ITEMS",
    "Columns",
    "DensePanel",
    "Excluded",
    "Panel",
    "RowPanel",
    "SharedPanel",
    "SharedScores",
    "SparsePanel",
    "panel_of",
]

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]
Pairs = tuple[Integers, Integers]  # (user row, item index), one entry a pair

# Up to here a product becomes a dense row: picking from it is a hundred times cheaper than sorting a sparse one.
# Above, a row of 100,000 items costs 0.4 MB and 0.5 ms a generator, where its few thousand entries take 0.1 ms.
DENSE_ITEMS = 16_384
PADDED = 4_000_000  # entries of a padded block while the best of sparse rows are picked


@dataclass(frozen=True)
class Excluded:
    """What must not be proposed: `items`, bool (n_items), to anybody; `pairs`, (user, item), to that user."""

    items: npt.NDArray[np.bool_] | None = None
    pairs: Pairs | None = None

    def __bool__(self) -> bool:
        return self.items is not None or self.pairs is not None

    def by_one(self, n_items: int) -> npt.NDArray[np.bool_]:
        """What a batch of one must not be proposed: a mask of all items, or an empty one; made once for all panels."""
        found: npt.NDArray[np.bool_] | None = vars(self).get("_by_one")
        if found is None:
            found = np.zeros(n_items if self else 0, dtype=np.bool_) if self.items is None else self.items
            if self.pairs is not None:
                found = found.copy() if found is self.items else found
                found[self.pairs[1]] = True
            vars(self)["_by_one"] = found
        return found


class Panel(Protocol):
    """Scores of n_users rows over the item table; 0 means that the generator has nothing to say."""

    def top(self, limit: int, excluded: Excluded) -> Pairs:
        """Each user's `limit` highest positive scores; of equals the lower item index wins. In no order."""
        ...

    def at(self, user: Integers, item: Integers) -> Floats:
        """Score of each pair."""
        ...

    def best(self) -> Floats:
        """Highest score of each user over the whole catalogue, at least 0."""
        ...


@dataclass(frozen=True)
class Columns:
    """The items that a panel's columns are: `items` ascending, `place` int32 (n_items) the column of each, else −1."""

    items: Integers
    place: npt.NDArray[np.int32]

    @classmethod
    def of(cls, items: Integers, n_items: int) -> Columns:
        place = np.full(n_items, -1, dtype=np.int32)
        place[items] = np.arange(len(items))
        return cls(items, place)


@dataclass(frozen=True)
class DensePanel:
    """`values` float32 (n_users, n_columns); column c is item c, or `columns.items[c]`."""

    values: Floats
    columns: Columns | None = None

    def top(self, limit: int, excluded: Excluded) -> Pairs:
        if len(self.values) == 1:
            items = _EVERY_ITEM if self.columns is None else self.columns.items
            n_items = self.values.shape[1] if self.columns is None else len(self.columns.place)
            column = best_of_row(self.values[0], limit, without=excluded.by_one(n_items), items=items)
            user = np.zeros(len(column), dtype=np.int64)
        else:
            user, column = np.nonzero(_best(self._without(excluded), limit))
        return user, column if self.columns is None else self.columns.items[column]

    def at(self, user: Integers, item: Integers) -> Floats:
        if self.columns is None:
            return self._values(user, item)
        if not len(self.columns.items):
            return _zeros(len(item))
        column = self.columns.place[item]
        return np.where(column >= 0, self._values(user, column), np.float32(0))

    def _values(self, user: Integers, column: npt.NDArray[np.integer]) -> Floats:
        # One index instead of two: a third of the time.
        return np.asarray(self.values[0][column] if len(self.values) == 1 else self.values[user, column])

    def best(self) -> Floats:
        return np.asarray(self.values.max(axis=1, initial=0))

    def read(self, user: Integers, item: Integers, column: int, scores: Floats, best: Floats) -> None:
        """`at` and `best` at once, into a column of each."""
        place = _EVERY if self.columns is None else self.columns.place
        _read_dense(self.values, place, user, item, column, scores, best)

    def _without(self, excluded: Excluded) -> Floats:
        if not excluded:
            return self.values
        values, columns = self.values.copy(), self.columns
        if excluded.items is not None:
            values[:, excluded.items if columns is None else excluded.items[columns.items]] = 0
        if excluded.pairs is not None:
            user, item = excluded.pairs
            if columns is None:
                values[user, item] = 0
            else:
                known = columns.place[item] >= 0
                values[user[known], columns.place[item[known]]] = 0
        return values


@dataclass(frozen=True)
class SparsePanel:
    """Scores as a csr matrix users × items: what most generators have to say of a large catalogue is a short list."""

    matrix: sparse.csr_matrix

    def __post_init__(self) -> None:
        self.matrix.sort_indices()

    def top(self, limit: int, excluded: Excluded) -> Pairs:
        matrix = self._without(excluded)
        kept = list(_best_entries(matrix, limit))
        entry = np.concatenate(kept) if kept else np.zeros(0, dtype=np.int64)
        user = np.searchsorted(matrix.indptr, entry, side="right") - 1
        return user.astype(np.int64), matrix.indices[entry].astype(np.int64)

    def at(self, user: Integers, item: Integers) -> Floats:
        # scipy answers no pairs with a matrix instead of an array.
        return np.asarray(self.matrix[user, item], dtype=np.float32).ravel() if len(user) else _zeros(0)

    def best(self) -> Floats:
        highest = _zeros(self.matrix.shape[0])
        filled = np.flatnonzero(np.diff(self.matrix.indptr))
        if len(filled):
            highest[filled] = np.maximum.reduceat(self.matrix.data, self.matrix.indptr[filled])
        return np.maximum(highest, 0)

    def _without(self, excluded: Excluded) -> sparse.csr_matrix:
        if not excluded:
            return self.matrix
        data, indices = self.matrix.data.copy(), self.matrix.indices
        if excluded.items is not None:
            data[excluded.items[indices]] = 0
        if excluded.pairs is not None:
            width = self.matrix.shape[1]
            owner = np.repeat(np.arange(self.matrix.shape[0]), np.diff(self.matrix.indptr))
            keys, (user, item) = owner * width + indices, excluded.pairs
            wanted = user * width + item
            place = np.minimum(np.searchsorted(keys, wanted), max(len(keys) - 1, 0))
            data[place[keys[place] == wanted] if len(keys) else place[:0]] = 0
        return sparse.csr_matrix((data, indices, self.matrix.indptr), shape=self.matrix.shape, copy=False)


@dataclass(frozen=True)
class RowPanel:
    """One user's scores as a list: `items`, each once and in any order, of `n_items`, with their `values` float32."""

    items: Integers
    values: Floats
    n_items: int

    def top(self, limit: int, excluded: Excluded) -> Pairs:
        chosen = self.items[self._best(self._without(excluded), limit)]
        return np.zeros(len(chosen), dtype=np.int64), chosen

    def at(self, user: Integers, item: Integers) -> Floats:
        if not len(self.items):
            return _zeros(len(item))
        place, known = places_of(item, self.items, self.n_items)
        return np.where(known, self.values[place], np.float32(0))

    def best(self) -> Floats:
        return np.array([self.values.max(initial=0)], dtype=np.float32)

    def _without(self, excluded: Excluded) -> Floats:
        if not excluded or not len(self.items):
            return self.values
        values = self.values.copy()
        if excluded.items is not None:
            values[excluded.items[self.items]] = 0
        if excluded.pairs is not None:
            place, known = places_of(excluded.pairs[1], self.items, self.n_items)
            values[place[known]] = 0
        return values

    def _best(self, values: Floats, limit: int) -> Integers:
        """Places of the `limit` highest positive values; of equals the lower item wins."""
        chosen = best_of_row(values, limit, keeps_ties=True)
        if len(chosen) <= limit:
            return chosen
        return chosen[np.lexsort((self.items[chosen], -values[chosen]))[:limit]]


class SharedScores:
    """Scores float32 (n_items) that are the same for everybody, with what follows from them once: their order."""

    def __init__(self, values: Floats) -> None:
        self.values = values
        self.highest = np.array([max(values.max(initial=0), 0)], dtype=np.float32)

    @cached_property
    def order(self) -> Integers:
        """Items with a positive score, the highest first, of equals the lower index."""
        return np.argsort(-self.values, kind="stable")[: int((self.values > 0).sum())]

    def first(self, limit: int, without: npt.NDArray[np.bool_] | None) -> Integers:
        """The first `limit` that are not masked; only as much of the order is looked at as that takes."""
        stop = limit
        while True:
            chosen = self.order[:stop]
            if without is not None:
                chosen = chosen[~without[chosen]]
            if len(chosen) >= limit or stop >= len(self.order):
                return chosen[:limit]
            stop *= 4


@dataclass(frozen=True)
class SharedPanel:
    """The same `shared` scores for each of `n_users`."""

    shared: SharedScores
    n_users: int

    def top(self, limit: int, excluded: Excluded) -> Pairs:
        if excluded.pairs is None:
            chosen = self.shared.first(limit, excluded.items)
            return np.repeat(np.arange(self.n_users), len(chosen)), np.tile(chosen, self.n_users)
        user, item = excluded.pairs
        longest = int(np.bincount(user, minlength=1).max())
        order = self.shared.first(limit + longest, excluded.items)
        if self.n_users == 1:
            chosen = order[~np.isin(order, item)][:limit]
            return np.zeros(len(chosen), dtype=np.int64), chosen
        rank = np.full(len(self.shared.values), -1)
        rank[order] = np.arange(len(order))
        allowed = np.ones((self.n_users, len(order)), dtype=np.bool_)
        listed = rank[item] >= 0
        allowed[user[listed], rank[item[listed]]] = False
        allowed &= np.cumsum(allowed, axis=1) <= limit
        owner, place = np.nonzero(allowed)
        return owner, order[place]

    def at(self, user: Integers, item: Integers) -> Floats:
        return np.asarray(self.shared.values[item])

    def best(self) -> Floats:
        return self.shared.highest if self.n_users == 1 else np.repeat(self.shared.highest, self.n_users)


def panel_of(product: sparse.csr_matrix) -> Panel:
    """The panel for a sparse product users × items, dense where the catalogue is small."""
    if product.shape[1] <= DENSE_ITEMS:
        return DensePanel(np.asarray(product.toarray(), dtype=np.float32))
    return SparsePanel(product)


def _best(values: Floats, limit: int) -> npt.NDArray[np.bool_]:
    """Mask of the `limit` highest positive entries of each row; of equals the lower column wins."""
    if limit >= values.shape[1]:
        return np.asarray(values > 0)
    place = values.shape[1] - limit
    least = np.partition(values, place, axis=1)[:, place, None]
    mask = (values >= least) & (values > 0)
    crowded = np.flatnonzero(np.count_nonzero(mask, axis=1) > limit)
    if len(crowded):  # these rows alone: counting ties took a fifth of a large catalogue's time
        own = mask[crowded]
        tied = own & (values[crowded] == least[crowded])
        room = limit - np.count_nonzero(own & ~tied, axis=1)[:, None]
        mask[crowded] = own & (~tied | (np.cumsum(tied, axis=1) <= room))
    return mask


def _best_entries(matrix: sparse.csr_matrix, limit: int) -> Iterator[Integers]:
    """Entries (positions in `data`) of each row's best, block by block of rows of like length, so padding is short."""
    length = np.diff(matrix.indptr)
    rows = np.argsort(length, kind="stable")
    rows = rows[length[rows] > 0]
    start = 0
    while start < len(rows):
        # Rows ascend in length: the widest that still lets a block of at least one row stay within bounds.
        stop = start + 1
        while stop < len(rows) and length[rows[stop]] * (stop + 1 - start) <= PADDED:
            stop = min(len(rows), stop + max(1, (stop - start) // 4))
        block = rows[start:stop]
        inside = np.arange(length[block[-1]]) < length[block, None]
        entry = np.where(inside, matrix.indptr[block][:, None].astype(np.int64) + np.arange(inside.shape[1]), 0)
        values = np.where(inside, matrix.data[entry], np.float32(0))
        yield entry[_best(values, limit)]
        start = stop


# Column c is item c.
_EVERY, _EVERY_ITEM = np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.int64)


@compiled(
    "const float32[:, ::1]", "const int32[::1]", "const int64[::1]", "const int64[::1]", "int64",
    "float32[:, ::1]", "float32[:, ::1]",
)  # fmt: skip
def _read_dense(
    values: Floats, place: npt.NDArray[np.int32], user: Integers, item: Integers, to: int, scores: Floats, best: Floats
) -> None:
    # The bits of floats above 0 are in their order, those of others below 0: as integers eight are compared at once.
    as_integers, highest_bits = values.view(np.int32), np.empty(1, dtype=np.int32)
    for row in range(len(values)):
        highest = np.int32(0)
        for column in range(values.shape[1]):
            highest = max(highest, as_integers[row, column])
        highest_bits[0] = highest
        best[row, to] = highest_bits.view(np.float32)[0]
    for pair in range(len(item)):
        at = item[pair] if not len(place) else np.int64(place[item[pair]])
        scores[pair, to] = values[user[pair], at] if at >= 0 else np.float32(0)


def _zeros(n: int) -> Floats:
    return np.zeros(n, dtype=np.float32)
