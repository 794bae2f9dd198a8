"""Slates that were really shown, with the features as they were logged, labelled by the outcomes that name them.

Of all that a log says, only how positions are looked at is estimated here; no ranker is fitted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import json

from recommender.events import DAY_MS
from recommender.model.examination import (
    UNCORRECTED,
    Examination,
    ExaminationConfig,
    fit_examination,
)
from recommender.model.features import feature_version
from recommender.model.labels import event_grades
from recommender.model.training_set import GROUP_SCHEMA, TrainingConfig, TrainingSet
from recommender.objectives import Objective

__all__ = ["served_examination", "served_slates"]

# What a record's trace says of the plan: for each candidate its planned rank from 1 (0 and less: removed), and
# a letter a shown item.
TRACE = pa.schema([("fates", pa.list_(pa.int64())), ("ways", pa.string())])
PINNED = b"P"


def served_slates(
    decisions: pa.Table,
    events: pa.Table,
    names: Sequence[str],
    config: TrainingConfig | None = None,
    examination: Examination = UNCORRECTED,
) -> TrainingSet:
    """What was really shown, with the features as they were logged, labelled by the outcomes that name it.

    `decisions` are rows of DECISION_SCHEMA; those of another feature version, without logged features
    or with an empty slate are left out. A decision nobody answered stays, with labels 0: being shown
    and not chosen is what a ranker learns most from. Each row carries the examination of its position.
    """
    objective = (config or TrainingConfig()).objective
    usable = _usable(decisions, names)
    slates = _Slates.of(usable)
    raw = b"".join(usable["slate_features"].to_pylist())
    features = np.frombuffer(raw, dtype="<f4").reshape(len(slates.group), len(names)).astype(np.float32)
    labels = _outcome_labels(slates, events, objective)
    groups = pa.table(
        {
            "kind": pa.array(["served"] * len(usable), pa.string()),
            "at_ms": slates.at_ms,
            "labelled_until_ms": slates.at_ms + round(objective.attribution_days * DAY_MS),
            "decision_id": slates.decision_id,
            "user_id": pc.fill_null(usable["user_id"], ""),
            "weight": np.ones(len(usable)),
            "size": np.bincount(slates.group, minlength=len(usable)),
        },
        schema=GROUP_SCHEMA,
    ).combine_chunks()
    unknown = np.zeros(len(slates.group), dtype=np.int64)
    shown = (slates.position, slates.propensity, examination.at(slates.position), unknown)
    return TrainingSet(tuple(names), features, labels, slates.item_id, *shown, groups, objective)


def served_examination(
    decisions: pa.Table, events: pa.Table, attribution_days: float, config: ExaminationConfig | None = None
) -> Examination:
    """How positions of the shown slates are looked at, from answers of every kind: a look does not depend on the
    objective. A rank of one placement is not that of another, so each has its own classes of items. Reads what was
    planned from the records' traces; decisions without one, and pinned items, say nothing."""
    shown = pc.greater(pc.fill_null(pc.list_value_length(decisions["slate_item_ids"]), 0), 0)
    kept = decisions.filter(pc.and_(shown, pc.is_valid(decisions["trace"]))).combine_chunks()
    slates = _Slates.of(kept)
    any_answer = Objective(kpi="engagement", weights=(), other=1, attribution_days=attribution_days)
    answered = _outcome_labels(slates, events, any_answer) > 0
    rank = _planned_ranks(kept, slates)
    placement = _place(kept["placement"], pc.unique(kept["placement"]))[slates.group]
    classes = placement * (int(rank.max(initial=0)) + 1) + rank
    is_known = rank > 0
    return fit_examination(slates.position[is_known], classes[is_known], answered[is_known], config)


def _planned_ranks(decisions: pa.Table, slates: _Slates) -> npt.NDArray[np.int64]:
    """Rank from 1 that each shown item had in its plan; 0 where it was pinned or the trace does not say."""
    planned = np.zeros(len(slates.group), dtype=np.int64)
    if not len(decisions):
        return planned
    lines = "\n".join(decisions["trace"].to_pylist()).encode()
    options = json.ParseOptions(explicit_schema=TRACE, unexpected_field_behavior="ignore")
    traces = json.read_json(pa.BufferReader(lines), parse_options=options)
    sizes, known = (
        pc.fill_null(pc.list_value_length(column), 0).to_numpy().astype(np.int64)
        for column in (decisions["candidate_item_ids"], traces["fates"])
    )
    whole = np.flatnonzero(sizes == known)
    owner = np.repeat(whole, sizes[whole])
    candidates = pc.list_flatten(decisions["candidate_item_ids"].take(pa.array(whole)))
    fates = pc.list_flatten(traces["fates"].take(pa.array(whole))).to_numpy()
    distinct = pc.unique(slates.item_id)
    code = _place(candidates, distinct)
    was_shown = code >= 0
    keys = owner[was_shown] * len(distinct) + code[was_shown]
    order = np.argsort(keys, kind="stable")
    wanted = slates.group * len(distinct) + _place(slates.item_id, distinct)
    if len(keys):
        at = order[np.minimum(np.searchsorted(keys, wanted, sorter=order), len(keys) - 1)]
        planned = np.where(keys[at] == wanted, np.maximum(fates[was_shown][at], 0), 0)
        # A further page is planned from 1 again: its ranks lie behind those of the pages before.
        planned = np.where(planned > 0, planned + _positions_before(decisions)[slates.group], 0)
    ways = "".join(pc.fill_null(traces["ways"], "").to_pylist())
    is_pinned = np.frombuffer(ways.encode(), dtype="S1") == PINNED
    return np.where(is_pinned, 0, planned) if len(is_pinned) == len(planned) else planned


