"""Agents of a workspace at work: what they read and where their decisions lie. How they decide is the core's."""

from __future__ import annotations

import io
import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from orchestration.agent_ledger import Ledger, read_ledger
from orchestration.agent_slots import open_slots
from orchestration.audience_query import query_audience
from orchestration.known_events import known_deeds
from orchestration.nearest_ids import nearest_ids
from orchestration.settings import ARCHIVE_AGE_DAYS
from orchestration.tables import read_as_of_ms
from recommender.agents.agent import NOTHING, Agent
from recommender.agents.agent_file import read_agent_files
from recommender.agents.agent_model import load_agent_model
from recommender.agents.audience import Audience
from recommender.agents.consents import with_consents
from recommender.agents.deciding import Run
from recommender.agents.deeds import with_deeds
from recommender.agents.draft import Draft
from recommender.agents.erased_sends import sent_to_erased
from recommender.agents.published_audience import PublishedAudience, publish_audience
from recommender.agents.record import AGENT_DECISION_SCHEMA, agent_version, read_records
from recommender.agents.run_files import moment_of_file, name_of_run
from recommender.agents.slots import RememberedSlots, SlotFiller
from recommender.agents.turns import alone
from recommender.errors import ConfigurationError, InputError, IntegrityError
from recommender.events import DAY_MS
from recommender.workspace import Workspace, write_bytes_atomically
from services.agent_log import online_stock
from services.consent_log import said_consents
from services.erasure import people_being_erased

__all__ = [
    "OUTCOME_COLUMNS", "AgentAtWork", "decide_agent", "moment_of", "open_agent", "read_agent_decisions", "run_agent",
]  # fmt: skip

_LOG = logging.getLogger("nextbest.agents")

OUTCOME_COLUMNS = ("user_id", "event_type", "occurred_at", "quantity", "price_micros")


@dataclass(frozen=True)
class AgentAtWork:
    """An agent and the version of its file."""

    agent: Agent
    version: str


def open_agent(workspace: Workspace, name: str) -> AgentAtWork:
    """By name, from the operator's files; InputError for one that is not there, ConfigurationError for a broken one."""
    broken: dict[str, ConfigurationError] = {}
    known = read_agent_files(workspace.agents, broken)
    if name in known:
        agent, raw = known[name]
        return AgentAtWork(agent, agent_version(raw))
    if name in broken:
        raise broken[name]
    near = nearest_ids([name], pa.array(list(known), pa.string())).get(name)
    names = ", ".join(known) or "none so far"
    remedy = f"Did you mean {near}?" if near else f"Write {workspace.agents}/{name}.yml."
    raise InputError(f"no agent {name}.", f"one of the agents in {workspace.agents}: {names}.", remedy)


def moment_of(workspace: Workspace, told: str) -> int:
    """A moment in words (ISO 8601, UTC unless it says otherwise) as milliseconds since 1970; without one it is now.

    For data that ended days ago now is where they end: nobody in an archive can be written to today.
    """
    if told:
        try:
            moment = datetime.fromisoformat(told)
        except ValueError:
            expected = "a time such as 2026-06-01T08:00."
            raise InputError(f"--at {told}.", expected, "Write it that way; without a zone it is UTC.") from None
        return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
    now_ms, end_ms = round(datetime.now(UTC).timestamp() * 1000), read_as_of_ms(workspace)
    return now_ms if now_ms - end_ms < ARCHIVE_AGE_DAYS * DAY_MS else end_ms


def decide_agent(
    workspace: Workspace, work: AgentAtWork, decided_ms: int, tell: Callable[[str], None] = _LOG.info
) -> pa.Table:
    """What the agent decides at that moment, in AGENT_DECISION_SCHEMA; nothing is written. `tell` hears of progress."""
    audience = _audience(workspace, work.agent, decided_ms)
    slots = open_slots(workspace, work.agent, decided_ms, tell)
    return _draft(workspace, work, audience, decided_ms, slots, read_ledger(workspace, decided_ms)).records


def _audience(workspace: Workspace, agent: Agent, decided_ms: int) -> Audience:
    """What the operator asked for, but who is being erased, and what these people did lately that stops messages."""
    audience = query_audience(workspace.marts, agent.audience, decided_ms)
    if erasing := people_being_erased(workspace):
        theirs = pc.is_in(audience.table["user_id"], value_set=pa.array(erasing, pa.string()))
        audience = Audience(audience.table.filter(pc.invert(theirs)))
    return with_deeds(agent, audience, known_deeds(workspace, agent, decided_ms))


