"""The way of every candidate through a decision: written compactly into the record, and read back in sentences.

A trace names for each candidate the rule that removed it or its planned rank; further for the slate how each
place was filled; pins, caps, quota, boosts, diversity and needs only where a placement has them. Its size is bounded:
at most `BYTES_PER_CANDIDATE` for each candidate, and besides for words, which are cut to `WORD_LENGTH` characters,
`FIXED_BYTES` (home, 240 candidates: about 1 kB in all).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from recommender.decision.arrangement import Arrangement
from recommender.decision.placements import Placement
from recommender.decision.policy import Choice
from recommender.decision.rules import Verdicts
from recommender.decision.slots import EXPLORED, PINNED, QUOTA, QUOTA_EXPLORED, Cap, Plan

__all__ = ["BYTES_PER_CANDIDATE", "FIXED_BYTES", "Whereabouts", "capped", "plan_of", "trace_of", "whereabouts"]

BYTES_PER_CANDIDATE = 32
WORD_LENGTH = 80
# 85 rules (30 conditions of a placement, 30 of a filter, 20 musts, 5 others), 60 needs, 16 boosts, 16 pins, each of
# at most 80 characters of 4 bytes.
FIXED_BYTES = 65_536

Rows = npt.NDArray[np.int64]


def trace_of(
    placement: Placement,
    verdicts: Verdicts,
    arrangement: Arrangement,
    choice: Choice,
    needs: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The trace of a decision, as plain values; `needs` holds `words`, `met` (a mask a slate place), `given_up`."""
    plan = arrangement.plan
    fates = -verdicts.removed_by
    fates[plan.order] = np.arange(1, len(plan.order) + 1)
    trace: dict[str, Any] = {
        "k": plan.k,
        "rank_by": placement.rank_by,
        "rules": [rule[:WORD_LENGTH] for rule in verdicts.rules],
        "fates": fates.tolist(),
        "ways": choice.ways,
    }
    if placement.generators is not None:
        trace["generators"] = list(placement.generators)
    if plan.pins:
        trace["pins"] = [[place, row] for place, row in plan.pins.items()]
    if arrangement.missing_pins:
        trace["missing_pins"] = [item_id[:WORD_LENGTH] for item_id in arrangement.missing_pins]
    if plan.caps:
        trace["caps"] = {cap.name: cap.limit for cap in plan.caps}
        trace["capped"] = capped(plan, choice).tolist()
    if arrangement.picked is not None:
        trace["diversity"] = {"weight": placement.diversity.weight, "picked": list(arrangement.picked)}
    if arrangement.boosted_by is not None and arrangement.boosts:
        met = np.flatnonzero(arrangement.boosted_by)
        trace["boosts"] = list(arrangement.boosts)
        trace["boosted"] = np.stack([met, arrangement.boosted_by[met]], axis=1).ravel().tolist()
    if plan.fresh is not None:
        trace["fresh"] = {"share": plan.fresh_share, "rows": np.flatnonzero(plan.fresh).tolist()}
    if needs is not None:
        trace["needs"] = dict(needs)
    return trace


def plan_of(trace: Mapping[str, Any], codes: Mapping[str, npt.NDArray[np.int32]]) -> Plan:
    """The plan that a trace was written from; `codes` of the candidates (n) by the name of each cap."""
    fates = np.array(trace["fates"], dtype=np.int64)
    fresh = trace.get("fresh")
    is_fresh = None
    if fresh is not None:
        is_fresh = np.zeros(len(fates), dtype=bool)
        is_fresh[fresh["rows"]] = True
    return Plan(
        trace["k"],
        _order(fates),
        dict(trace.get("pins", ())),
        tuple(Cap(name, limit, codes[name]) for name, limit in trace.get("caps", {}).items()),
        is_fresh,
        0.0 if fresh is None else fresh["share"],
    )


@dataclass(frozen=True)
class Whereabouts:
    """What became of an item in one decision.

    `stage`: "retrieval" (nobody proposed it), "filter", "score", "boosts", "diversity", "caps", "pins", "quota",
    "exploration" (each: why it is not shown), or "shown". Ranks count from 1 among what may be shown, by score, after
    boosts and wishes, and as planned; None where it never got that far. `position` is its place in the slate.
    """

    item_id: str
    stage: str
    sentence: str
    score: float | None = None
    score_rank: int | None = None
    value_rank: int | None = None
    planned_rank: int | None = None
    position: int | None = None
    rule: str | None = None
    boosts: tuple[str, ...] = ()


def whereabouts(record_row: Mapping[str, Any], item_id: str) -> Whereabouts:
    """Where an item went in a recorded decision; `record_row` has the columns of DECISION_SCHEMA."""
    trace = json.loads(record_row["trace"] or "{}")
    candidates = list(record_row["candidate_item_ids"])
    if item_id not in candidates or not trace:
        return Whereabouts(item_id, "retrieval", "No generator proposed it, so it was not scored.")
    row = candidates.index(item_id)
    score = float(record_row["candidate_scores"][row])
    fates = np.array(trace["fates"], dtype=np.int64)
    if fates[row] < 0:
        rule = trace["rules"][-int(fates[row]) - 1]
        return Whereabouts(
            item_id, "filter", f"It was scored {score:.4g} and removed by the rule {rule}.", score, rule=rule
        )
    slate = list(record_row["slate_item_ids"])
    by_score, by_value = _ranks(trace, fates, np.asarray(record_row["candidate_scores"], dtype=np.float32))
    found = Whereabouts(
        item_id,
        "shown",
        "",
        score,
        int(by_score[row]),
        int(by_value[row]),
        int(fates[row]),
        slate.index(item_id) + 1 if item_id in slate else None,
        boosts=_boosts(trace, row),
    )
    stage, sentence = _shown(trace, found) if found.position else _lost(trace, found, row)
    return replace(found, stage=stage, sentence=sentence)


