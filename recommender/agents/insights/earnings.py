"""What an agent did and what became of it: messages over time, why nothing was sent, the cost of trying, what leaving
people alone saved. Arm against arm is `trial`'s and the readout's."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recommender.agents.agent import NOTHING
from recommender.agents.insights.estimates import mean_of
from recommender.agents.insights.evidence import Evidence
from recommender.events import DAY_MS

__all__ = ["activity", "cost_of_trying", "left_alone"]

MOST_PERIODS = 16
PERIODS = (1, 7, 28, 91)  # days

Ints = npt.NDArray[np.int64]


def activity(records: pa.Table) -> dict[str, Any]:
    """Of all decisions, also those whose outcomes are open: people and messages, by period and action, why nothing was
    sent, and between which days."""
    if not len(records):
        return {
            "decisions": 0,
            "people": 0,
            "messages": 0,
            "written_to": 0,
            "periods": [],
            "reasons": {},
            "actions": {},
        }
    decided = records["decided_at"].cast(pa.int64()).to_numpy()
    sent = pc.not_equal(records["action"], NOTHING)
    reasons = pc.value_counts(records.filter(pc.invert(sent))["reason"]).to_pylist()
    return {
        "decisions": len(records),
        "people": pc.count_distinct(records["user_id"]).as_py(),
        "messages": pc.sum(sent).as_py(),
        "written_to": pc.count_distinct(records.filter(sent)["user_id"]).as_py(),
        "since": _day(int(decided.min())),
        "until": _day(int(decided.max())),
        "arms": _people_by(records, "arm"),
        "actions": _counts(records.filter(sent)["action"]),
        "reasons": {str(one["values"]): one["counts"] for one in sorted(reasons, key=lambda one: -one["counts"])},
        "periods": _periods(records, decided),
    }


def cost_of_trying(evidence: Evidence) -> dict[str, Any] | None:
    """What it cost not always to send what was thought best: the likeliest action's doubly robust reward less the mean
    of all by their chances, a message; and how many messages were another one."""
    names = [action.name for action in evidence.agent.actions]
    code, offered = evidence.codes("action", names), evidence.offered
    chance = np.take_along_axis(offered, np.maximum(code, 0)[:, None], axis=1)[:, 0]
    row = np.flatnonzero(evidence.is_sent & (code >= 0) & (chance > 0))
    found = evidence.outcomes(names, row, code[row], chance[row]) if len(row) else None
    if found is None:
        return None
    own = offered[row]
    favourite = own.argmax(axis=1)
    best = np.take_along_axis(found.values, favourite[:, None], axis=1)[:, 0]
    each = best - (own * found.values).sum(axis=1)
    tried = float((own[np.arange(len(row)), code[row]] < own.max(axis=1) - 1e-12).mean())
    return {"tried": tried, "messages": len(row), **mean_of(each, found.owner).as_json()}


def left_alone(evidence: Evidence) -> dict[str, Any] | None:
    """Of the agent's own people: messages saved because they move little, and what a message would have gained such
    people, each. None where nobody was."""
    own = pc.equal(evidence.records["arm"], "agent").to_numpy()
    saved = own & pc.equal(evidence.records["reason"], "suppressed").to_numpy()
    if not saved.any():
        return None
    share = evidence.records["send_share"].to_numpy()
    told: dict[str, Any] = {
        "messages": int(saved.sum()),
        "share": float(saved.sum() / (saved | evidence.is_sent).sum()),
    }
    found = evidence.message
    if found is None:
        return told
    quiet = share[found.row] < 1.0
    return {**told, **mean_of(found.gain(0)[quiet], found.owner[quiet]).as_json()}


def _periods(records: pa.Table, decided: Ints) -> list[dict[str, Any]]:
    """Messages by action and nothings by reason, period by period; Mondays begin weeks."""
    first, last = int(decided.min()) // DAY_MS, int(decided.max()) // DAY_MS
    days = next((size for size in PERIODS if (last - first) / size < MOST_PERIODS), PERIODS[-1])
    start = first - (first + 3) % 7 if days % 7 == 0 else first
    period = (decided // DAY_MS - start) // days
    told = []
    for number in np.unique(period).tolist():
        own = records.filter(pa.array(period == number))
        sent = pc.not_equal(own["action"], NOTHING)
        told.append(
            {
                "from": _day((start + number * days) * DAY_MS),
                "days": days,
                "actions": _counts(own.filter(sent)["action"]),
                "reasons": _counts(own.filter(pc.invert(sent))["reason"]),
            }
        )
    return told


def _counts(column: pa.ChunkedArray) -> dict[str, int]:
    return {str(one["values"]): one["counts"] for one in pc.value_counts(column).to_pylist()}


def _people_by(records: pa.Table, column: str) -> dict[str, int]:
    found = records.group_by(column).aggregate([("user_id", "count_distinct")])
    return dict(zip(found[column].to_pylist(), found["user_id_count_distinct"].to_pylist(), strict=True))


def _day(moment_ms: int) -> str:
    return datetime.fromtimestamp(moment_ms / 1000, UTC).strftime("%Y-%m-%d")
