"""One past moment whose future is known: who came back, what they chose, and how lists shown to them compare.

Lists are measured here and not made; nothing is compared, and no interval is formed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recommender.cuts import CutInputs
from recommender.errors import InputError
from recommender.events import DAY_MS, strength_of
from recommender.model import list_metrics, metrics
from recommender.model.lists import top_rows
from recommender.model.truth import ANY, Truth, read_truths
from recommender.objectives import DEFAULT_OBJECTIVE, Objective
from recommender.retrieval.candidates import UserBatch
from recommender.states import Contexts, ItemTable, UserStates

__all__ = ["DEPTH", "KINDS", "KPI_METRICS", "Holdout", "Lists", "Measured", "accuracy", "day_of", "read_holdout"]

DEPTH = 20  # places of a list that are looked at
KINDS = ("repeat", "novel")
# What the gate and the report call the figure of each KPI. Twenty places and not ten: on complete_journey the same loss
# stands 1.3 times as far above the noise (docs/evaluation.md), and people do scroll.
KPI_METRICS = {
    "conversion": "conversion ndcg@20",
    "revenue": "revenue recall@20",
    "engagement": "engagement ndcg@20",
    "retention": "retention ndcg@20",
}

Integers = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]
Measured = Mapping[str, Values]  # metric → a value for each user, nan where there is none


@dataclass(frozen=True)
class Lists:
    """Entries of the lists of a batch of users: user row, item index and rank from 1, each int64 (n)."""

    user_row: Integers
    item_index: Integers
    rank: Integers

    @classmethod
    def best(cls, user_row: Integers, item_index: Integers, scores: npt.NDArray[np.float32]) -> Lists:
        """Each user's DEPTH highest scores; equal ones keep their order."""
        rows, rank = top_rows(user_row, scores, DEPTH)
        return cls(user_row[rows], item_index[rows], rank)


@dataclass(frozen=True)
class Holdout:
    """The users of a cut who came back within the horizon, and by kind of list what they chose, for every KPI.

    *novel* leaves out what a person had before, from the answers and from the lists.
    """

    cut: CutInputs
    batch: UserBatch
    truths: Mapping[str, Mapping[str, Truth]]  # kind → name of truth → pairs

    def __len__(self) -> int:
        return len(self.batch)

    @property
    def items(self) -> ItemTable:
        return self.cut.items

    def measure(self, lists: Lists, kind: str) -> Measured:
        """Every metric of one system's lists, by user."""
        return accuracy(lists, self.truths[kind]) | self._manner(lists, self.truths[kind][ANY])

    def _manner(self, lists: Lists, chosen: Truth) -> dict[str, Values]:
        """What the lists are like, whoever was right."""
        n, user, item = len(self), lists.user_row, lists.item_index
        known = chosen.item_index < len(self.items)
        own = list_metrics.mean_of_entries(chosen.user_row[known], self._percentile[chosen.item_index[known]], n)
        found = {
            "novelty@20": list_metrics.mean_of_entries(user, self._information[item], n),
            "popularity lift@20": list_metrics.mean_of_entries(user, self._percentile[item], n) - own,
        }
        for name, vectors in self._vectors_of_kinds.items():
            found[f"{name} diversity@20"] = list_metrics.intra_list_distance(user, item, n, vectors)
        return found

    @cached_property
    def _percentile(self) -> Values:
        return list_metrics.popularity_percentile(self.items.integers("event_count_28d"))

    @cached_property
    def _information(self) -> Values:
        return list_metrics.self_information(self.items.integers("user_count"), len(self.cut.users))

    @cached_property
    def _vectors_of_kinds(self) -> dict[str, Any]:
        """Vectors of the attributes that the catalogue has at all."""
        found = {"content": list_metrics.word_vectors(self.items)}
        found |= {name: list_metrics.code_vectors(self.items.codes(name)) for name in ("category", "brand")}
        return {name: vectors for name, vectors in found.items() if vectors.nnz}


