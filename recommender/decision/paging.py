"""Further pages of a recorded decision: the same plan, drawn on without what was shown. Nothing is retrieved anew.

The record of the first page is all that is needed: its candidates, its scores and its plan. A page is a slate of its
own, with its own id, draw and propensities, and its positions go on where the page before ends.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from recommender.attributes import attributes_of
from recommender.decision.policy import Choice, SlatePolicy, seed_of
from recommender.decision.protocols import Scorer
from recommender.decision.record import feature_bytes
from recommender.decision.replay import contexts_of
from recommender.decision.slots import Plan, fill
from recommender.decision.trace import capped, plan_of
from recommender.person_state import PersonState
from recommender.retrieval.knowledge import Needs, reason
from recommender.states import ItemTable

__all__ = ["SHOWN_BEFORE", "UNAVAILABLE_NOW", "Turned", "page_answer", "page_id", "turn", "with_features"]

SHOWN_BEFORE, UNAVAILABLE_NOW = "shown_before", "unavailable_now"

Mask = npt.NDArray[np.bool_]


def page_id(decision_id: str, page: int) -> str:
    """The id of a further page: the same whenever it is asked for."""
    return f"{decision_id}:{page}"


@dataclass(frozen=True)
class Turned:
    """A page as a row of DECISION_SCHEMA, and the item index of its slate."""

    row: Mapping[str, Any]
    index: npt.NDArray[np.int64]


def turn(
    first: Mapping[str, Any], page: int, recorded: Mapping[int, Sequence[str]], decided_ms: int, scorer: Scorer
) -> Turned:
    """Page 2, 3, … of a decision, from the record of its first page.

    `recorded`: the slates of further pages that were shown already, by number. A page before this one that nobody
    asked for is drawn all the same, so that jumping to page 5 shows what turning to it would. What cannot be bought any
    more by the catalogue of `scorer` is left out. `slate_features` are empty: see `with_features`.
    """
    trace = json.loads(first["trace"])
    ids = list(first["candidate_item_ids"])
    index, attributes = scorer.items.positions(ids), attributes_of(scorer.items)
    codes = {name: _codes(attributes.codes(name), index) for name in trace.get("caps", ())}
    planned = plan_of(trace, codes)
    policy = SlatePolicy.named(first["policy"])
    is_sold = np.append(scorer.items.integers("is_available"), 0)[index] != 0
    row_of = {item_id: row for row, item_id in enumerate(ids)}
    was_shown = np.zeros(len(ids), dtype=np.bool_)
    was_shown[[row_of[item_id] for item_id in first["slate_item_ids"]]] = True
    for number in range(2, page):
        if number in recorded:
            rows = [row_of[item_id] for item_id in recorded[number]]
        else:
            rows = _drawn(first, number, planned, policy, is_sold & ~was_shown)[1].rows.tolist()
        was_shown[rows] = True
    plan, choice = _drawn(first, page, planned, policy, is_sold & ~was_shown)
    chosen = choice.rows.tolist()
    told, verdicts = _trace(first, trace, plan, choice, was_shown, is_sold)
    needs = None if "needs" not in trace else Needs.parse(json.loads(first["filter"])["needs"])
    if needs is not None:
        told["needs"] = {**trace["needs"], "met": needs.met(attributes, index[choice.rows])}
    return Turned(
        {
            **first,
            "decision_id": page_id(first["decision_id"], page),
            "decided_at": decided_ms,
            "slate_item_ids": [ids[row] for row in chosen],
            "slate_scores": [first["candidate_scores"][row] for row in chosen],
            "slate_sources": [first["candidate_sources"][row] for row in chosen],
            "slate_propensities": choice.propensities.tolist(),
            "slate_features": b"",
            "verdicts": json.dumps(verdicts, separators=(",", ":")),
            "trace": json.dumps(told, separators=(",", ":"), ensure_ascii=False),
            "seed": seed_of(page_id(first["decision_id"], page)),
            "parent_decision_id": first["decision_id"],
            "first_position": 1 + (page - 1) * planned.k,
        },
        index[choice.rows],
    )


def with_features(turned: Turned, state: Mapping[str, Any], scorer: Scorer) -> Mapping[str, Any]:
    """The row with the features that its items were scored by; `state` and `scorer` are those of the first page."""
    index = scorer.items.positions(list(turned.row["slate_item_ids"]))
    if not len(index) or (index < 0).any():
        return turned.row
    scored = scorer.score(PersonState(state), contexts_of(turned.row), index)
    order = np.argsort(scored.item_index, kind="stable")
    place = order[np.searchsorted(scored.item_index, index, sorter=order)]
    return {**turned.row, "slate_features": feature_bytes(scored.features[place])}


def page_answer(row: Mapping[str, Any], items: ItemTable) -> dict[str, Any]:
    """The body of the HTTP answer for a page's row; ranks go on where the page before ends."""
    index, titles = items.positions(list(row["slate_item_ids"])), items.table["title"]
    columns: dict[str, Sequence[Any]] = {
        "item_id": row["slate_item_ids"],
        "score": row["slate_scores"],
        "source": row["slate_sources"],
        "propensity": row["slate_propensities"],
        "title": [titles[place].as_py() if place >= 0 else None for place in index.tolist()],
    }
    needs = json.loads(row["trace"]).get("needs")
    if needs is not None:
        columns["reason"] = [reason(needs["words"], met, needs["given_up"]) for met in needs["met"]]
    rows = zip(*columns.values(), strict=True)
    return {
        "decision_id": row["decision_id"],
        "placement": row["placement"],
        "items": [
            {"rank": rank, **dict(zip(columns, one, strict=True))}
            for rank, one in enumerate(rows, row["first_position"])
        ],
        "model_version": row["model_version"],
        "policy": row["policy"],
        "variant": row["variant"],
        "degraded": row["is_degraded"],
        "recorded": True,
        "parent_decision_id": row["parent_decision_id"],
    }


