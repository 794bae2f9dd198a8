"""What an agent's records show, as a page for people and as tables for a warehouse. How it is found is the core's."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from orchestration.agent_readout import ARMS, read_agent
from orchestration.agents import OUTCOME_COLUMNS, AgentAtWork, open_agent, read_agent_decisions
from orchestration.tables import read_as_of_ms, read_mart
from recommender.agents.insights.affinities import expected_gains
from recommender.agents.insights.evidence import Evidence
from recommender.agents.insights.fatigue import UNSUBSCRIBE
from recommender.agents.insights.insights import find_insights
from recommender.agents.record import sends_of
from recommender.agents.sends import SEND_SCHEMA
from recommender.errors import InputError, NotReadyError
from recommender.events import DAY_MS
from recommender.experiments.readout import ReadoutConfig
from recommender.report.agent_page import agent_page
from recommender.report.agent_words import Words, three_sentences
from recommender.workspace import Workspace, write_bytes_atomically

__all__ = ["PAGE", "write_insights"]

PAGE = "insights.html"
LOOKED_BACK_MS = 182 * DAY_MS  # half a year: what people liked before says little of what they like now


def write_insights(workspace: Workspace, name: str, now_ms: int, out: Path | None = None) -> Path:
    """Write the page (default: among the agent's reports) with its figures beside it as JSON, and `affinities.parquet`
    in the agent's folder; returns the page. NotReadyError before any decision.

    Decisions and outcomes are those of the half year before `now_ms`, or before the marts end; the readout in it is
    up to the marts' end.
    """
    work = open_agent(workspace, name)
    agent, until_ms = work.agent, min(now_ms, read_as_of_ms(workspace))
    since_ms = until_ms - LOOKED_BACK_MS
    records, events = _records(workspace, name, since_ms, until_ms), _events(workspace, work, since_ms)
    if not len(records):
        raise NotReadyError(f"no decision of {name} so far.", "decisions.", f"run `nextbest agent run {name}`.")
    found = find_insights(agent, records, events, _sends(workspace, since_ms), until_ms, _people(workspace))
    readout = _readout(workspace, work)
    sentences = [text for text, _ in three_sentences(found, readout, Words.of(found))]
    page = out or workspace.agent_reports(name) / PAGE
    write_bytes_atomically(page, agent_page(found, readout).encode())
    figures = json.dumps({"sentences": sentences, **found, "readout": readout}, indent=1, allow_nan=False)
    write_bytes_atomically(page.with_suffix(".json"), figures.encode())
    buffer = io.BytesIO()
    pq.write_table(expected_gains(Evidence.of(agent, records, events, until_ms)), buffer)
    write_bytes_atomically(workspace.agent_affinities(name), buffer.getvalue())
    return page


def _records(workspace: Workspace, name: str, since_ms: int, until_ms: int) -> pa.Table:
    records = read_agent_decisions(workspace, name, since_ms=since_ms)
    return records.filter(pc.less_equal(records["decided_at"].cast(pa.int64()), until_ms))


def _events(workspace: Workspace, work: AgentAtWork, since_ms: int) -> pa.Table:
    wanted = pc.field("event_type").isin([*work.agent.goal.outcomes, UNSUBSCRIBE])
    later = pc.field("occurred_at").cast(pa.timestamp("ms")) >= pa.scalar(since_ms, pa.timestamp("ms"))
    return read_mart(workspace, "events", OUTCOME_COLUMNS, wanted & later)


def _sends(workspace: Workspace, since_ms: int) -> pa.Table:
    """Every message of every agent: people tire of all of them together."""
    names = [path.parent.name for path in sorted(workspace.agents.glob("*/decisions"))]
    tables = [sends_of(read_agent_decisions(workspace, name, SEND_SCHEMA.names, since_ms)) for name in names]
    return pa.concat_tables([SEND_SCHEMA.empty_table(), *tables])


def _people(workspace: Workspace) -> pa.Table | None:
    if not workspace.mart("users").exists():
        return None
    known = pq.read_schema(workspace.mart("users")).names
    return read_mart(workspace, "users", [name for name in ("user_id", "timezone", "country") if name in known])


def _readout(workspace: Workspace, work: AgentAtWork) -> dict[str, Any] | None:
    """None where there is nobody to compare with, or where nobody could be written to yet."""
    try:
        report = read_agent(workspace, work, ReadoutConfig(), is_daily=True)
    except (InputError, NotReadyError):
        return None
    return report if report["compares"] == ARMS else None