def _draft(
    workspace: Workspace,
    work: AgentAtWork,
    audience: Audience,
    decided_ms: int,
    slots: SlotFiller | None,
    ledger: Ledger,
) -> Draft:
    """What is decided on all that is known by now."""
    agent = work.agent
    audience = with_consents(agent, audience, said_consents(workspace), read_as_of_ms(workspace))
    model = load_agent_model(workspace.agent_model(agent.name))
    left = _left_in_stock(workspace, agent, ledger)
    return Draft.of(agent, audience, ledger.messages, Run(decided_ms, work.version), model, left, slots)


def run_agent(
    workspace: Workspace, work: AgentAtWork, decided_ms: int, tell: Callable[[str], None] = _LOG.info
) -> tuple[pa.Table, bool]:
    """Decide and write, once for each moment: a second run of the same moment reads what the first has written.

    Returns the decisions and whether they are new. Runs take turns, so that the caps of one see the messages of all;
    everything is decided before, and in the turn only for whom somebody wrote to meanwhile. `tell` hears of progress.
    The audience is published, so that its people can be decided for in the moment (`POST /v1/decide`).
    """
    name = work.agent.name
    path = workspace.agent_decisions(name) / name_of_run(decided_ms)
    if path.exists():
        return read_records(path), False
    audience = _audience(workspace, work.agent, decided_ms)
    _publish(workspace, name, audience, decided_ms)
    slots = open_slots(workspace, work.agent, decided_ms, tell)
    if slots is not None:
        slots = RememberedSlots(slots)
    ledger = read_ledger(workspace, decided_ms)
    draft = _draft(workspace, work, audience, decided_ms, slots, ledger)
    written = _as_bytes(draft.records)
    with alone(workspace.agents):
        if path.exists():
            return read_records(path), False
        records = draft.after(read_ledger(workspace, decided_ms, ledger).messages)
        write_bytes_atomically(path, written if records is draft.records else _as_bytes(records))
    return records, True


def _as_bytes(records: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(records, buffer)
    return buffer.getvalue()


def _publish(workspace: Workspace, name: str, audience: Audience, decided_ms: int) -> None:
    """For deciding in the moment, unless a later run has published its own; what cannot be read is replaced."""
    path = workspace.agent_audience(name)
    try:
        before = PublishedAudience.open(path)
    except IntegrityError:
        before = None
    if before is None or before.decided_ms <= decided_ms:
        publish_audience(path, audience, decided_ms, read_as_of_ms(workspace))


def read_agent_decisions(
    workspace: Workspace, name: str, columns: list[str] | None = None, since_ms: int = 0, *, of_runs: bool = False
) -> pa.Table:
    """Every decision of an agent, or those since a moment: of its runs, the oldest first, then those that it took in
    the moment, as far as the journal has been landed. `of_runs`: without these.
    """
    files = sorted(workspace.agent_decisions(name).glob("*.parquet"))
    files = [path for path in files if moment_of_file(path) >= since_ms]
    tables = [read_records(path, columns) for path in files]
    schema = AGENT_DECISION_SCHEMA
    empty = schema.empty_table() if columns is None else schema.empty_table().select(columns)
    if not of_runs and workspace.journal_agent_decisions.exists():
        own = (pc.field("agent") == name) & (pc.field("decided_at") >= pa.scalar(since_ms, pa.timestamp("ms")))
        tables.append(read_records(workspace.journal_agent_decisions, columns, own))
    return pa.concat_tables([empty, *tables])


def _left_in_stock(workspace: Workspace, agent: Agent, ledger: Ledger) -> dict[str, int]:
    """Action → how many could still get it when the ledger was read, for those with an inventory."""
    limited = {one.name: one.inventory for one in agent.actions if one.inventory is not None and one.name != NOTHING}
    if not limited:
        return {}
    given = Counter(online_stock(workspace, agent.name, ledger.latest))
    for path in workspace.agent_decisions(agent.name).glob("*.parquet"):
        if path in ledger.files or moment_of_file(path) < ledger.since_ms:
            counts = pc.value_counts(pq.read_table(path, columns=["action"])["action"])
            given.update({one["values"]: one["counts"] for one in counts.to_pylist()})
            given.update(sent_to_erased(path))
    return {name: max(0, limit - given[name]) for name, limit in limited.items()}
