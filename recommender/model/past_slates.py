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
from recommender.model.arrivals import as_if_new
from recommender.model.features import assemble, feature_names
from recommender.model.items import ItemMatrix
from recommender.model.labels import graded_pairs, relevant_items
from recommender.model.newcomers import as_strangers
from recommender.model.training_set import GROUP_SCHEMA, Progress, TrainingConfig, TrainingSet
from recommender.retrieval.candidates import Candidates, UserBatch
from recommender.retrieval.retriever import Retriever, RetrieverConfig, fit_retriever
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

    `events` are rows of EVENT_SCHEMA; `seed` enters the negatives' draw and the retrievers. Every third cut is
    rehearsed as well: with some items as if just uploaded, and with strangers. Slates without any positive among
    the candidates teach a ranker nothing and are dropped.
    """
    config, retriever = config or TrainingConfig(), retriever or RetrieverConfig()
    parts = []
    # The limit is the process's, so it is set here: a thread that leaves its own would lift it for the others.
    with threadpool_limits(limits=1), ThreadPoolExecutor(config.threads) as pool:
        pasts = [pool.submit(_slates_of, cut, events, config, retriever, seed) for cut in cuts]
        rehearsals = [
            pool.submit(_rehearsed, cut, events, config, retriever, seed) for cut in _every_third(cuts, config)
        ]
        work = [*pasts, *rehearsals]
        for place, done in enumerate(work, start=1):
            parts.extend(done.result())
            if progress:
                progress("slates at past cuts", place, len(work))
    if not any(len(part) for part in parts):
        raise InputError(
            f"{len(cuts)} past cuts without one candidate that was chosen in the {config.horizon_days:g} days after.",
            "at least one past cut with users who came back.",
            "Bring a longer history, or shorten the interval between cuts.",
        )
    return replace(TrainingSet.concatenate([part for part in parts if len(part)]), objective=config.objective)


def _every_third(cuts: Sequence[CutInputs], config: TrainingConfig) -> Sequence[CutInputs]:
    """From the one before the newest back: the cuts that are rehearsed as well."""
    return sorted(cuts, key=lambda cut: cut.as_of_ms)[-2::-3][::-1] if config.arrivals else []


def _slates_of(
    cut: CutInputs, events: pa.Table, config: TrainingConfig, retriever_config: RetrieverConfig, seed: int
) -> list[TrainingSet]:
    """What happened: the slates of everybody who came back."""
    retriever = fit_retriever(cut, retriever_config, seed)
    return [_slates("retrospective", cut, retriever, *_returning(cut, events, config), config, seed)]


def _rehearsed(
    cut: CutInputs, events: pa.Table, config: TrainingConfig, retriever_config: RetrieverConfig, seed: int
) -> list[TrainingSet]:
    """What might have been: the same people before a shelf of arrivals, and strangers in the midst of a first visit."""
    shelf = as_if_new(cut, config.arrivals, seed)
    retriever = fit_retriever(shelf, retriever_config, seed)
    strangers = as_strangers(events, cut.as_of_ms, _end_ms(cut, config), config.strangers, seed)
    moments = Contexts.at(strangers.at_ms, len(strangers.users))
    return [
        _slates("rehearsed", shelf, retriever, *_returning(shelf, events, config), config, seed),
        _slates("rehearsed", shelf, retriever, strangers.users, moments, strangers.later, config, seed),
    ]


def _end_ms(cut: CutInputs, config: TrainingConfig) -> int:
    return cut.as_of_ms + round(config.horizon_days * DAY_MS)


def _returning(cut: CutInputs, events: pa.Table, config: TrainingConfig) -> tuple[UserStates, Contexts, pa.Table]:
    """Everybody known at the cut who chose something in the horizon after it, and the events."""
    pairs = graded_pairs(events, cut.as_of_ms, _end_ms(cut, config), config.objective)
    came_back = pc.is_in(cut.users.table["user_id"], value_set=pc.unique(pairs["user_id"]))
    users = UserStates(cut.users.table.filter(came_back).combine_chunks())
    return users, Contexts.at(cut.as_of_ms, len(users)), events


def _slates(
    kind: str,
    cut: CutInputs,
    retriever: Retriever,
    users: UserStates,
    contexts: Contexts,
    events: pa.Table,
    config: TrainingConfig,
    seed: int,
) -> TrainingSet:
    """Slates of some people over a retriever of the cut, labelled by these events of the horizon."""
    end = _end_ms(cut, config)
    pairs = graded_pairs(events, cut.as_of_ms, end, config.objective)
    relevant = relevant_items(pairs, users.user_ids, cut.items)
    batch = UserBatch.read(users, contexts, cut.items)
    candidates = retriever.retrieve_batch(batch)
    labels = relevant.labels(candidates.user_row, candidates.item_index)
    wanted = config.negatives if kind == "retrospective" else config.rehearsed_negatives
    rows = _sample(candidates, labels, wanted, config.rows_per_cut, np.random.default_rng((seed, cut.as_of_ms)))
    return _training_rows(kind, cut, batch, candidates.keep(rows), labels[rows], end)


def _sample(
    candidates: Candidates,
    labels: npt.NDArray[np.float32],
    negatives: int,
    most_rows: int,
    rng: np.random.Generator,
) -> npt.NDArray[np.int64]:
    """Rows to keep: slates with a positive; of those all positives and up to `negatives` others drawn evenly."""
    user = candidates.user_row
    positive = labels > 0
    useful = np.bincount(user[positive], minlength=len(candidates.offsets) - 1) > 0
    if not negatives:
        return np.flatnonzero(useful[user])
    negatives = min(negatives, max(most_rows // max(int(useful.sum()), 1), 1))
    draw = rng.random(len(labels))
    draw[positive] = -1.0  # always first
    order = np.lexsort((draw, user))
    rank = np.arange(len(order)) - candidates.offsets[user[order]]
    positives = np.bincount(user[positive], minlength=len(useful))
    kept = order[(rank < positives[user[order]] + negatives) & useful[user[order]]]
    return np.sort(kept)


def _training_rows(
    kind: str, cut: CutInputs, batch: UserBatch, candidates: Candidates, labels: npt.NDArray[np.float32], end_ms: int
) -> TrainingSet:
    sizes = np.diff(candidates.offsets)
    filled = np.flatnonzero(sizes)
    n_groups, n_rows = len(filled), len(candidates)
    groups = pa.table(
        {
            "kind": pa.array([kind] * n_groups, pa.string()),
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