def _shown(trace: Mapping[str, Any], found: Whereabouts) -> tuple[str, str]:
    assert found.position is not None
    how = {
        PINNED: "because the placement pins it there",
        QUOTA: f"to fill the quota of new items; planned at rank {found.planned_rank}",
        QUOTA_EXPLORED: "by exploration among the new items",
        EXPLORED: f"by exploration; planned at rank {found.planned_rank}",
    }.get(trace["ways"][found.position - 1], f"as planned (rank {found.planned_rank})")
    return "shown", f"Shown at position {found.position} {how}; rank {found.score_rank} by score{_lifted(found)}."


def _lost(trace: Mapping[str, Any], found: Whereabouts, row: int) -> tuple[str, str]:
    """The last stage without which it would have been shown."""
    assert found.score_rank is not None
    assert found.value_rank is not None
    assert found.planned_rank is not None
    k = trace["k"]
    if row in trace.get("capped", ()):
        caps = ", ".join(f"{limit} per {name}" for name, limit in trace["caps"].items())
        return "caps", f"Planned at rank {found.planned_rank}; the cap ({caps}) was full with items planned above it."
    if found.planned_rank <= k:
        ways = trace["ways"]
        for stage, letters, words in (
            ("exploration", (EXPLORED, QUOTA_EXPLORED), "exploration showed another item"),
            ("pins", (PINNED,), "pinned items took a place"),
            ("quota", (QUOTA,), "the quota of new items took a place"),
        ):
            if any(letter in ways for letter in letters):
                return stage, f"Planned at rank {found.planned_rank} of {k} places, but {words}."
    if found.value_rank <= k:
        return "diversity", (
            f"Rank {found.value_rank} by value, but too like what is above: planned at rank {found.planned_rank}."
        )
    if found.score_rank <= k:
        return (
            "boosts",
            f"Rank {found.score_rank} by score, but others were boosted or wished for: {found.value_rank} then.",
        )
    return "score", f"Rank {found.score_rank} by score{_lifted(found)}; the slate ends at {k}."


def _lifted(found: Whereabouts) -> str:
    if found.value_rank == found.score_rank:
        return ""
    return f", {found.value_rank} after boosts and wishes" + (f" ({'; '.join(found.boosts)})" if found.boosts else "")


def _boosts(trace: Mapping[str, Any], row: int) -> tuple[str, ...]:
    pairs = trace.get("boosted", [])
    mask = dict(zip(pairs[::2], pairs[1::2], strict=True)).get(row, 0)
    return tuple(words for bit, words in enumerate(trace.get("boosts", ())) if mask >> bit & 1)


def _order(fates: Rows) -> Rows:
    """Rows of what may be shown, as planned."""
    rows = np.flatnonzero(fates > 0)
    return rows[np.argsort(fates[rows], kind="stable")]


def _ranks(trace: Mapping[str, Any], fates: Rows, scores: npt.NDArray[np.float32]) -> tuple[Rows, Rows]:
    """Rank by score and rank by value of every candidate that may be shown, from 1 (0 for the others)."""
    order = _order(fates)
    by_value, by_score = np.zeros_like(fates), np.zeros_like(fates)
    picked: Sequence[int] = trace.get("diversity", {}).get("picked", ())
    rest = np.setdiff1d(np.arange(1, len(order) + 1), picked)
    by_value[order] = np.concatenate([np.array(picked, dtype=np.int64), rest])
    # Among equal scores the order by value stands: it knows what decided between them.
    valued = order[np.argsort(by_value[order], kind="stable")]
    ranked = valued[np.argsort(-scores[valued].astype(np.float64), kind="stable")]
    by_score[ranked] = np.arange(1, len(ranked) + 1)
    return by_score, by_value


def capped(plan: Plan, choice: Choice) -> Rows:
    """Rows that stood before the last one taken from the plan and were passed over because a cap was full."""
    rank = np.zeros(max((int(plan.order.max(initial=-1)) + 1), 1), dtype=np.int64)
    rank[plan.order] = np.arange(len(plan.order))
    planned = [row for row, way in zip(choice.rows.tolist(), choice.ways, strict=True) if way != PINNED]
    last = len(plan.order) if len(choice.rows) < plan.k else max((int(rank[row]) for row in planned), default=0)
    before = plan.order[:last]
    before = before[~np.isin(before, choice.rows)]
    is_full = np.zeros(len(before), dtype=bool)
    for cap in plan.caps:
        used = cap.codes[choice.rows]
        counts = np.bincount(used[used >= 0], minlength=int(cap.codes.max(initial=0)) + 1)
        own = cap.codes[before]
        is_full |= (own >= 0) & (counts[np.maximum(own, 0)] >= cap.limit)
    return before[is_full]
