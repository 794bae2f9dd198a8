"""What every system is told, what it must answer, and how the answer is judged. No system lives here.

At a cut a system knows the purchases before it. Judged are the users seen before the cut who bought in the horizon
after it, on the distinct items they bought, over the whole catalogue without sampled negatives. *Repeat*: all of them
count. *Novel*: only items the user had never bought, with those already bought taken out of the lists.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from benchmarks.ranking.datasets import Codes, Purchases
from recommender.model import metrics

__all__ = [
    "KINDS",
    "LENGTH",
    "METRICS",
    "History",
    "Judged",
    "Lists",
    "Scorer",
    "Truth",
    "best_items",
    "judge",
    "listed",
]

KINDS = ("repeat", "novel")
LENGTH = 20
METRICS = {"R@20": (metrics.recall_at, 20), "NDCG@10": (metrics.ndcg_at, 10), "MRR@20": (metrics.reciprocal_rank, 20)}
USERS_AT_A_TIME = 500  # × 20,000 items × 4 bytes = 40 MB
MONTH = np.timedelta64(28, "D")

Lists = npt.NDArray[np.int64]  # (users, LENGTH) item codes, best first, -1 where a list ends
Judged = dict[str, npt.NDArray[np.float64]]  # metric → a value for each judged user
# Rows of History.users → float (rows, items of the History); higher is better.
Scorer = Callable[[Codes], npt.NDArray[np.floating]]


@dataclass(frozen=True)
class History:
    """Purchases before a cut. Users and items are numbered anew: rows of `users` and `items`, which hold the codes.

    Items are in the order of their popularity in the last 28 days, so that a list whose scores are equal goes
    by popularity for every system. A line is one item of one basket of one user, the oldest first; `age` counts
    the user's baskets after it (0: the latest).
    """

    users: Codes
    items: Codes
    user: Codes
    item: Codes
    basket: Codes
    age: Codes
    popularity: npt.NDArray[np.float64]

    @classmethod
    def before(cls, purchases: Purchases, cut: str) -> History:
        known = purchases.at < np.datetime64(cut)
        user, item, basket = purchases.user[known], purchases.item[known], purchases.basket[known]
        recent = purchases.at[known] >= np.datetime64(cut) - MONTH
        width = len(purchases.item_ids)
        lately, ever = np.bincount(item[recent], minlength=width), np.bincount(item, minlength=width)
        items = np.lexsort((np.arange(width), -ever, -lately))
        items = items[ever[items] > 0]
        place = np.full(width, -1)
        place[items] = np.arange(len(items))
        users, row = np.unique(user, return_inverse=True)
        # The first line of each (basket, item): a line may be split in two, and a basket code belongs to one user.
        _, first = np.unique(basket * width + item, return_index=True)
        lines = np.sort(first)
        return cls(
            users,
            items,
            row[lines],
            place[item[lines]],
            basket[lines],
            _baskets_after(row[lines], basket[lines]),
            lately[items].astype(np.float64),
        )

    @cached_property
    def counts(self) -> sp.csr_array:
        """float32 (users, items): baskets in which a user bought an item."""
        ones = np.ones(len(self.user), dtype=np.float32)
        return sp.coo_array((ones, (self.user, self.item)), shape=(len(self.users), len(self.items))).tocsr()

    @cached_property
    def owned(self) -> sp.csr_array:
        """The same, 1 for each pair."""
        known = self.counts.copy()
        known.data = np.ones_like(known.data)
        return known

    @cached_property
    def baskets(self) -> Codes:
        """Baskets of each user."""
        latest = np.zeros(len(self.users), dtype=np.int64)
        np.maximum.at(latest, self.user, self.age + 1)
        return latest

    def weighted(self, weight: npt.NDArray[np.floating]) -> sp.csr_array:
        """(users, items): the sum of a weight over the lines of each pair."""
        lines = (np.asarray(weight, dtype=np.float64), (self.user, self.item))
        return sp.coo_array(lines, shape=(len(self.users), len(self.items))).tocsr()


def _baskets_after(user: Codes, basket: Codes) -> Codes:
    """For each line, how many baskets its user filled after it; baskets are numbered in the order of time."""
    pairs, line = np.unique(np.stack([user, basket]), axis=1, return_inverse=True)
    owner = pairs[0]
    end = np.searchsorted(owner, owner, side="right")
    return np.asarray((end - 1 - np.arange(len(owner)))[line.ravel()], dtype=np.int64)


@dataclass(frozen=True)
class Truth:
    """Who is judged (codes, ascending) and on what: (judged users, all items) 1 for an item that was bought."""

    users: Codes
    bought: sp.csr_array

    @classmethod
    def after(cls, purchases: Purchases, cut: str, horizon_days: int, kind: str) -> Truth:
        start = np.datetime64(cut)
        before = purchases.at < start
        inside = ~before & (purchases.at < start + np.timedelta64(horizon_days, "D"))
        inside &= np.isin(purchases.user, purchases.user[before])
        width = len(purchases.item_ids)
        pairs = np.unique(purchases.user[inside] * width + purchases.item[inside])
        if kind == "novel":
            pairs = pairs[~np.isin(pairs, purchases.user[before] * width + purchases.item[before])]
        users, row = np.unique(pairs // width, return_inverse=True)
        ones = np.ones(len(pairs), dtype=np.int8)
        return cls(users, sp.coo_array((ones, (row, pairs % width)), shape=(len(users), width)).tocsr())


def best_items(scores: npt.NDArray[np.floating], length: int) -> Lists:
    """Columns of each row's highest scores, best first, equal ones in the order of columns; -1 for scores of -inf."""
    width = scores.shape[1]
    if width < length:
        missing = np.full((len(scores), length - width), -np.inf, dtype=scores.dtype)
        scores = np.concatenate([scores, missing], axis=1)
        width = length
    least = np.partition(scores, width - length, axis=1)[:, width - length, None]
    above, level = scores > least, scores == least
    room = length - above.sum(axis=1, keepdims=True)
    kept = above | (level & (np.cumsum(level, axis=1) <= room))
    columns = np.nonzero(kept)[1].reshape(len(scores), length)
    values = np.take_along_axis(scores, columns, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")
    ended = np.isneginf(np.take_along_axis(values, order, axis=1))
    return np.where(ended, -1, np.take_along_axis(columns, order, axis=1))


def listed(history: History, scorer: Scorer, users: Codes, kinds: Sequence[str]) -> dict[str, Lists]:
    """Kind → lists of item codes for some users (codes, all of them known to the history), scored once."""
    rows = np.searchsorted(history.users, users)
    parts = {kind: [np.empty((0, LENGTH), dtype=np.int64)] for kind in kinds}
    for start in range(0, len(rows), USERS_AT_A_TIME):
        some = rows[start : start + USERS_AT_A_TIME]
        scores = np.array(scorer(some), dtype=np.float64)
        for kind in sorted(kinds, key=KINDS.index):  # novel last: it overwrites the scores of what they had
            if kind == "novel":
                scores[history.owned[some].nonzero()] = -np.inf
            best = best_items(scores, LENGTH)
            parts[kind].append(np.where(best >= 0, history.items[best], -1))
    return {kind: np.concatenate(lists) for kind, lists in parts.items()}


def judge(lists: Lists, truth: Truth) -> Judged:
    """Each metric's value for each judged user, whose list is the row of the same number."""
    rows = np.arange(len(lists))[:, None]
    hits = np.asarray(truth.bought[rows, np.maximum(lists, 0)].toarray() > 0) & (lists >= 0)
    relevant = np.diff(truth.bought.indptr).astype(np.int64)
    return {name: metric(hits, relevant, k) for name, (metric, k) in METRICS.items()}
