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

from recommender.events import DAY_MS
from recommender.model.examination import (
    UNCORRECTED,
    Examination,
    ExaminationConfig,
    fit_examination,
    policy_classes,
)
from recommender.model.features import feature_version
from recommender.model.labels import event_grades
from recommender.model.training_set import GROUP_SCHEMA, TrainingConfig, TrainingSet
from recommender.objectives import Objective

__all__ = ["served_examination", "served_slates"]


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
    objective. A position of one placement is not that of another, so each has its own classes of items."""
    shown = pc.greater(pc.fill_null(pc.list_value_length(decisions["slate_item_ids"]), 0), 0)
    kept = decisions.filter(shown).combine_chunks()
    slates = _Slates.of(kept)
    any_answer = Objective(kpi="engagement", weights=(), other=1, attribution_days=attribution_days)
    scores = pc.list_flatten(kept["slate_scores"]).to_numpy().astype(np.float64)
    classes = policy_classes(slates.group, scores, slates.propensity)
    placement = _place(kept["placement"], pc.unique(kept["placement"]))[slates.group]
    apart = placement * (int(classes.max(initial=0)) + 1) + classes
    return fit_examination(slates.position, apart, _outcome_labels(slates, events, any_answer) > 0, config)


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
        return cls(
            decisions["decision_id"].combine_chunks(),
            decisions["decided_at"].cast(pa.int64()).to_numpy(),
            group,
            pc.list_flatten(decisions["slate_item_ids"]).combine_chunks(),
            np.arange(len(group)) - np.repeat(np.cumsum(sizes) - sizes, sizes) + 1,
            pc.list_flatten(decisions["slate_propensities"]).to_numpy(),
        )


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
