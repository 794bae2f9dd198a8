"""The journal as Parquet in canonical columns, for dbt and for `nextbest export`. The journal is only read here."""

from __future__ import annotations

import io
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.json as pj
import pyarrow.parquet as pq

from recommender.agents.record import AGENT_DECISION_SCHEMA
from recommender.errors import InputError
from recommender.events import CATALOGUE_SCHEMA, DEAD_LETTER_SCHEMA, DECISION_SCHEMA, ERASED_SCHEMA, EVENT_SCHEMA
from recommender.workspace import Workspace
from services.agent_log import EXPORTED_AGENT_DECISIONS
from services.catalogue_log import EXPORTED_CHANGES, changes_table
from services.dead_letter_log import OPEN_LETTERS_EXPORT
from services.erasure_log import EXPORTED_HASHES

__all__ = ["agent_decision_table", "export_journal", "export_table", "unlanded_events"]

_BATCH = {
    "events": 50_000,
    "decisions": 2_000,
    "agent_decisions": 10_000,
    "dead_letters": 5_000,
    "items": 20_000,
    "erased": 50_000,
}  # rows held in memory; a decision is about 10 kB
_SCHEMAS = {
    "events": EVENT_SCHEMA,
    "decisions": DECISION_SCHEMA,
    "agent_decisions": AGENT_DECISION_SCHEMA,
    "dead_letters": DEAD_LETTER_SCHEMA,
    "items": CATALOGUE_SCHEMA,
    "erased": ERASED_SCHEMA,
}

# Columns in the order of the schema. What an anonymous id did belongs to whoever it was identified as since.
# `{file}`: the archive's rows come first (see `journal_archive`), then those of the journal after them.
_EVENTS = """
select event_id, coalesce(identities.user_id, events.user_id), item_id, event_type, occurred_ms, session_id,
       quantity, price_micros, channel, device, country, placement, decision_id, position, properties,
       recorded_ms, 'journal'
from {file}.events as events left join main.identities as identities
on identities.anonymous_user_id = events.user_id
where seq > {after} order by seq
"""
_DECISIONS = """
select row, slate_features, coalesce(identities.user_id, decisions.user_id)
from {file}.decisions as decisions left join main.identities as identities
on identities.anonymous_user_id = decisions.user_id
where seq > {after} order by seq
"""
_ARCHIVED = ("events", "decisions")
_QUERIES = {
    "events": _EVENTS,
    "decisions": _DECISIONS,
    "agent_decisions": EXPORTED_AGENT_DECISIONS,
    "dead_letters": OPEN_LETTERS_EXPORT,
    "items": EXPORTED_CHANGES,
    "erased": EXPORTED_HASHES,
}
# Where to look whether a journal, which may be of an earlier version, has the table.
_STORED_AS = {"dead_letters": "dead_letter_fates", "items": "catalogue"}


# JSON holds times as integers of milliseconds; the feature bytes travel beside it.
def _as_json(schema: pa.Schema) -> pa.Schema:
    kinds = [(field.name, pa.int64() if pa.types.is_timestamp(field.type) else field.type) for field in schema]
    return pa.schema([(name, kind) for name, kind in kinds if name != "slate_features"])


def export_journal(workspace: Workspace) -> dict[str, int]:
    """Write landing/journal/{events,decisions,agent_decisions,dead_letters,items,erased}.parquet from one snapshot;
    rows written by table.

    All are always written, empty ones too; the same journal gives the same bytes. Memory is
    bounded by a batch. Each file is written aside, synced and renamed.
    """
    targets = {
        "events": workspace.journal_events,
        "decisions": workspace.journal_decisions,
        "agent_decisions": workspace.journal_agent_decisions,
        "dead_letters": workspace.journal_dead_letters,
        "items": workspace.journal_items,
        "erased": workspace.journal_erased,
    }
    with closing(_open(workspace)) as connection:
        connection.execute("begin")  # one snapshot: no event without the decision it names
        return {name: _write(connection, name, path) for name, path in targets.items()}


