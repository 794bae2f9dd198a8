"""An agent's file beside the data it is meant for, and a run in figures: what `nextbest agent` prints."""

from __future__ import annotations

import difflib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from orchestration.audience_query import query_audience
from orchestration.tables import read_mart
from recommender.agents.agent import NOTHING, Agent, Variant
from recommender.agents.agent_file import read_agent
from recommender.agents.audience import CONSENT, Audience
from recommender.agents.deeds import watched
from recommender.agents.placement_slots import can_fill
from recommender.agents.record import sends_of
from recommender.configuration import read_configuration
from recommender.errors import InputError
from recommender.events import EVENT_STRENGTHS
from recommender.workspace import Workspace
from recommender.yaml_document import Document
from services.model_store import aliases

__all__ = ["check_agent", "run_report"]

EXAMPLES = 5


def check_agent(workspace: Workspace, path: Path, now_ms: int | None) -> dict[str, Any]:
    """What the file says and what of it the data do not have; `now_ms` None where there are no data yet.

    Raises ConfigurationError where the file is wrong, or its audience cannot be asked for.
    """
    agent = read_agent(path)
    report: dict[str, Any] = {
        "agent": agent.name,
        "actions": [action.name for action in agent.actions],
        "windows": [window.name for window in agent.timing.windows],
        "caps": [cap.name for cap in agent.frequency.caps],
        "arms": agent.shares.named(),
        "policies": _policies(agent),
    }
    warnings = [*_of_nothing(agent), *_of_placements(workspace, agent)]
    if now_ms is not None:
        audience = _asked(workspace, agent, path, now_ms)
        report["people"] = len(audience)
        report["columns"] = list(audience.table.column_names)
        warnings += [*_of_people(agent, audience), *_of_outcomes(workspace, agent)]
    return {**report, "warnings": warnings}


def _asked(workspace: Workspace, agent: Agent, path: Path, now_ms: int) -> Audience:
    try:
        return query_audience(workspace.marts, agent.audience, now_ms)
    except InputError as problem:
        document = Document.parse(path.read_bytes(), path.name)
        told = (problem.found.rstrip("."), problem.expected.rstrip("."), problem.remedy)
        raise document.error("audience", *told) from None


def _policies(agent: Agent) -> dict[str, dict[str, Any]]:
    """By name: share of the agent's people, kind, exploration and restraint."""
    own = Variant(agent.policy, 1.0, agent.policy, agent.exploration, agent.frequency.suppressed_share)
    return {
        one.name: {key: value for key, value in asdict(one).items() if key != "name"} for one in agent.variants or [own]
    }


def run_report(agent: Agent, records: pa.Table) -> dict[str, Any]:
    """Counts by arm, action, channel, window and reason, and a few messages."""
    sent = records.filter(pc.not_equal(records["action"], NOTHING))
    examples = ("user_id", "action", "channel", "send_at", "item_ids", "propensity", "expected_gain")
    return {
        "agent": agent.name,
        "decided_at": records["decided_at"][0].as_py() if len(records) else None,
        "people": len(records),
        "messages": sends_of(records).num_rows,
        "policy": _counts(records, "policy"),
        "arms": _counts(records, "arm"),
        **({"variants": _counts(records, "variant")} if agent.variants else {}),
        "actions": _counts(records, "action"),
        "channels": _counts(sent, "channel"),
        "windows": _counts(sent, "send_window"),
        **_of_items(sent),
        "why nothing": _counts(records.filter(pc.equal(records["action"], NOTHING)), "reason"),
        "examples": sent.slice(0, EXAMPLES).select(list(examples)).to_pylist(),
    }


def _of_items(sent: pa.Table) -> dict[str, Any]:
    """Who proposed the items of the messages with slots; nothing where there are none."""
    filled = sent.filter(pc.is_valid(sent["item_ids"]))
    if not len(filled):
        return {}
    sources = pa.table({"source": pc.list_flatten(filled["item_sources"])})
    return {"with items": _counts(filled, "placement"), "items from": _counts(sources, "source")}


