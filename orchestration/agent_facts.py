"""What Dagster is told of agents: facts of each asset, which agents are due, how all of them do. No work is done."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from orchestration.agent_learning import closed_count, horizon_of, learnt_count, refusal_of
from orchestration.agent_readout import BASELINE, PAGE
from orchestration.agent_report import run_report
from orchestration.agents import moment_of, open_agent
from orchestration.tables import to_iso
from recommender.agents.agent import NOTHING, Agent
from recommender.agents.agent_file import read_agent
from recommender.agents.run_files import moment_of_file
from recommender.configuration import read_configuration
from recommender.errors import NextbestError
from recommender.report.agent_figures import lift_figure
from recommender.workspace import Workspace

__all__ = [
    "Due", "DueLearning", "agent_status", "due_agents", "due_learning", "message_facts", "policy_facts",
    "readout_facts", "readout_pictures", "sample_ratio_told",
]  # fmt: skip

FRESH_SECONDS = 24 * 3600
FACTORS = ("messages", "timing", "sending")


@dataclass(frozen=True)
class Due:
    """`names` of all agents; `wanted` ones run now, for the `day` on which the marts were built; else `reason`."""

    names: tuple[str, ...]
    wanted: tuple[str, ...] = ()
    day: str = ""
    now_ms: int = 0
    reason: str = ""


def due_agents(workspace: Workspace, built_at: float | None, now: float | None = None) -> Due:
    """Which agents there are and which are due; `built_at` and `now` are seconds since 1970. A broken file stops no
    other agent.
    """
    names, wrong = [], []
    for path in sorted(workspace.agents.glob("*.yml")):
        try:
            names.append(read_agent(path).name)
        except NextbestError as problem:
            wrong.append(problem.found)
    known = tuple(dict.fromkeys(names))
    try:
        daily = read_configuration(workspace.configuration).agents.daily
    except NextbestError as problem:
        return Due(known, reason=problem.found)
    now = datetime.now(UTC).timestamp() if now is None else now
    if not daily:
        return Due(known, reason=" ".join(["no agent is named under `agents.daily` in nextbest.yml.", *wrong]))
    if built_at is None or now - built_at > FRESH_SECONDS:
        return Due(known, reason=" ".join(["the marts were not built within a day; agents wait for that.", *wrong]))
    wanted = tuple(name for name in daily if name in known)
    missing = [f"no agent {name}." for name in daily if name not in known]
    day = datetime.fromtimestamp(built_at, UTC).date().isoformat()
    reason = " ".join([*missing, *wrong])
    return Due(known, wanted, day, moment_of(workspace, "") if wanted else 0, reason)


@dataclass(frozen=True)
class DueLearning:
    """`wanted` agents learn now, from what is known at `now_ms`; `asked` is when each was last looked at, in seconds
    since 1970; `reason` why the others do not.
    """

    wanted: tuple[str, ...]
    now_ms: int
    asked: Mapping[str, float]
    reason: str


def due_learning(workspace: Workspace, asked: Mapping[str, float], now: float, now_ms: int) -> DueLearning:
    """Which of the daily agents can learn something before their next run; each is looked at once in the minutes that
    are set. `now` in seconds of the wall's clock, `now_ms` by the service's.
    """
    try:
        settings = read_configuration(workspace.configuration).agents
    except NextbestError as problem:
        return DueLearning((), now_ms, asked, problem.found)
    pause, seen, wanted, told = 60 * settings.learn_every_minutes, dict(asked), [], []
    for name in settings.daily if pause else ():
        if now - seen.get(name, 0.0) < pause:
            continue
        seen[name] = now
        try:
            why = _nothing_new(workspace, name, now_ms)
        except NextbestError as problem:
            why = problem.found
        if why:
            told.append(f"{name}: {why}")
        else:
            wanted.append(name)
    return DueLearning(tuple(wanted), now_ms, seen, "; ".join(told) or "no agent is to learn before its next run yet")


def _nothing_new(workspace: Workspace, name: str, now_ms: int) -> str:
    agent = open_agent(workspace, name).agent
    horizon = horizon_of(workspace, agent)
    if horizon.why:
        return f"{horizon.why}, so it learns in its runs"
    count = closed_count(workspace, agent, min(now_ms, horizon.until_ms))
    if not count:
        return "no decision of it has had its time"
    return "" if count != learnt_count(workspace, name) else f"its {count:,} decisions with outcomes are learnt from"


def agent_status(workspace: Workspace) -> dict[str, Any]:
    """By name: whether it works daily, its last run and messages, and what its last readout said; a broken file says
    what is wrong with it.
    """
    found: dict[str, Any] = {}
    daily: tuple[str, ...] = ()
    with contextlib.suppress(NextbestError):  # which every other command says
        daily = read_configuration(workspace.configuration).agents.daily
    for path in sorted(workspace.agents.glob("*.yml")):
        try:
            name = read_agent(path).name
        except NextbestError as problem:
            found[path.stem] = {"problem": problem.found}
            continue
        runs = sorted(workspace.agent_decisions(name).glob("*.parquet"))
        found[name] = {"works": "daily" if name in daily else "when told"}
        if refusal := refusal_of(workspace, name):
            found[name]["not served"] = f"what it learnt last: {refusal}"
        if not runs:
            found[name]["last run"] = "none so far"
            continue
        actions = pq.read_table(runs[-1], columns=["action"])["action"]
        messages = int(pc.sum(pc.not_equal(actions, NOTHING)).as_py() or 0)
        told = {"last run": to_iso(moment_of_file(runs[-1])), "people": len(actions), "messages": messages}
        readout = (workspace.agent_reports(name) / PAGE).with_suffix(".json")
        report = json.loads(readout.read_text()) if readout.exists() else {"sentence": "not read yet"}
        found[name] |= {**told, "lift": report["sentence"]}
        if "policies" in report:
            found[name]["policies"] = report["policies"]["sentence"]
    return found


def policy_facts(found: Mapping[str, Any], outcomes: pa.Table) -> dict[str, Any]:
    """What was learnt, a sentence for each factor."""
    facts: dict[str, Any] = {
        "version": found["version"],
        "is new": found["is_new"],
        "decisions": found["decisions"],
        "decisions with a wanted outcome": int(pc.sum(outcomes["is_wanted"]).as_py() or 0),
        "reward per decision": float(pc.mean(outcomes["reward"]).as_py() or 0.0),
        "dagster/row_count": len(outcomes),
    }
    facts |= {name: str(found[name]["sentence"]) for name in FACTORS if name in found}
    for variant, own in found.get("variants", {}).items():
        facts |= {f"{name}, {variant}": str(own[name]["sentence"]) for name in FACTORS}
    return facts


def message_facts(agent: Agent, records: pa.Table, is_new: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """The run in figures, and the whole report that a picture is drawn of."""
    report = run_report(agent, records)
    kept = ("people", "messages", "arms", "actions", "channels", "windows", "why nothing", "policy")
    facts = {name: report[name] for name in kept}
    facts |= {"decided at": str(report["decided_at"]), "is new": is_new, "dagster/row_count": len(records)}
    return facts, report


def readout_pictures(report: Mapping[str, Any]) -> dict[str, bytes]:
    """PNGs: each difference by day, of the arms and of the policies."""
    drawn = {}
    for own in (report, report.get("policies", {})):
        if own.get("days"):
            for arm in (one["arm"] for one in own["comparisons"] if one["arm"] != BASELINE):
                drawn[f"{arm} against {own['control']}, by day"] = lift_figure(own, arm)
    return drawn


def sample_ratio_told(report: Mapping[str, Any]) -> tuple[bool, str]:
    """Whether arms and policies have the people they should, and what is said of it."""
    ratios = [own["sample_ratio"] for own in (report, report.get("policies")) if own is not None]
    return all(ratio["passed"] for ratio in ratios), " ".join(ratio["sentence"] for ratio in ratios)


def readout_facts(report: Mapping[str, Any]) -> dict[str, Any]:
    """Verdict, sentence, and each arm's difference with both of its intervals."""
    facts: dict[str, Any] = {name: report[name] for name in ("verdict", "sentence", "people", "since", "until", "page")}
    policies = report.get("policies")
    if policies is not None:
        facts["policies"] = policies["sentence"]
    for own in (*report["comparisons"], *(policies["comparisons"] if policies else ())):
        name = f"{own['arm']} against {own['control']}"
        facts[name] = {key: own[key] for key in ("difference", "low", "high", "always_low", "always_high", "lift")}
    if report["cautions"]:
        facts["cautions"] = list(report["cautions"])
    return facts
