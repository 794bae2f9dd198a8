"""What an agent brings beside its holdout and beside what was done before, and its policies beside each other: its
decisions and the marts in, a page and its figures out."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from orchestration.agents import OUTCOME_COLUMNS, AgentAtWork, read_agent_decisions
from orchestration.tables import read_as_of_ms, read_mart, to_iso
from recommender.agents.agent import Agent
from recommender.agents.policy_trial import POLICY_TRIAL_COLUMNS, policy_trial_of, with_people_needed
from recommender.agents.trial import Trial, trial_of
from recommender.errors import InputError, NextbestError
from recommender.experiments.effects import EffectConfig
from recommender.experiments.readout import ReadoutConfig, read_out
from recommender.report.experiment_page import experiment_page
from recommender.workspace import Workspace, write_bytes_atomically

__all__ = ["ARMS", "BASELINE", "PAGE", "POLICIES", "read_agent", "read_trial", "write_agent_readout"]

PAGE = "experiment.html"
AGENT, BASELINE = "agent", "baseline"
ARMS, POLICIES = "arms", "policies"  # what a report compares


def read_agent(
    workspace: Workspace, work: AgentAtWork, config: ReadoutConfig, is_daily: bool = False
) -> dict[str, Any]:
    """`read_out`'s report up to where the marts end, with `agent`, `since`, `until`, `left_out`, `compares`, and
    `beside_baseline` where there are a holdout and a baseline; `policies` is a report of the same kind where the agent
    tries several, and the whole of it where there is only one arm; `is_daily`: judged by the interval for every look,
    as it is looked at each day until something shows. InputError while there is nothing to compare,
    NotReadyError before any decision.
    """
    agent = work.agent
    records = read_agent_decisions(workspace, agent.name, list(POLICY_TRIAL_COLUMNS))
    wanted = pc.field("event_type").isin(list(agent.goal.outcomes))
    events = read_mart(workspace, "events", OUTCOME_COLUMNS, wanted)
    until_ms = read_as_of_ms(workspace)
    versus = config.control if config.control in [one.name for one in agent.variants] else None
    policies, why_not = _policies(
        agent, records, events, until_ms, replace(config, control=versus, peeking=config.peeking or is_daily)
    )
    config = config if versus is None else replace(config, control=None)
    trial = trial_of(agent, records, events, until_ms)
    if len(trial.shares) < 2 and policies is not None:
        return {**policies, "agent": agent.name, "compares": POLICIES}
    if len(trial.shares) < 2:
        raise InputError(
            f"{agent.name} has people in one arm only ({', '.join(trial.shares)}).",
            "a holdout or a baseline to compare with.",
            "Set `shares: {holdout: 0.1}` in its file.",
        )
    report = {**read_trial(trial, config), "agent": agent.name, "compares": ARMS}
    if policies is not None:
        report["policies"] = policies
    if why_not:
        report["cautions"] = [*report["cautions"], f"The policies cannot be compared yet: {why_not}"]
    if report["verdict"] != "refused" and {AGENT, BASELINE} < set(trial.shares) and report["control"] != BASELINE:
        report["beside_baseline"] = _beside_baseline(trial, config)
    return report


def read_trial(trial: Trial, config: ReadoutConfig) -> dict[str, Any]:
    """`read_out`'s report with `since`, `until`, `left_out` and the trial's own cautions. The always-valid interval is
    narrowest at the people of the first day: a number fixed before the first look.
    """
    report = read_out(trial.table, trial.columns, trial.shares, _planned(trial, config))
    report["cautions"] = [*report["cautions"], *trial.cautions]
    report |= {"since": to_iso(trial.since_ms), "until": to_iso(trial.until_ms), "left_out": trial.left_out}
    return report


def _policies(
    agent: Agent, records: pa.Table, events: pa.Table, until_ms: int, config: ReadoutConfig
) -> tuple[dict[str, Any] | None, str]:
    """The variants against the control or the first of the file, or why there is nothing to read yet."""
    if not agent.variants:
        return None, ""
    try:
        trial = policy_trial_of(agent, records, events, until_ms)
        if len(trial.shares) < 2:
            return None, f"all people so far have {', '.join(trial.shares)}."
        control = config.control or next((one.name for one in agent.variants if one.name in trial.shares), None)
        return with_people_needed(read_trial(trial, replace(config, control=control))), ""
    except NextbestError as problem:
        return None, problem.found


def _planned(trial: Trial, config: ReadoutConfig) -> ReadoutConfig:
    return replace(config, effects=EffectConfig(config.effects.alpha, max(float(trial.started), 1.0)))


def write_agent_readout(
    workspace: Workspace, work: AgentAtWork, config: ReadoutConfig | None = None, folder: Path | None = None
) -> dict[str, Any]:
    """Write the report as `experiment.html` and `.json` in a folder (default: the agent's reports), and return it;
    without a config it is the daily one.
    """
    report = read_agent(workspace, work, config or ReadoutConfig(), is_daily=config is None)
    page = (folder or workspace.agent_reports(work.agent.name)) / PAGE
    write_bytes_atomically(page, _page(report).encode())
    write_bytes_atomically(page.with_suffix(".json"), json.dumps(report, indent=1).encode())
    return {**report, "page": str(page)}


def _beside_baseline(trial: Trial, config: ReadoutConfig) -> dict[str, Any]:
    """The agent against what was done before, of their people alone."""
    own = pc.is_in(trial.table["arm"], value_set=pa.array([AGENT, BASELINE]))
    columns = replace(trial.columns, segments=(), day=None)
    shares = {name: trial.shares[name] for name in (BASELINE, AGENT)}
    return read_out(trial.table.filter(own), columns, shares, replace(_planned(trial, config), control=BASELINE))


def _page(report: dict[str, Any]) -> str:
    left_out = f"; {report['left_out']:,} more could never be written to" if report["left_out"] else ""
    lead = f"From {report['since']} to {report['until']}, each person from their first decision on{left_out}."
    headings = {"beside_baseline": "Beside what was done before", "policies": "Its policies beside each other"}
    beside = {heading: report[name] for name, heading in headings.items() if name in report}
    whose = "agent" if report["compares"] == ARMS else "policies of the agent"
    title = f"What the {whose} {report['agent']} {'brings' if report['compares'] == ARMS else 'bring'}"
    return experiment_page(report, title, lead, beside)
