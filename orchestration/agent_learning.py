"""Learning in runs and between them: from what is known, and what of it is served. How it is fitted the core knows.

Outcomes that come by `/v1/track` are known as soon as the service has recorded them; the marts know them, and all
others, when the ring has run.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from orchestration.agents import OUTCOME_COLUMNS, AgentAtWork, read_agent_decisions
from orchestration.known_events import known_events
from orchestration.tables import read_as_of_ms, read_mart
from recommender.agents.agent import Agent
from recommender.agents.agent_model import FACTS, AgentModel, load_agent_model, save_agent_model
from recommender.agents.attribution import outcomes_of
from recommender.agents.audience import Audience
from recommender.agents.learning import learn
from recommender.agents.published_audience import PublishedAudience
from recommender.agents.run_files import moment_of_file
from recommender.agents.soundness import outcomes_ceased, some_of, unsound
from recommender.errors import IntegrityError
from recommender.events import DAY_MS
from recommender.workspace import Workspace, replace_folder, write_bytes_atomically
from services.journal_tail import heard_until_ms, journal_events, unlanded_agent_decisions, unlanded_count

__all__ = ["Horizon", "closed_count", "horizon_of", "learn_agent", "learnt_count", "learnt_from", "refusal_of"]

OVERLAP_MS = 30 * DAY_MS


@dataclass(frozen=True)
class Horizon:
    """Until when all outcomes of an agent are known; `why` not further than the marts, "" where the journal tells."""

    until_ms: int
    why: str = ""


def horizon_of(workspace: Workspace, agent: Agent) -> Horizon:
    """The end of the marts, or the newest event that the service recorded where every outcome comes by it.

    One that also comes in files, by the night, would look like one that never came.
    """
    end_ms, types = read_as_of_ms(workspace), list(agent.goal.outcomes)
    heard = journal_events(workspace, types, ["event_type", "occurred_at"])
    wanted = [name for name, weight in agent.goal.outcomes.items() if weight > 0]
    if not pc.any(pc.is_in(heard["event_type"], value_set=pa.array(wanted))).as_py():
        return Horizon(end_ms, "nothing that the goal wants has come by /v1/track")
    first_ms = pc.min(heard["occurred_at"].cast(pa.int64())).as_py()
    since = pa.scalar(max(first_ms, end_ms - OVERLAP_MS), pa.timestamp("ms"))
    own = pc.field("event_type").isin(types) & (pc.field("origin") != "journal") & (pc.field("occurred_at") >= since)
    elsewhere = pc.unique(read_mart(workspace, "events", ["event_type"], own)["event_type"]).to_pylist()
    if elsewhere:
        return Horizon(end_ms, f"{', '.join(sorted(elsewhere))} also comes by other ways than /v1/track")
    return Horizon(max(end_ms, heard_until_ms(workspace) or 0))


def learnt_from(workspace: Workspace, agent: Agent, columns: list[str] | None = None) -> tuple[pa.Table, pa.Table, int]:
    """Decisions of the agent, outcomes of its goal, and until when these are known."""
    horizon, types = horizon_of(workspace, agent), list(agent.goal.outcomes)
    recent = unlanded_agent_decisions(workspace, agent.name)
    landed = read_agent_decisions(workspace, agent.name, columns)
    records = pa.concat_tables([landed, recent if columns is None else recent.select(columns)])
    if horizon.why:
        events = read_mart(workspace, "events", OUTCOME_COLUMNS, pc.field("event_type").isin(types))
    else:
        events = known_events(workspace, types, OUTCOME_COLUMNS)
    return records, events, horizon.until_ms


def learn_agent(workspace: Workspace, work: AgentAtWork, now_ms: int, *, anyway: bool = False) -> dict[str, Any]:
    """Fit on all decisions whose window has closed; the facts, the `version` that is served from now on, whether it
    `is_new`, why what was learnt is `refused` ("": it is not) and whether this is so `again`. `anyway`: whatever became
    of outcomes.
    """
    agent, folder = work.agent, workspace.agent_model(work.agent.name)
    records, events, until_ms = learnt_from(workspace, agent)
    until_ms = min(now_ms, until_ms)
    model = learn(agent, records, events, until_ms)
    outcomes = outcomes_of(agent, records, events, until_ms)
    last = pc.max(outcomes["decided_at"].cast(pa.int64())).as_py() if len(outcomes) else 0
    model = replace(model, facts={**model.facts, "decided_until_ms": last})
    before = _served(folder)
    learnt = folder.with_name("learnt")
    version = save_agent_model(model, learnt)
    try:
        if before is not None and before.version == version:
            _note(workspace, agent.name, None)
            return {**model.facts, "version": version, "is_new": False, "refused": "", "again": False}
        again = bool(refusal_of(workspace, agent.name))
        why = _refused(workspace, agent, learnt, "" if anyway else _ceased(before, outcomes))
        _note(workspace, agent.name, {"version": version, "why": why} if why else None)
        if not why:
            replace_folder(learnt, folder)
    finally:
        shutil.rmtree(learnt, ignore_errors=True)
    served = (before.version if before else "none") if why else version
    return {**model.facts, "version": served, "is_new": not why, "refused": why, "again": again and bool(why)}


def refusal_of(workspace: Workspace, name: str) -> str:
    """Why what an agent learnt last is not served; "" where it is."""
    path = _note_path(workspace, name)
    return str(json.loads(path.read_bytes())["why"]) if path.exists() else ""


def closed_count(workspace: Workspace, agent: Agent, now_ms: int) -> int:
    """How many decisions there are to learn from: footers and one column are read, no record."""
    last_ms = now_ms - round(agent.goal.window_days * DAY_MS)
    files = workspace.agent_decisions(agent.name).glob("*.parquet")
    of_runs: int = sum(pq.read_metadata(path).num_rows for path in files if moment_of_file(path) <= last_ms)
    landed: int = 0
    if workspace.journal_agent_decisions.exists():
        own = (pc.field("agent") == agent.name) & (pc.field("decided_at") <= pa.scalar(last_ms, pa.timestamp("ms")))
        landed = len(pq.read_table(workspace.journal_agent_decisions, columns=["agent"], filters=own))
    return of_runs + landed + unlanded_count(workspace, agent.name, last_ms)


def learnt_count(workspace: Workspace, name: str) -> int:
    """How many decisions the agent's model was learnt from; −1 where it has none that can be read."""
    try:
        return int(json.loads((workspace.agent_model(name) / FACTS).read_bytes())["facts"]["decisions"])
    except (OSError, ValueError, KeyError):
        return -1


def _served(folder: Path) -> AgentModel | None:
    """What decides now; None where nothing was learnt, or nothing that can be read."""
    try:
        return load_agent_model(folder) if folder.exists() else None
    except IntegrityError:
        return None


def _ceased(before: AgentModel | None, outcomes: pa.Table) -> str:
    since = None if before is None else before.facts.get("decided_until_ms")
    return "" if since is None else outcomes_ceased(outcomes, int(since))


def _refused(workspace: Workspace, agent: Agent, learnt: Path, why: str) -> str:
    """Read again as it was written, and tried on people of the last run."""
    if why:
        return why
    published = PublishedAudience.open(workspace.agent_audience(agent.name))
    model = load_agent_model(learnt)
    if published is None:
        return ""
    return unsound(agent, model, some_of(Audience(published.table)), published.decided_ms)


def _note(workspace: Workspace, name: str, refusal: Mapping[str, str] | None) -> None:
    path = _note_path(workspace, name)
    if refusal is None:
        path.unlink(missing_ok=True)
    else:
        write_bytes_atomically(path, json.dumps(refusal, sort_keys=True).encode())


def _note_path(workspace: Workspace, name: str) -> Path:
    return workspace.agent_model(name).with_name("refused.json")