def _counts(records: pa.Table, column: str) -> dict[str, int]:
    counted = pc.value_counts(records[column]).to_pylist()
    return {str(one["values"]): one["counts"] for one in sorted(counted, key=lambda one: -one["counts"])}


def _of_nothing(agent: Agent) -> list[str]:
    """What the file allows, and no person gets."""
    caps = [cap.name for cap in agent.frequency.caps if cap.limit == 0]
    gone = [action.name for action in agent.actions if action.inventory == 0]
    return [
        *(f"the cap of {name} lets nothing through: leave it out, or raise it" for name in caps),
        *(f"action {name} has an inventory of 0: nobody gets it" for name in gone),
    ]


def _of_people(agent: Agent, audience: Audience) -> list[str]:
    if not len(audience):
        return ["the audience is of nobody"]
    return [*_of_columns(agent, audience), *_of_zones(agent, audience), *_of_consents(agent, audience)]


def _of_zones(agent: Agent, audience: Audience) -> list[str]:
    """What is meant as a time zone and is none: to these people 09:00 would come at an hour that nobody meant."""
    unknown = audience.unknown_zones()
    if not unknown:
        return []
    most = max(unknown, key=lambda name: unknown[name])
    people, fallback = sum(unknown.values()), agent.timing.fallback_zone
    return [f"{people:,} people have no IANA zone such as Europe/Berlin ({most!r:.40} most often): they get {fallback}"]


def _of_columns(agent: Agent, audience: Audience) -> list[str]:
    """Conditions on columns that nobody has, and a zone for all."""
    known, told = audience.table.column_names, []
    places = {"eligibility": agent.eligibility.where, **{f"action {one.name}": one.when for one in agent.actions}}
    for where, condition in places.items():
        missing = sorted(condition.names - set(known))
        told += [f"{where} asks for {name}, which the audience does not have{_near(name, known)}" for name in missing]
    if "timezone" not in known:
        told.append(f"the audience has no timezone: everybody is taken to live in {agent.timing.fallback_zone}")
    return told


def _of_consents(agent: Agent, audience: Audience) -> list[str]:
    told, known = [], audience.table.column_names
    for channel in agent.channels:
        name = CONSENT + channel
        if channel in agent.eligibility.without_consent:
            continue
        if name not in known:
            told.append(f"nobody can get {channel}: the audience has no {name}{_near(name, known)}")
        elif not audience.consents(channel).any():
            told.append(f"nobody can get {channel}: {name} is true for nobody")
    return told


def _of_outcomes(workspace: Workspace, agent: Agent) -> list[str]:
    """Goal outcomes, and deeds that stop messages, that never came so far."""
    seen = pc.unique(read_mart(workspace, "events", ["event_type"])["event_type"]).to_pylist()
    named = [("the goal counts", name) for name in agent.goal.outcomes]
    named += [("messages stop after", name) for name in watched(agent)]
    return [
        f"{told} {name}, which has not come so far{_near(name, sorted({*seen, *EVENT_STRENGTHS}))}"
        for told, name in named
        if name not in seen
    ]


def _of_placements(workspace: Workspace, agent: Agent) -> list[str]:
    """Placements that are not there, or cannot fill an action's slots, and a champion that is not."""
    known = read_configuration(workspace.configuration).placements
    told = []
    for action in agent.actions:
        placement = known.get(action.placement or "")
        fills = f"action {action.name} is filled by the placement {action.placement}, which"
        if action.placement is not None and placement is None:
            told.append(f"{fills} is not there{_near(action.placement, list(known))}")
        elif placement is not None and not can_fill(placement, action.slots):
            needs = (
                f"needs {', '.join(placement.requires)}" if placement.requires else f"shows at most {placement.max_k}"
            )
            told.append(f"{fills} {needs}: it is given to nobody")
    if any(action.slots for action in agent.actions) and "champion" not in aliases(workspace):
        told.append("there is no champion to fill slots: actions with slots are given to nobody")
    return told


def _near(name: str, known: list[str]) -> str:
    near = [one for one in difflib.get_close_matches(name, known, n=1) if one != name]
    return f"; did you mean {near[0]}?" if near else ""
