"""A run of an agent read again: what it saw of people, and what was sent before. What is judged is the core's."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from orchestration.agent_ledger import REMEMBERED_MS
from orchestration.agents import AgentAtWork, read_agent_decisions
from recommender.agents.agent import CAP_DAYS, NOTHING
from recommender.agents.audience import CONSENT, Audience
from recommender.agents.audit import Audit, audit_earlier, audit_run
from recommender.agents.consents import with_consents
from recommender.agents.published_audience import PublishedAudience
from recommender.agents.record import sends_of
from recommender.agents.sends import SEND_SCHEMA
from recommender.events import DAY_MS
from recommender.workspace import Workspace, write_bytes_atomically
from services.consent_log import said_consents

__all__ = ["audit_agent", "audit_since"]

HOUR_MS = 3_600_000
JUDGED = ("decision_id", "arm", "propensity", *(f"{name}_propensity" for name in ("send", "action", "window", "item")))


def audit_agent(workspace: Workspace, work: AgentAtWork, records: pa.Table) -> Audit | None:
    """Judge the latest run's decisions; None for an earlier run, whose audience is not there any more. For whom a
    guardrail was broken is written to `broken.parquet` in the agent's folder, some people for each.
    """
    published = PublishedAudience.open(workspace.agent_audience(work.agent.name))
    if published is None or not len(records):
        return None
    decided_ms = int(records["decided_at"].cast(pa.int64())[0].as_py())
    if published.decided_ms != decided_ms:
        return None
    audience = _consenting(workspace, work, published, decided_ms)
    given = read_agent_decisions(workspace, work.agent.name, ["action", "decided_at"])
    given = _until(given, decided_ms)["action"]
    counts = {row["values"]: row["counts"] for row in pc.value_counts(given).to_pylist() if row["values"] != NOTHING}
    audit = audit_run(work.agent, audience, records, _messages(workspace, decided_ms), counts)
    if not audit.is_sound:
        _note(workspace, work.agent.name, audit)
    return audit


def _note(workspace: Workspace, name: str, audit: Audit) -> None:
    rows = [(guardrail, user_id) for guardrail, some in audit.examples.items() for user_id in some]
    guardrails, people = (pa.array(part, pa.string()) for part in zip(*rows, strict=True))
    buffer = io.BytesIO()
    pq.write_table(pa.table({"guardrail": guardrails, "user_id": people}), buffer)
    write_bytes_atomically(workspace.agent_broken(name), buffer.getvalue())


def audit_since(workspace: Workspace, work: AgentAtWork) -> Audit | None:
    """Judge what the agent's file as it is has decided in runs and in the moment, as far back as its caps look (earlier
    messages were judged when they were the latest); None before the first run.

    Messages of other agents count when a run is judged, not here: one that came later is theirs to answer for.
    """
    published = PublishedAudience.open(workspace.agent_audience(work.agent.name))
    if published is None:
        return None
    frequency = work.agent.frequency
    days = max((CAP_DAYS[cap.per] for cap in frequency.caps), default=0)
    span_ms = max(2 * days * DAY_MS, round(2 * frequency.cool_down_hours * HOUR_MS), DAY_MS)
    columns = list(dict.fromkeys([*SEND_SCHEMA.names, *JUDGED, "decided_at", "agent_version"]))
    records = read_agent_decisions(workspace, work.agent.name, columns, published.decided_ms - span_ms)
    own = records.filter(pc.equal(records["agent_version"], work.version))
    return audit_earlier(work.agent, Audience(published.table), own)


def _consenting(workspace: Workspace, work: AgentAtWork, published: PublishedAudience, decided_ms: int) -> Audience:
    """A yes counts that held when the run began or holds now: one that came or went in between breaks nothing."""
    said = said_consents(workspace)
    before = said.filter(pc.less(said["said_at"].cast(pa.int64()), decided_ms))
    then, now = (
        with_consents(work.agent, Audience(published.table), words, published.known_until_ms)
        for words in (before, said)
    )
    table = now.table
    for channel in work.agent.channels:
        if (name := CONSENT + channel) in table.column_names:
            either = pa.array(then.consents(channel) | now.consents(channel))
            table = table.set_column(table.schema.get_field_index(name), name, either)
    return Audience(table)


def _messages(workspace: Workspace, decided_ms: int) -> pa.Table:
    """What all agents had decided to send until then, this run included. What another agent decides later is its own
    to answer for, and decisions in the moment count once they are landed.
    """
    found = [SEND_SCHEMA.empty_table()]
    for folder in sorted(workspace.agents.glob("*/decisions")):
        columns = [*SEND_SCHEMA.names, "decided_at"]
        records = read_agent_decisions(workspace, folder.parent.name, columns, decided_ms - REMEMBERED_MS)
        found.append(sends_of(_until(records, decided_ms)))
    return pa.concat_tables(found)


def _until(records: pa.Table, decided_ms: int) -> pa.Table:
    return records.filter(pc.less_equal(records["decided_at"].cast(pa.int64()), decided_ms))
