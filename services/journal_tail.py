"""What the journal holds and landing does not yet, read beside a running service. Nothing is written here.

A whole export writes every event and decision anew; between runs of the ring only what came since is asked for.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recommender.agents.record import AGENT_DECISION_SCHEMA
from recommender.events import EVENT_SCHEMA
from recommender.workspace import Workspace
from services.journal_export import agent_decision_table

__all__ = ["heard_until_ms", "journal_events", "unlanded_agent_decisions", "unlanded_count"]

_COLUMNS = {
    "user_id": "coalesce(identities.user_id, events.user_id)",
    "occurred_at": "occurred_ms",
    "recorded_at": "recorded_ms",
    "origin": "'journal'",
}
_EVENTS = """
select {columns} from {file}.events as events left join main.identities as identities
on identities.anonymous_user_id = events.user_id
where seq > ? and event_type in (select value from json_each(?)) order by seq
"""
_DECISIONS = """
select row, coalesce(identities.user_id, agent_decisions.user_id)
from agent_decisions left join identities on identities.anonymous_user_id = agent_decisions.user_id
where seq > ? and agent = ? order by seq
"""
_COUNT = "select count(*) from agent_decisions where seq > ? and agent = ? and decided_ms <= ?"
_HAS = "select 1 from {file}.sqlite_master where name = ?"
_LAST = "select max(seq) from {file}.{table} where {key} in (select value from json_each(?))"


def journal_events(workspace: Workspace, types: Sequence[str], columns: Sequence[str]) -> pa.Table:
    """Every event of these types that the service ever acknowledged, once each, in these columns of EVENT_SCHEMA; those
    of an anonymous id that came after the last export are whose it was identified as since.
    """
    schema = pa.schema([EVENT_SCHEMA.field(name) for name in columns])
    with closing(_opened(workspace)) as journal:
        after = _last_landed(journal, "events", "event_id", workspace.journal_events)
        wanted, names = orjson.dumps(list(types)), ", ".join(_COLUMNS.get(name, f"events.{name}") for name in columns)
        parts = [schema.empty_table()]
        if after is None:  # nothing was landed, or nothing of it is left
            parts.append(_fetched(journal, _EVENTS.format(columns=names, file="archive"), (0, wanted), schema))
        else:
            own = pc.field("event_type").isin(list(types))
            parts.append(pq.read_table(workspace.journal_events, columns=list(columns), filters=own).cast(schema))
        parts.append(_fetched(journal, _EVENTS.format(columns=names, file="main"), (after or 0, wanted), schema))
    return pa.concat_tables(parts)


def unlanded_agent_decisions(workspace: Workspace, agent: str) -> pa.Table:
    """What an agent decided in the moment since the last export, in AGENT_DECISION_SCHEMA."""
    with closing(_opened(workspace)) as journal:
        if not _has(journal, "main", "agent_decisions"):
            return AGENT_DECISION_SCHEMA.empty_table()
        after = _last_landed(journal, "agent_decisions", "decision_id", workspace.journal_agent_decisions)
        rows = journal.execute(_DECISIONS, (after or 0, agent)).fetchall()
    return agent_decision_table(rows) if rows else AGENT_DECISION_SCHEMA.empty_table()


def unlanded_count(workspace: Workspace, agent: str, until_ms: int) -> int:
    """How many of them were decided up to a moment."""
    with closing(_opened(workspace)) as journal:
        if not _has(journal, "main", "agent_decisions"):
            return 0
        after = _last_landed(journal, "agent_decisions", "decision_id", workspace.journal_agent_decisions)
        return int(journal.execute(_COUNT, (after or 0, agent, until_ms)).fetchone()[0])


def heard_until_ms(workspace: Workspace) -> int | None:
    """When the service recorded its newest event; None while it holds none. By then it has heard of all before."""
    with closing(_opened(workspace)) as journal:
        if not _has(journal, "main", "events"):
            return None
        found = journal.execute("select recorded_ms from events order by seq desc limit 1").fetchone()
    return None if found is None else int(found[0])


def _opened(workspace: Workspace) -> sqlite3.Connection:
    """The journal with its archive; empty databases in memory for what does not exist yet."""
    journal, archive = (
        str(path) if path.exists() else ":memory:" for path in (workspace.journal, workspace.journal_archive)
    )
    connection = sqlite3.connect(journal, timeout=10.0, isolation_level=None)
    connection.execute("attach database ? as archive", (archive,))
    connection.execute("begin")  # one snapshot
    return connection


def _last_landed(journal: sqlite3.Connection, table: str, key: str, path: Path) -> int | None:
    """The highest row of the service's own file that landing holds: 0 where all of it was archived since; None where
    nothing was landed. Asked by ids, for people may have been erased from either.
    """
    if not path.exists() or not (file := pq.ParquetFile(path)).num_row_groups:
        return None
    ids = orjson.dumps(file.read_row_group(file.num_row_groups - 1, columns=[key])[key].to_pylist())
    for name in ("main", "archive"):
        if _has(journal, name, table):
            (last,) = journal.execute(_LAST.format(file=name, table=table, key=key), (ids,)).fetchone()
            if last is not None:
                return int(last) if name == "main" else 0
    return None


def _fetched(journal: sqlite3.Connection, query: str, values: tuple[object, ...], schema: pa.Schema) -> pa.Table:
    if not _has(journal, "archive" if "archive.events" in query else "main", "events"):
        return schema.empty_table()
    rows = journal.execute(query, values).fetchall()
    columns = zip(*rows, strict=True) if rows else ([] for _ in schema)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)


def _has(journal: sqlite3.Connection, file: str, table: str) -> bool:
    return journal.execute(_HAS.format(file=file), (table,)).fetchone() is not None