@dataclass(frozen=True)
class _Slates:
    """Decisions taken apart: one row a shown item, in order of decision and position."""

    decision_id: pa.Array
    at_ms: npt.NDArray[np.int64]
    group: npt.NDArray[np.int64]
    item_id: pa.Array
    position: npt.NDArray[np.int64]
    propensity: npt.NDArray[np.float64]

    @classmethod
    def of(cls, decisions: pa.Table) -> _Slates:
        sizes = pc.list_value_length(decisions["slate_item_ids"]).to_numpy().astype(np.int64)
        group = np.repeat(np.arange(len(decisions)), sizes)
        before = _positions_before(decisions)
        return cls(
            decisions["decision_id"].combine_chunks(),
            decisions["decided_at"].cast(pa.int64()).to_numpy(),
            group,
            pc.list_flatten(decisions["slate_item_ids"]).combine_chunks(),
            np.arange(len(group)) - np.repeat(np.cumsum(sizes) - sizes, sizes) + 1 + before[group],
            pc.list_flatten(decisions["slate_propensities"]).to_numpy(),
        )


def _positions_before(decisions: pa.Table) -> npt.NDArray[np.int64]:
    """How many positions lie before each slate: 0, but for the further pages of a decision."""
    return np.asarray(pc.fill_null(decisions["first_position"], 1).to_numpy() - 1, dtype=np.int64)


def _usable(decisions: pa.Table, names: Sequence[str]) -> pa.Table:
    """Decisions whose logged features are complete and have these columns."""
    length = pc.fill_null(pc.list_value_length(decisions["slate_item_ids"]), 0)
    logged = pc.fill_null(pc.binary_length(decisions["slate_features"]), 0)
    full = pc.equal(logged, pc.multiply(length, 4 * len(names)))
    same = pc.fill_null(pc.equal(decisions["feature_version"], feature_version(names)), False)
    keep = pc.and_(pc.and_(full, same), pc.greater(length, 0))
    return decisions.filter(keep).sort_by([("decided_at", "ascending"), ("decision_id", "ascending")]).combine_chunks()


def _outcome_labels(slates: _Slates, events: pa.Table, objective: Objective) -> npt.NDArray[np.float32]:
    """Grade of the best outcome of each shown item within the attribution window; 0 without one."""
    labels = np.zeros(len(slates.group), dtype=np.float32)
    named = events.filter(pc.is_in(events["decision_id"], value_set=slates.decision_id))
    # Whoever answered, with everything else they did: whether they came back is seen in events that name no decision.
    outcomes = events.filter(pc.is_in(events["user_id"], value_set=pc.unique(named["user_id"])))
    owner = _place(outcomes["decision_id"], slates.decision_id)
    start_ms = np.append(slates.at_ms, 0)[owner]
    end_ms = start_ms + round(objective.attribution_days * DAY_MS)
    at_ms = outcomes["occurred_at"].cast(pa.int64()).to_numpy()
    grade = event_grades(outcomes, objective, end_ms)
    distinct = pc.unique(slates.item_id)
    item = _place(outcomes["item_id"], distinct)
    counts = (grade > 0) & (owner >= 0) & (item >= 0) & (at_ms >= start_ms) & (at_ms < end_ms)
    if not len(labels) or not counts.any():
        return labels
    width = len(distinct)
    keys = slates.group * width + _place(slates.item_id, distinct)
    order = np.argsort(keys, kind="stable")
    wanted = owner[counts] * width + item[counts]
    at = order[np.minimum(np.searchsorted(keys, wanted, sorter=order), len(keys) - 1)]
    hit = keys[at] == wanted
    np.maximum.at(labels, at[hit], grade[counts][hit].astype(np.float32))
    return labels


def _place(values: pa.Array | pa.ChunkedArray, among: pa.Array) -> npt.NDArray[np.int64]:
    """Place of each value among distinct ones; −1 where it is not there."""
    found = pc.fill_null(pc.index_in(values, value_set=among), -1)
    return np.asarray(found.to_numpy(zero_copy_only=False), dtype=np.int64)
