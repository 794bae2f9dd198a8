"""The journal's decisions of agents in the moment: each once, and no message beyond what its decider saw.

The ledger that holds across workers. A decision is made outside of the transaction that stores it, which then looks
whether the person was sent something meanwhile, or the stock is gone: if so nothing is stored, and it is made again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

import orjson
import pyarrow as pa

from recommender.agents.agent import NOTHING
from recommender.agents.sends import SEND_SCHEMA
from recommender.workspace import Workspace
from services.erasure_log import NOT_ERASED
from services.records import AgentDecision

__all__ = [
    "AGENT_TABLES", "EXPORTED_AGENT_DECISIONS", "KNOWN", "OVERTAKEN", "STORED", "agent_decision", "latest_decision",
    "online_sends", "online_stock", "sends_to", "store_agent_decision", "taken_from_stock",
]  # fmt: skip

STORED, KNOWN, OVERTAKEN = "stored", "known", "overtaken"

AGENT_TABLES = """
create table if not exists agent_decisions (
    seq integer primary key autoincrement,
    decision_id text not null unique, agent text not null, user_id text not null, decided_ms integer not null,
    action text not null, channel text, send_ms integer, row blob not null
);
create index if not exists agent_sends on agent_decisions (user_id, send_ms) where send_ms is not null;
create table if not exists agent_stock (
    agent text not null, action text not null, taken integer not null, primary key (agent, action)
) without rowid;
"""
_ADD = """
insert into agent_decisions (decision_id, agent, user_id, decided_ms, action, channel, send_ms, row)
values (?, ?, ?, ?, ?, ?, ?, ?)
"""
_KNOWN = "select row from agent_decisions where decision_id = ?"
_TOLD = f"{_KNOWN} and " + NOT_ERASED.format(table="agent_decisions", mark="until_agent_decision")
_SENDS = "select send_ms, agent, action, channel from agent_decisions where user_id = ? and send_ms >= ?"
_LATEST = "select max(seq) from agent_decisions where user_id = ? and send_ms is not null"
_TAKEN = "select taken from agent_stock where agent = ? and action = ?"
_TAKE = """
insert into agent_stock (agent, action, taken) values (?, ?, 1)
on conflict (agent, action) do update set taken = taken + 1
"""
EXPORTED_AGENT_DECISIONS = """
select row, coalesce(identities.user_id, agent_decisions.user_id)
from agent_decisions left join identities on identities.anonymous_user_id = agent_decisions.user_id
order by seq
"""
_ALL_SENDS = """
select coalesce(identities.user_id, agent_decisions.user_id), send_ms, agent, action, channel
from agent_decisions left join identities on identities.anonymous_user_id = agent_decisions.user_id
where send_ms >= ? and seq > ? and seq <= ? order by seq
"""
_LATEST_OF_ALL = "select coalesce(max(seq), 0) from agent_decisions where seq > ?"
_STOCK = """
select action, taken - (
    select count(*) from agent_decisions as later
    where later.seq > ? and later.agent = agent_stock.agent and later.action = agent_stock.action
) from agent_stock where agent = ?
"""


def store_agent_decision(connection: sqlite3.Connection, decision: AgentDecision) -> str:
    """Inside the caller's transaction: STORED, KNOWN where its id is there already, or OVERTAKEN (nothing stored)."""
    row, run = decision.row, connection.execute
    if run(_KNOWN, (row["decision_id"],)).fetchone() is not None:
        return KNOWN
    if row["action"] != NOTHING:
        if latest_send(connection, decision.people) != decision.latest_send:
            return OVERTAKEN
        taken = taken_from_stock(connection, row["agent"], row["action"])
        if decision.in_stock is not None and taken >= decision.in_stock:
            return OVERTAKEN
        run(_TAKE, (row["agent"], row["action"]))
    names = ("decision_id", "agent", "user_id", "decided_at", "action", "channel", "send_at")
    run(_ADD, (*(row[name] for name in names), orjson.dumps(row)))
    return STORED


def agent_decision(connection: sqlite3.Connection, decision_id: str) -> dict[str, Any] | None:
    """One decision's record as it was stored: times are milliseconds since 1970."""
    found = connection.execute(_TOLD, (decision_id,)).fetchone()
    return None if found is None else dict(orjson.loads(found[0]))


def latest_send(connection: sqlite3.Connection, people: Sequence[str]) -> int:
    """The number of the last message to a person, who may be known by several ids; 0 where there is none."""
    return max((connection.execute(_LATEST, (person,)).fetchone()[0] or 0 for person in people), default=0)


def sends_to(connection: sqlite3.Connection, people: Sequence[str], since_ms: int) -> list[tuple[int, str, str, str]]:
    """Each message to a person from a moment on: when, agent, action and channel."""
    return [row for person in people for row in connection.execute(_SENDS, (person, since_ms))]


def taken_from_stock(connection: sqlite3.Connection, agent: str, action: str) -> int:
    """How many messages of an action went out in the moment."""
    found = connection.execute(_TAKEN, (agent, action)).fetchone()
    return 0 if found is None else int(found[0])


def latest_decision(workspace: Workspace) -> int:
    """The number of the last decision in the moment; 0 while there is none."""
    found = _read(workspace, _LATEST_OF_ALL, 0)
    return int(found[0][0]) if found else 0


def online_sends(workspace: Workspace, since_ms: int, after: int = 0, until: int = 2**62) -> pa.Table:
    """Everybody's messages from a moment on, in SEND_SCHEMA: what the runs of a whole audience must count. Of the
    decisions with numbers in (after, until] alone.
    """
    rows = _read(workspace, _ALL_SENDS, since_ms, after, until)
    if not rows:
        return SEND_SCHEMA.empty_table()
    arrays = [pa.array(column) for column in zip(*rows, strict=True)]
    return pa.Table.from_arrays(arrays, names=SEND_SCHEMA.names).cast(SEND_SCHEMA)


def online_stock(workspace: Workspace, agent: str, until: int = 2**62) -> Mapping[str, int]:
    """Action → how many messages of it went out in the moment, up to a decision's number."""
    return {str(action): int(taken) for action, taken in _read(workspace, _STOCK, until, agent)}


def _read(workspace: Workspace, query: str, *values: object) -> list[tuple[Any, ...]]:
    """Nothing while there is no journal, or an older one without the tables."""
    if not workspace.journal.exists():
        return []
    with closing(sqlite3.connect(workspace.journal, timeout=10.0)) as connection:
        has = connection.execute("select 1 from sqlite_master where name = 'agent_stock'").fetchone()
        return [] if has is None else connection.execute(query, values).fetchall()
