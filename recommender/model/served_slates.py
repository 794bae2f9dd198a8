"""Slates that were really shown, with the features as they were logged, labelled by the outcomes that name them.

How the position of an item moved its outcome is corrected elsewhere; nothing is fitted here.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recommender.events import DAY_MS
from recommender.model.features import feature_version
from recommender.model.labels import event_grades
from recommender.model.training_set import GROUP_SCHEMA, TrainingConfig, TrainingSet
from recommender.objectives import Objective

__all__ = ["served_slates"]


def served_slates(
    decisions: pa.Table,
    events: pa.Table,
    names: Sequence[str],
    config: TrainingConfig | None = None,
) -> TrainingSet:
    """What was really shown, with the features as they were logged, labelled by the outcomes that name it.

    `decisions` are rows of DECISION_SCHEMA; those of another feature version, without logged features
    or with an empty slate are left out. A decision nobody answered stays, with labels 0: being shown
    and not chosen is what a ranker learns most from.
    """
    config = config or TrainingConfig()
    usable = _usable(decisions, names)
    sizes = pc.list_value_length(usable["slate_item_ids"]).to_numpy().astype(np.int64)
    group = np.repeat(np.arange(len(usable)), sizes)
    raw = b"".join(usable["slate_features"].to_pylist())
    features = np.frombuffer(raw, dtype="<f4").reshape(int(sizes.sum()), len(names)).astype(np.float32)
    items = pc.list_flatten(usable["slate_item_ids"]).combine_chunks()
    groups = pa.table(
        {
            "kind": pa.array(["served"] * len(usable), pa.string()),
            "at_ms": usable["decided_at"].cast(pa.int64()),
            "decision_id": usable["decision_id"],
            "user_id": pc.fill_null(usable["user_id"], ""),
            "weight": np.ones(len(usable)),
            "size": sizes,
        },
        schema=GROUP_SCHEMA,
    ).combine_chunks()
    position = np.arange(len(group)) - np.repeat(np.cumsum(sizes) - sizes, sizes) + 1
    propensity = pc.list_flatten(usable["slate_propensities"]).to_numpy()
    labels = _outcome_labels(groups, items, group, events, config.objective)
    return TrainingSet(tuple(names), features, labels, items, position, propensity, groups)


def _usable(decisions: pa.Table, names: Sequence[str]) -> pa.Table:
    """Decisions whose logged features are complete and have these columns."""
    length = pc.fill_null(pc.list_value_length(decisions["slate_item_ids"]), 0)
    logged = pc.fill_null(pc.binary_length(decisions["slate_features"]), 0)
    full = pc.equal(logged, pc.multiply(length, 4 * len(names)))
    same = pc.fill_null(pc.equal(decisions["feature_version"], feature_version(names)), False)
    keep = pc.and_(pc.and_(full, same), pc.greater(length, 0))
    return decisions.filter(keep).sort_by([("decided_at", "ascending"), ("decision_id", "ascending")]).combine_chunks()


def _outcome_labels(
    groups: pa.Table, items: pa.Array, group: npt.NDArray[np.int64], events: pa.Table, objective: Objective
) -> npt.NDArray[np.float32]:
    """Grade of the best outcome of each shown item within the attribution window; 0 without one."""
    labels = np.zeros(len(items), dtype=np.float32)
    decision_ids = groups["decision_id"].combine_chunks()
    named = events.filter(pc.is_in(events["decision_id"], value_set=decision_ids))
    # Whoever answered, with everything else they did: whether they came back is seen in events that name no decision.
    outcomes = events.filter(pc.is_in(events["user_id"], value_set=pc.unique(named["user_id"])))
    owner = _place(outcomes["decision_id"], decision_ids)
    shown_ms = groups["at_ms"].to_numpy()
    start_ms = np.append(shown_ms, 0)[owner]
    end_ms = start_ms + round(objective.attribution_days * DAY_MS)
    at_ms = outcomes["occurred_at"].cast(pa.int64()).to_numpy()
    grade = event_grades(outcomes, objective, end_ms)
    distinct = pc.unique(items)
    item = _place(outcomes["item_id"], distinct)
    counts = (grade > 0) & (owner >= 0) & (item >= 0) & (at_ms >= start_ms) & (at_ms < end_ms)
    if not len(items) or not counts.any():
        return labels
    width = len(distinct)
    keys = group * width + _place(items, distinct)
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
