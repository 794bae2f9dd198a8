"""What each person is expected to gain by each of an agent's messages, as a table a warehouse can read. Nothing is
chosen by it: how an agent chooses is `agent_model`'s."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from recommender.agents.insights.evidence import Evidence
from recommender.decision.policies.design import Standard, row_products

__all__ = ["AFFINITY_SCHEMA", "expected_gains"]

# Grain: one person the agent has decided for and one of its actions.
AFFINITY_SCHEMA = pa.schema(
    [
        ("user_id", pa.string()),
        ("action", pa.string()),
        ("channel", pa.string()),
        ("expected_gain", pa.float64()),  # over saying nothing, in units of the goal's value, costs taken off
        ("lift_over_average", pa.float64()),  # expected_gain less that of all people by the same action
        ("rank", pa.int64()),  # 1: the person's best action
        ("evidence_count", pa.int64()),  # closed decisions of the person
        ("as_of", pa.timestamp("ms")),  # the person's last closed decision: whose features were read
    ]
)
RIDGE = 0.3  # penalty a row, as in `uplift`: gains are small beside the noise

Floats = npt.NDArray[np.float64]


def expected_gains(evidence: Evidence) -> pa.Table:
    """In AFFINITY_SCHEMA, by person and action: ridge regression of doubly robust gains on what the policy could read,
    so what is not told by the features is drawn towards everybody's mean. Empty where nothing can be compared."""
    actions = evidence.agent.actions
    names = [action.name for action in actions]
    code = evidence.codes("action", names)
    chance = np.take_along_axis(evidence.offered, np.maximum(code, 0)[:, None], axis=1)[:, 0]
    found = evidence.versus_nothing(names, code, chance)
    if found is None:
        return AFFINITY_SCHEMA.empty_table()
    gains = found.values[:, :-1] - found.values[:, -1:]
    last = _last_rows(evidence)
    expected = _regressed(evidence.contexts[found.row], gains, evidence.contexts[last])
    n, k = expected.shape
    order = np.argsort(-expected, axis=1, kind="stable")
    rank = np.empty((n, k), np.int64)
    np.put_along_axis(rank, order, np.arange(1, k + 1)[None, :], axis=1)
    people = evidence.records["user_id"].take(pa.array(last)).combine_chunks()
    moments = evidence.records["decided_at"].take(pa.array(last)).combine_chunks()
    each = pa.array(np.repeat(np.arange(n), k))
    table = pa.table(
        {
            "user_id": people.take(each),
            "action": pa.array(names * n, pa.string()),
            "channel": pa.array([action.channel for action in actions] * n, pa.string()),
            "expected_gain": expected.ravel(),
            "lift_over_average": (expected - expected.mean(axis=0)).ravel(),
            "rank": rank.ravel(),
            "evidence_count": np.repeat(np.bincount(evidence.owner)[evidence.owner[last]], k),
            "as_of": moments.take(each),
        }
    )
    return table.cast(AFFINITY_SCHEMA).sort_by([("user_id", "ascending"), ("action", "ascending")])


def _last_rows(evidence: Evidence) -> npt.NDArray[np.int64]:
    """Each person's last row; decisions are in the order of time."""
    return len(evidence) - 1 - np.unique(evidence.owner[::-1], return_index=True)[1]


def _regressed(contexts: npt.NDArray[np.float32], gains: Floats, wanted: npt.NDArray[np.float32]) -> Floats:
    """float64 (m, k): what a ridge regression of gains (n, k) on contexts (n, d) expects of `wanted` (m, d)."""
    standard = Standard.of(contexts)
    design = standard.design(contexts)
    penalty = RIDGE * len(contexts) * np.diag([*np.ones(design.shape[1] - 1), 0.0])
    weights = np.linalg.solve(design.T @ design + penalty, design.T @ gains).T
    return row_products(standard.design(wanted), np.asarray(weights, dtype=np.float64))