def _codes(codes: npt.NDArray[np.int32], index: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
    """Code of each candidate, −1 for one that the catalogue has no more."""
    return np.append(codes, np.int32(-1))[index]


def _drawn(
    first: Mapping[str, Any], page: int, planned: Plan, policy: SlatePolicy, may_show: Mask
) -> tuple[Plan, Choice]:
    """The plan of one page and what is drawn from it: caps and quota hold anew, pins belong to the first page."""
    order = planned.order[may_show[planned.order]]
    plan = Plan(planned.k, order, {}, planned.caps, planned.fresh, planned.fresh_share)
    return plan, fill(plan, policy, seed_of(page_id(first["decision_id"], page)))


def _trace(
    first: Mapping[str, Any], trace: Mapping[str, Any], plan: Plan, choice: Choice, was_shown: Mask, is_sold: Mask
) -> tuple[dict[str, Any], dict[str, int]]:
    """The page's trace, which draws it again, and how many candidates each rule removed."""
    rules = [*trace["rules"], SHOWN_BEFORE, UNAVAILABLE_NOW]
    fates = np.array(trace["fates"], dtype=np.int64)
    removed = np.where(fates < 0, -fates, 0)
    removed[(removed == 0) & was_shown] = len(rules) - 1
    removed[(removed == 0) & ~is_sold] = len(rules)
    fates = -removed
    fates[plan.order] = np.arange(1, len(plan.order) + 1)
    told: dict[str, Any] = {"k": plan.k, "rank_by": trace["rank_by"], "rules": rules, "fates": fates.tolist()}
    told |= {"ways": choice.ways, "planned_at": trace.get("planned_at", first["decided_at"])}
    told |= {name: trace[name] for name in ("generators", "caps", "boosts", "boosted", "fresh") if name in trace}
    if plan.caps:
        told["capped"] = capped(plan, choice).tolist()
    counts = np.bincount(removed, minlength=len(rules) + 1)[1:].tolist()
    return told, {rule: count for rule, count in zip(rules, counts, strict=True) if count}