def export_table(workspace: Workspace, name: str, path: Path) -> int:
    """Write one table, "events" or "decisions", to a Parquet file of the caller's choice; rows written."""
    if name not in _QUERIES:
        raise InputError(f"a table called {name!r}.", f"one of {', '.join(_QUERIES)}.", "name one of them.")
    with closing(_open(workspace)) as connection:
        return _write(connection, name, path.absolute())


def unlanded_events(workspace: Workspace, most: int) -> pa.Table:
    """The oldest `most` events that came after the last export, with the columns of EVENT_SCHEMA."""
    landed = pq.read_metadata(workspace.journal_events).num_rows if workspace.journal_events.exists() else 0
    with closing(_open(workspace)) as connection:
        if not _has(connection, "events"):
            return EVENT_SCHEMA.empty_table()
        archived, last = _archived(connection, "events")
        query = _EVENTS.format(file="main", after=last)  # the export writes before the archive takes
        rows = connection.execute(f"{query} limit ? offset ?", (most, max(landed - archived, 0))).fetchall()
    return _table(rows, EVENT_SCHEMA) if rows else EVENT_SCHEMA.empty_table()


def _open(workspace: Workspace) -> sqlite3.Connection:
    """The journal with its archive, or empty databases in memory for what does not exist yet."""
    journal, archive = (
        str(path) if path.exists() else ":memory:" for path in (workspace.journal, workspace.journal_archive)
    )
    connection = sqlite3.connect(journal, timeout=10.0, isolation_level=None)
    connection.execute("attach database ? as archive", (archive,))
    return connection


def _archived(connection: sqlite3.Connection, table: str) -> tuple[int, int]:
    """How many rows the archive holds, and up to which; none also where its making was cut short."""
    if not _has(connection, table, "archive"):
        return 0, 0
    count, last = connection.execute(f"select count(*), coalesce(max(seq), 0) from archive.{table}").fetchone()
    return int(count), int(last)


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


def _has(connection: sqlite3.Connection, table: str, file: str = "main") -> bool:
    return connection.execute(f"select 1 from {file}.sqlite_master where name = ?", (table,)).fetchone() is not None


def _cursors(connection: sqlite3.Connection, name: str) -> Iterator[sqlite3.Cursor]:
    """The rows of a table, oldest first, from both files."""
    if name not in _ARCHIVED:
        yield connection.execute(_QUERIES[name])
        return
    connection.execute(f"select 1 from main.{name} limit 1").fetchone()  # first: what is archived from here on stays
    archived, last = _archived(connection, name)
    if archived:
        yield connection.execute(_QUERIES[name].format(file="archive", after=0))
    yield connection.execute(_QUERIES[name].format(file="main", after=last))


def _batches(connection: sqlite3.Connection, name: str) -> Iterator[pa.Table]:
    if not _has(connection, _STORED_AS.get(name, name)):
        return
    for rows in _fetched(_cursors(connection, name), _BATCH[name]):
        if name == "decisions":
            yield _decision_table(rows)
        elif name == "agent_decisions":
            yield agent_decision_table(rows)
        else:
            yield changes_table(rows) if name == "items" else _table(rows, _SCHEMAS[name])


def agent_decision_table(rows: Sequence[tuple[Any, ...]]) -> pa.Table:
    """Stored rows and whose they are, one at least, in AGENT_DECISION_SCHEMA."""
    texts, user_ids = zip(*rows, strict=True)
    # What the answer said beside the record (its template, its variables) stays in the journal.
    return _from_json(texts, AGENT_DECISION_SCHEMA, {"user_id": pa.array(user_ids, pa.string())}, "ignore")


def _fetched(cursors: Iterable[sqlite3.Cursor], most: int) -> Iterator[list[tuple[Any, ...]]]:
    """Rows in lists of so many, wherever one file ends and the next begins: the same journal gives the same bytes."""
    rows: list[tuple[Any, ...]] = []
    for cursor in cursors:
        while more := cursor.fetchmany(most - len(rows)):
            rows += more
            if len(rows) == most:
                yield rows
                rows = []
    if rows:
        yield rows


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