def accuracy(lists: Lists, truths: Mapping[str, Truth]) -> dict[str, Values]:
    """Every metric that asks what people chose: by user, nan where the metric's truth holds nothing of theirs."""

    def gained(name: str) -> Values:
        truth = truths[name]
        gain = truth.gains(lists.user_row, lists.item_index)
        return metrics.gains_by_rank(lists.user_row, lists.rank, gain, truth.n_users, DEPTH)

    hits, relevant = gained(ANY) > 0, truths[ANY].counts
    bought, orders = gained("conversion") > 0, truths["conversion"].counts
    spend, total = gained("revenue"), truths["revenue"].totals
    found = {
        "recall@20": metrics.recall_at(hits, relevant, 20),
        "ndcg@10": metrics.ndcg_at(hits, relevant, 10),
        "ndcg@20": metrics.ndcg_at(hits, relevant, 20),
        "mrr@20": metrics.reciprocal_rank(hits, relevant, 20),
        "map@20": metrics.average_precision(hits, relevant, 20),
        "hit@10": metrics.hit_at(hits, relevant, 10),
        "precision@10": metrics.precision_at(hits, relevant, 10),
        "conversion ndcg@20": metrics.ndcg_at(bought, orders, 20),
        "conversion recall@20": metrics.recall_at(bought, orders, 20),
        "revenue recall@20": metrics.gain_share(spend, total, 20),
    }
    # Its mean over users is all spend captured over all spend: one person's thousand weighs as a thousand.
    typical = total[total > 0].mean() if (total > 0).any() else 1.0
    found["revenue captured@20"] = np.where(total > 0, spend.sum(axis=1) / typical, np.nan)
    for name in ("engagement", "retention"):
        found[KPI_METRICS[name]] = metrics.graded_ndcg(gained(name), truths[name].ideal(20), 20)
    return found


def read_holdout(
    cut: CutInputs,
    events: pa.Table,
    horizon_days: float = 7.0,
    max_users: int = 20_000,
    objective: Objective | None = None,
    seed: int = 0,
) -> Holdout:
    """Who of those known at the cut came back in the horizon, and what they chose; above `max_users` a seeded sample.

    `events` are rows of EVENT_SCHEMA. Raises InputError when nobody came back.
    """
    end = cut.as_of_ms + round(horizon_days * DAY_MS)
    users = _came_back(cut, events, end)
    if not len(users):
        raise InputError(
            f"nobody known at the holdout cut {day_of(cut.as_of_ms)} came back in {horizon_days:g} days.",
            "users whose choices can be compared with lists.",
            "Bring more data, or lengthen the horizon.",
        )
    if len(users) > max_users:
        drawn = np.random.default_rng((seed, cut.as_of_ms)).permutation(len(users))[:max_users]
        users = users.take(np.sort(drawn))
    batch = UserBatch.read(users, Contexts.at(cut.as_of_ms, len(users)), cut.items)
    ids = users.texts("user_id")
    repeat = read_truths(events, cut.as_of_ms, end, ids, cut.items, objective or DEFAULT_OBJECTIVE)
    novel = {name: truth.novel(batch) for name, truth in repeat.items()}
    return Holdout(cut, batch, {"repeat": repeat, "novel": novel})


def _came_back(cut: CutInputs, events: pa.Table, end_ms: int) -> UserStates:
    low, high = (pa.scalar(moment, pa.timestamp("ms")) for moment in (cut.as_of_ms, end_ms))
    at, kinds = events["occurred_at"], pc.unique(events["event_type"]).to_pylist()
    positive = pa.array([kind for kind in kinds if kind and strength_of(kind) > 0], pa.string())
    inside = pc.and_(pc.greater_equal(at, low), pc.less(at, high))
    counts = pc.and_(
        pc.and_(inside, pc.is_valid(events["item_id"])), pc.is_in(events["event_type"], value_set=positive)
    )
    active = pc.unique(events["user_id"].filter(counts))
    return UserStates(cut.users.table.filter(pc.is_in(cut.users.table["user_id"], value_set=active)).combine_chunks())


def day_of(moment_ms: int) -> str:
    """A moment's UTC day, for a sentence."""
    return datetime.fromtimestamp(moment_ms / 1000, UTC).strftime("%Y-%m-%d")
