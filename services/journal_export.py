"""The journal as Parquet in canonical columns, for dbt and for `nextbest export`. The journal is only read here."""

from __future__ import annotations

import io
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.json as pj
import pyarrow.parquet as pq

from recommender.agents.record import AGENT_DECISION_SCHEMA
from recommender.errors import InputError
from recommender.events import CATALOGUE_SCHEMA, DEAD_LETTER_SCHEMA, DECISION_SCHEMA, EVENT_SCHEMA
from recommender.workspace import Workspace
from services.agent_log import EXPORTED_AGENT_DECISIONS
from services.catalogue_log import EXPORTED_CHANGES, changes_table
from services.dead_letter_log import OPEN_LETTERS_EXPORT

__all__ = ["export_journal", "export_table", "unlanded_events"]

_BATCH = {
    "events": 50_000,
    "decisions": 2_000,
    "agent_decisions": 10_000,
    "dead_letters": 5_000,
    "items": 20_000,
}  # rows held in memory; a decision is about 10 kB
_SCHEMAS = {
    "events": EVENT_SCHEMA,
    "decisions": DECISION_SCHEMA,
    "agent_decisions": AGENT_DECISION_SCHEMA,
    "dead_letters": DEAD_LETTER_SCHEMA,
    "items": CATALOGUE_SCHEMA,
}

# Columns in the order of the schema. What an anonymous id did belongs to whoever it was identified as since.
_EVENTS = """
select event_id, coalesce(identities.user_id, events.user_id), item_id, event_type, occurred_ms, session_id,
       quantity, price_micros, channel, device, country, placement, decision_id, position, properties,
       recorded_ms, 'journal'
from events left join identities on identities.anonymous_user_id = events.user_id
order by seq
"""
_DECISIONS = """
select row, slate_features, coalesce(identities.user_id, decisions.user_id)
from decisions left join identities on identities.anonymous_user_id = decisions.user_id
order by seq
"""
_QUERIES = {
    "events": _EVENTS,
    "decisions": _DECISIONS,
    "agent_decisions": EXPORTED_AGENT_DECISIONS,
    "dead_letters": OPEN_LETTERS_EXPORT,
    "items": EXPORTED_CHANGES,
}
# Where to look whether a journal, which may be of an earlier version, has the table.
_STORED_AS = {"dead_letters": "dead_letter_fates", "items": "catalogue"}


# JSON holds times as integers of milliseconds; the feature bytes travel beside it.
def _as_json(schema: pa.Schema) -> pa.Schema:
    kinds = [(field.name, pa.int64() if pa.types.is_timestamp(field.type) else field.type) for field in schema]
    return pa.schema([(name, kind) for name, kind in kinds if name != "slate_features"])


def export_journal(workspace: Workspace) -> dict[str, int]:
    """Write landing/journal/{events,decisions,agent_decisions,dead_letters,items}.parquet from one snapshot; rows
    written by table.

    All are always written, empty ones too; the same journal gives the same bytes. Memory is
    bounded by a batch. Each file is written aside, synced and renamed.
    """
    targets = {
        "events": workspace.journal_events,
        "decisions": workspace.journal_decisions,
        "agent_decisions": workspace.journal_agent_decisions,
        "dead_letters": workspace.journal_dead_letters,
        "items": workspace.journal_items,
    }
    with closing(_open(workspace.journal)) as connection:
        connection.execute("begin")  # one snapshot: no event without the decision it names
        return {name: _write(connection, name, path) for name, path in targets.items()}


def export_table(workspace: Workspace, name: str, path: Path) -> int:
    """Write one table, "events" or "decisions", to a Parquet file of the caller's choice; rows written."""
    if name not in _QUERIES:
        raise InputError(f"a table called {name!r}.", f"one of {', '.join(_QUERIES)}.", "name one of them.")
    with closing(_open(workspace.journal)) as connection:
        return _write(connection, name, path.absolute())


def unlanded_events(workspace: Workspace, most: int) -> pa.Table:
    """The oldest `most` events that came after the last export, with the columns of EVENT_SCHEMA."""
    landed = pq.read_metadata(workspace.journal_events).num_rows if workspace.journal_events.exists() else 0
    with closing(_open(workspace.journal)) as connection:
        if not _has(connection, "events"):
            return EVENT_SCHEMA.empty_table()
        rows = connection.execute(f"{_EVENTS} limit ? offset ?", (most, landed)).fetchall()
    return _table(rows, EVENT_SCHEMA) if rows else EVENT_SCHEMA.empty_table()


def _open(path: Path) -> sqlite3.Connection:
    """The journal, or an empty database in memory while nothing has been recorded yet."""
    return sqlite3.connect(path if path.exists() else ":memory:", timeout=10.0, isolation_level=None)


def _write(connection: sqlite3.Connection, name: str, path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    rows = 0
    try:
        with pq.ParquetWriter(aside, _SCHEMAS[name], compression="zstd") as writer:
            for batch in _batches(connection, name):
                writer.write_table(batch, row_group_size=_BATCH[name])
                rows += batch.num_rows
        with aside.open("rb") as handle:
            os.fsync(handle.fileno())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
    return rows


def _has(connection: sqlite3.Connection, table: str) -> bool:
    return connection.execute("select 1 from sqlite_master where name = ?", (table,)).fetchone() is not None


def _batches(connection: sqlite3.Connection, name: str) -> Iterator[pa.Table]:
    if not _has(connection, _STORED_AS.get(name, name)):
        return
    cursor = connection.execute(_QUERIES[name])
    while rows := cursor.fetchmany(_BATCH[name]):
        if name == "decisions":
            yield _decision_table(rows)
        elif name == "agent_decisions":
            texts, user_ids = zip(*rows, strict=True)
            # What the answer said beside the record (its template, its variables) stays in the journal.
            yield _from_json(texts, AGENT_DECISION_SCHEMA, {"user_id": pa.array(user_ids, pa.string())}, "ignore")
        else:
            yield changes_table(rows) if name == "items" else _table(rows, _SCHEMAS[name])


def _table(rows: list[tuple[Any, ...]], schema: pa.Schema) -> pa.Table:
    columns = zip(*rows, strict=True)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)


def _decision_table(rows: list[tuple[Any, ...]]) -> pa.Table:
    texts, features, user_ids = zip(*rows, strict=True)
    beside = {"slate_features": pa.array(features, pa.binary()), "user_id": pa.array(user_ids, pa.string())}
    return _from_json(texts, DECISION_SCHEMA, beside, "error")


def _from_json(texts: Sequence[bytes], schema: pa.Schema, beside: Mapping[str, pa.Array], unexpected: str) -> pa.Table:
    """JSON texts in the columns of a schema, those that came beside them taken instead; a younger column is null."""
    lines = b"\n".join(texts)
    table = pj.read_json(
        io.BytesIO(lines),
        read_options=pj.ReadOptions(block_size=min(len(lines) + 1, 2**31 - 1)),  # a row must not straddle blocks
        parse_options=pj.ParseOptions(explicit_schema=_as_json(schema), unexpected_field_behavior=unexpected),
    )
    by_name = {**{name: table[name].combine_chunks() for name in table.column_names}, **beside}
    return pa.Table.from_arrays([by_name[field.name].cast(field.type) for field in schema], schema=schema)
