"""Slates that the system would have shown at past cuts, labelled by what happened after each.

A slate at a cut uses the states of that cut, its labels the events of the horizon after it: no row is
built that a later event could have changed. Nothing is fitted to labels here.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from threadpoolctl import threadpool_limits

from recommender.cuts import CutInputs
from recommender.errors import InputError
from recommender.events import DAY_MS
from recommender.model.features import assemble, feature_names
from recommender.model.items import ItemMatrix
from recommender.model.labels import graded_pairs, relevant_items
from recommender.model.training_set import GROUP_SCHEMA, Progress, TrainingConfig, TrainingSet
from recommender.retrieval.candidates import Candidates, UserBatch
from recommender.retrieval.retriever import RetrieverConfig, fit_retriever
from recommender.states import Contexts, UserStates

__all__ = ["retrospective_slates"]


def retrospective_slates(
    cuts: Sequence[CutInputs],
    events: pa.Table,
    config: TrainingConfig | None = None,
    retriever: RetrieverConfig | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> TrainingSet:
    """What the system would have proposed at past cuts, labelled by the horizon after each.

    `events` are rows of EVENT_SCHEMA; `seed` enters the negatives' draw and the retrievers. Slates
    without any positive among the candidates teach a ranker nothing and are dropped.
    """
    config, retriever = config or TrainingConfig(), retriever or RetrieverConfig()
    parts = []
    # The limit is the process's, so it is set here: a thread that leaves its own would lift it for the others.
    with threadpool_limits(limits=1), ThreadPoolExecutor(config.threads) as pool:
        for part in pool.map(lambda cut: _slates_of(cut, events, config, retriever, seed), cuts):
            parts.append(part)
            if progress:
                progress("slates at past cuts", len(parts), len(cuts))
    if not any(len(part) for part in parts):
        raise InputError(
            f"{len(cuts)} past cuts without one candidate that was chosen in the {config.horizon_days:g} days after.",
            "at least one past cut with users who came back.",
            "Bring a longer history, or shorten the interval between cuts.",
        )
    return replace(TrainingSet.concatenate([part for part in parts if len(part)]), objective=config.objective)


def _slates_of(
    cut: CutInputs, events: pa.Table, config: TrainingConfig, retriever_config: RetrieverConfig, seed: int
) -> TrainingSet:
    end = cut.as_of_ms + round(config.horizon_days * DAY_MS)
    pairs = graded_pairs(events, cut.as_of_ms, end, config.objective)
    came_back = pc.is_in(cut.users.table["user_id"], value_set=pc.unique(pairs["user_id"]))
    users = UserStates(cut.users.table.filter(came_back).combine_chunks())
    relevant = relevant_items(pairs, users.user_ids, cut.items)
    retriever = fit_retriever(cut, retriever_config, seed)
    batch = UserBatch.read(users, Contexts.at(cut.as_of_ms, len(users)), cut.items)
    candidates = retriever.retrieve_batch(batch)
    labels = relevant.labels(candidates.user_row, candidates.item_index)
    rows = _sample(candidates, labels, config.negatives, np.random.default_rng((seed, cut.as_of_ms)))
    return _training_rows(cut, batch, candidates.keep(rows), labels[rows], end)


def _sample(
    candidates: Candidates, labels: npt.NDArray[np.float32], negatives: int, rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Rows to keep: slates with a positive; of those all positives and `negatives` others drawn evenly."""
    user = candidates.user_row
    positive = labels > 0
    useful = np.bincount(user[positive], minlength=len(candidates.offsets) - 1) > 0
    if not negatives:
        return np.flatnonzero(useful[user])
    draw = rng.random(len(labels))
    draw[positive] = -1.0  # always first
    order = np.lexsort((draw, user))
    rank = np.arange(len(order)) - candidates.offsets[user[order]]
    positives = np.bincount(user[positive], minlength=len(useful))
    kept = order[(rank < positives[user[order]] + negatives) & useful[user[order]]]
    return np.sort(kept)


def _training_rows(
    cut: CutInputs, batch: UserBatch, candidates: Candidates, labels: npt.NDArray[np.float32], end_ms: int
) -> TrainingSet:
    sizes = np.diff(candidates.offsets)
    filled = np.flatnonzero(sizes)
    n_groups, n_rows = len(filled), len(candidates)
    groups = pa.table(
        {
            "kind": pa.array(["retrospective"] * n_groups, pa.string()),
            "at_ms": np.full(n_groups, cut.as_of_ms),
            "labelled_until_ms": np.full(n_groups, end_ms),
            "decision_id": pa.array([""] * n_groups, pa.string()),
            "user_id": batch.users.texts("user_id").take(pa.array(filled)),
            "weight": np.ones(n_groups),
            "size": sizes[filled],
        },
        schema=GROUP_SCHEMA,
    )
    features = assemble(batch, ItemMatrix.of(cut.items), candidates)
    items = cut.items.item_ids.take(pa.array(candidates.item_index))
    shown = (np.zeros(n_rows, dtype=np.int64), np.full(n_rows, np.nan), np.ones(n_rows), candidates.proposers)
    return TrainingSet(feature_names(candidates.generators), features, labels, items, *shown, groups)
