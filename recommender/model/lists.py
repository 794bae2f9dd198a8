"""Ranked lists for many users at one moment, by the path that serves one. No rules and no policies act here."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from recommender.model.scorer import RankingModel
from recommender.model.training_set import Progress
from recommender.retrieval.candidates import UserBatch
from recommender.states import Contexts, UserStates

__all__ = ["LIST_SCHEMA", "recommend_lists", "top_rows"]

USERS_AT_A_TIME = 1_000  # about 250 candidates × 60 features × 4 bytes × 1,000 = 60 MB

LIST_SCHEMA = pa.schema(
    [
        ("user_id", pa.string()),
        ("item_id", pa.string()),
        ("rank", pa.int64()),  # 1 … k
        ("score", pa.float32()),
        ("source", pa.string()),
    ]
)


def recommend_lists(
    model: RankingModel,
    users: UserStates,
    at_ms: int,
    k: int = 20,
    novel: bool = False,
    progress: Progress | None = None,
) -> pa.Table:
    """LIST_SCHEMA: up to `k` available items for every user, as they would be served at `at_ms`.

    `novel` leaves out what a user had before. Ordered as `users`, then by rank; equal scores by item.
    """
    parts = []
    for start in range(0, len(users), USERS_AT_A_TIME):
        if progress:
            progress("lists", start, len(users))
        part = users.slice(start, min(USERS_AT_A_TIME, len(users) - start))
        parts.append(_lists_of(model, part, at_ms, k, novel))
    if progress:
        progress("lists", len(users), len(users))
    return pa.concat_tables(parts).combine_chunks() if parts else LIST_SCHEMA.empty_table()


def _lists_of(model: RankingModel, users: UserStates, at_ms: int, k: int, novel: bool) -> pa.Table:
    batch = UserBatch.read(users, Contexts.at(at_ms, len(users)), model.items)
    candidates, _, scores = model.score_batch(batch, novel=novel)
    rows, rank = top_rows(candidates.user_row, scores, k)
    names = pa.array(candidates.generators, pa.string())
    columns = {
        "user_id": users.texts("user_id").take(pa.array(candidates.user_row[rows])),
        "item_id": model.items.item_ids.take(pa.array(candidates.item_index[rows])),
        "rank": rank,
        "score": scores[rows],
        "source": names.take(pa.array(candidates.source[rows])),
    }
    return pa.table(columns, schema=LIST_SCHEMA)


def top_rows(
    user_row: npt.NDArray[np.int64], scores: npt.NDArray[np.float32], k: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Positions of each user's `k` highest scores, best first, and their ranks from 1; ties keep their order."""
    order = np.lexsort((-scores, user_row))
    owner = user_row[order]
    starts = np.searchsorted(owner, owner, side="left")
    rank = np.arange(len(order)) - starts + 1
    return order[rank <= k], rank[rank <= k]
