"""What lists are like, whoever was right: coverage, concentration, novelty, diversity, lean to hits. No truth here.

Lists come as entries, int64 `user_row` and `item_index` of the same length, in any order.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc
from scipy import sparse

from recommender.states import ItemTable

__all__ = [
    "code_vectors",
    "coverage",
    "exposure_gini",
    "intra_list_distance",
    "mean_of_entries",
    "popularity_percentile",
    "self_information",
    "word_vectors",
]

Counts = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]


def coverage(item_index: Counts, n_items: int) -> float:
    """Distinct items over all lists / items in the catalogue; 0 for an empty catalogue."""
    return len(np.unique(item_index)) / n_items if n_items else 0.0


def exposure_gini(item_index: Counts, n_items: int) -> float:
    """Gini coefficient of how often each catalogue item is listed: 0 all alike, towards 1 when few get everything.

    Σ_i (2i − n − 1) x_i / (n Σ x), x ascending and i from 1; items never listed count. 0 for empty lists.
    """
    if not len(item_index):
        return 0.0
    shown = np.sort(np.bincount(item_index, minlength=n_items))
    place = np.arange(1, n_items + 1)
    return float(((2 * place - n_items - 1) * shown).sum() / (n_items * shown.sum()))


def mean_of_entries(user_row: Counts, values: Values, n_users: int) -> Values:
    """Mean of each user's entries, float64 (n_users); nan for a user without one."""
    count = np.bincount(user_row, minlength=n_users)
    total = np.bincount(user_row, weights=values, minlength=n_users)
    return np.asarray(np.divide(total, count, out=np.full(n_users, np.nan), where=count > 0))


def self_information(user_count: Counts, n_users: int) -> Values:
    """log₂(n_users / users who know the item), in bits: how unexpected it is (Zhou et al. 2010).

    Its mean over a list is the list's novelty. An item nobody knows counts as one that a single user knows.
    """
    return np.asarray(np.log2(max(n_users, 1) / np.clip(user_count, 1, max(n_users, 1))))


def popularity_percentile(popularity: npt.NDArray[np.generic]) -> Values:
    """Share of the catalogue below each item in popularity, ties by half: .5 is the middle, near 1 a hit."""
    ordered = np.sort(popularity)
    below = np.searchsorted(ordered, popularity, side="left") + np.searchsorted(ordered, popularity, side="right")
    return np.asarray(below / (2.0 * max(len(popularity), 1)))


def intra_list_distance(user_row: Counts, item_index: Counts, n_users: int, vectors: Any) -> Values:
    """Mean over pairs of a list of 1 − cosine (Ziegler et al. 2005), float64 (n_users); nan below two items.

    `vectors`: csr (n_items, terms), rows of length 1 or 0. Σ_{i<j} cos is (|Σx|² − Σ|x|²) / 2: no pair is formed.
    """
    ones = np.ones(len(user_row))
    lists = sparse.csr_matrix((ones, (user_row, item_index)), shape=(n_users, vectors.shape[0]))
    count = np.bincount(user_row, minlength=n_users).astype(np.float64)
    sums = lists @ vectors
    own = lists @ np.asarray(vectors.multiply(vectors).sum(axis=1)).ravel()
    alike = np.asarray(sums.multiply(sums).sum(axis=1)).ravel() - own
    pairs = count * (count - 1)
    return np.asarray(1.0 - np.divide(alike, pairs, out=np.full(n_users, np.nan), where=pairs > 0))


def code_vectors(codes: npt.NDArray[np.int32]) -> Any:
    """One-hot rows of a category or brand: distance 0 within, 1 between; an unknown one (−1) is like no other."""
    known = np.flatnonzero(codes >= 0)
    shape = (len(codes), int(codes.max(initial=-1)) + 1)
    return sparse.csr_matrix((np.ones(len(known)), (known, codes[known])), shape=shape)


def word_vectors(items: ItemTable) -> Any:
    """TF-IDF rows of length 1 over the words of title and tags; idf = ln(1 + n_items / items with the word)."""
    text = pc.binary_join_element_wise(items.table["title"], items.table["tags"], " ")
    words = pc.split_pattern_regex(pc.utf8_lower(text), r"[^\p{L}\p{N}]+").combine_chunks()
    owner = np.repeat(np.arange(len(items)), pc.list_value_length(words).to_numpy())
    coded = pc.list_flatten(words).dictionary_encode()
    codes, names = coded.indices.to_numpy().astype(np.int64), coded.dictionary
    real = pc.not_equal(names, "").to_numpy(zero_copy_only=False)[codes] if len(names) else np.zeros(0, dtype=np.bool_)
    shape = (len(items), len(names))
    counts = sparse.csr_matrix((np.ones(int(real.sum())), (owner[real], codes[real])), shape=shape)
    known_in = np.bincount(counts.indices, minlength=len(names))
    weighted = counts @ sparse.diags_array(np.log1p(len(items) / np.maximum(known_in, 1)))
    length = np.sqrt(np.asarray(weighted.multiply(weighted).sum(axis=1)).ravel())
    return sparse.csr_matrix(
        sparse.diags_array(np.divide(1.0, length, out=np.zeros(len(length)), where=length > 0)) @ weighted
    )
