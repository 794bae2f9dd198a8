"""Erasures in the journal, its archive and their bytes: asked for, carried out and ended. Other stores are not touched.

Rows are looked for by reading, which keeps nobody waiting, and dropped in small steps, overwritten by SQLite. That
leaves a copy where a page of an index was once divided: of 1,000 people in a file of 40 MB, of one. Where one is left
the file is written anew, which makes writers wait some 5 ms a megabyte; for one person that is a rare case.
"""

from __future__ import annotations

import mmap
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

from recommender.errors import NotReadyError
from recommender.workspace import Workspace
from services.clock import Clock
from services.erasure_log import (
    PendingErasure,
    end_erasures,
    erasure_status,
    forget_message_ids,
    pending_erasures,
    remember_hashes,
)
from services.journal import Journal
from services.records import Entry, Erasure

__all__ = [
    "ask_erasures",
    "close_erasures",
    "erase_from_journal",
    "erasures_under_way",
    "people_being_erased",
    "status_of_erasures",
]

T = TypeVar("T")

_AT_ONCE = 500  # rows in one commit: what waits for its turn waits some 40 ms
_SEARCHED = 50  # ids that are looked for in a file's bytes; with more the file is written anew without looking
_PATIENCE = 100  # times that emptying the log is tried, 0.1 s apart, while somebody reads

# Rows of people, up to a mark: `ids` holds canonical ids, `names` ids as messages spell them.
_DECISIONS = """
select seq from {file}.decisions as found join ids using (user_id) where seq <= ids.until_decision
"""
_AGENT_DECISIONS = "select seq from agent_decisions join ids using (user_id) where seq <= ids.until_agent_decision"
_ARCHIVED_EVENTS = "select seq from archive.events join ids using (user_id)"
_ARCHIVED_IDS = "select event_id from archive.events join ids using (user_id) where erasure_id = ?"
_RAW = """
select distinct seq from raw_messages join names on name in (
    json_extract(cast(raw as text), '$.userId'), json_extract(cast(raw as text), '$.anonymousId'),
    json_extract(cast(raw as text), '$.previousId')
) where seq <= names.until_raw
"""
_LETTERS = """
select distinct dead_letters.seq from dead_letters, json_tree(cast(raw as text)) as part join names
on name = part.atom where dead_letters.seq <= names.until_letter
"""


def ask_erasures(workspace: Workspace, people: Iterable[str]) -> list[str]:
    """Ask for the erasure of each person, as `DELETE /v1/users/{id}` does, beside a running service; their ids."""
    asked_ms = Clock.from_settings(workspace.settings).now_ms()
    with closing(Journal(workspace.journal)) as journal:
        found = []
        for person in people:
            with journal.turn():
                (receipt,) = journal.append([Entry(erasure=Erasure(person, asked_ms))])
            found.append(receipt.erasure_id)
    return found


def erasures_under_way(workspace: Workspace) -> list[PendingErasure]:
    """Those that were asked for and are not done, the oldest first."""
    return _read(workspace, pending_erasures, [])


def people_being_erased(workspace: Workspace) -> list[str]:
    """All ids of people who are not to be decided for, nor written to, because their erasure is under way."""
    return sorted({user_id for one in erasures_under_way(workspace) for user_id in one.people})


def status_of_erasures(workspace: Workspace) -> dict[str, dict[str, Any]]:
    """Every erasure there was, by its id: see `erasure_status`."""

    def read(connection: sqlite3.Connection) -> dict[str, dict[str, Any]]:
        ids = connection.execute("select erasure_id from erasures order by asked_ms, erasure_id").fetchall()
        return {one: erasure_status(connection, one) or {} for (one,) in ids}

    return _read(workspace, read, {})


def erase_from_journal(workspace: Workspace, pending: Sequence[PendingErasure]) -> dict[str, int]:
    """Drop what asking left in the journal and in its archive, and keep the hashes; how many rows of each table."""
    dropped: dict[str, int] = {}
    with closing(Journal(workspace.journal)) as journal, closing(_opened(workspace, pending)) as files:
        with journal.turn():
            files.execute("begin immediate")
            remember_hashes(files, pending)
            files.execute("commit")
        for one in pending if _has_archive(files) else ():
            told = [event_id for (event_id,) in files.execute(_ARCHIVED_IDS, (one.erasure_id,))]
            with journal.turn():
                forget_message_ids(files, told, one.names)
        for name, table, query in _wanted(files):
            rows = [seq for (seq,) in files.execute(query)]
            for start in range(0, len(rows), _AT_ONCE):
                with journal.turn():
                    _drop(files, table, rows[start : start + _AT_ONCE])
            dropped[name] = len(rows)
    return dropped


def close_erasures(workspace: Workspace, pending: Sequence[PendingErasure]) -> int:
    """Forget the ids and wipe the files: the last step, when nothing elsewhere names the people; how many are done.

    Cut short, it is taken up by the next call, with whatever is pending then.
    """
    with closing(Journal(workspace.journal)) as journal, closing(_connected(workspace.journal)) as files:
        with journal.turn():
            files.execute("begin immediate")
            end_erasures(files, pending)
            files.execute("commit")
        names = [name.encode() for one in pending for name in one.names]
        for path in (workspace.journal, workspace.journal_archive):
            if path.exists():
                _wipe(journal, path, names)
        now_ms = Clock.from_settings(workspace.settings).now_ms()
        with journal.turn():
            return files.execute(
                "update erasures set done_ms = ? where done_ms is null "
                "and not exists (select 1 from erasing where erasing.erasure_id = erasures.erasure_id)",
                (now_ms,),
            ).rowcount


def _wanted(files: sqlite3.Connection) -> Iterator[tuple[str, str, str]]:
    """What is counted as what, the table, and the query of its rows."""
    yield "decisions", "main.decisions", _DECISIONS.format(file="main")
    yield "agent decisions", "main.agent_decisions", _AGENT_DECISIONS
    yield "messages as they arrived", "main.raw_messages", _RAW
    yield "dead letters", "main.dead_letters", _LETTERS
    if _has_archive(files):
        yield "archived events", "archive.events", _ARCHIVED_EVENTS
        yield "archived decisions", "archive.decisions", _DECISIONS.format(file="archive")


def _has_archive(files: sqlite3.Connection) -> bool:
    """Whether anything was ever moved to an archive: its tables are made one after the other."""
    tables = "select count(*) from archive.sqlite_master where name in ('events', 'decisions')"
    return bool(files.execute(tables).fetchone()[0] == 2)


def _drop(files: sqlite3.Connection, table: str, rows: Sequence[int]) -> None:
    files.execute("begin immediate")
    files.executemany(f"delete from {table} where seq = ?", [(seq,) for seq in rows])
    files.execute("commit")


def _opened(workspace: Workspace, pending: Sequence[PendingErasure]) -> sqlite3.Connection:
    """The journal with its archive, and the people in two tables in memory."""
    files = _connected(workspace.journal)
    archive = str(workspace.journal_archive) if workspace.journal_archive.exists() else ":memory:"
    files.execute("attach database ? as archive", (archive,))
    files.execute("pragma secure_delete = on")
    files.execute("pragma temp_store = memory")
    files.execute("create temp table ids (user_id text primary key, erasure_id, until_decision, until_agent_decision)")
    files.execute("create temp table names (name text primary key, until_raw, until_letter)")
    for one in pending:
        marks = (one.erasure_id, one.until_decision, one.until_agent_decision)
        files.executemany("insert or replace into ids values (?, ?, ?, ?)", [(who, *marks) for who in one.people])
        bounds = (one.until_raw, one.until_letter)
        files.executemany("insert or replace into names values (?, ?, ?)", [(name, *bounds) for name in one.names])
    return files


def _connected(path: Path) -> sqlite3.Connection:
    files = sqlite3.connect(path, timeout=30.0, isolation_level=None)
    files.execute("pragma secure_delete = on")
    return files


def _wipe(journal: Journal, path: Path, names: Sequence[bytes]) -> None:
    """Leave no byte of the names in a file and its log, whose rows do not hold them any more."""
    with closing(_connected(path)) as file:
        _emptied(journal, file, path)
        if len(names) > _SEARCHED or _holds(path, names):
            with journal.turn():
                file.execute("vacuum")
            _emptied(journal, file, path)


def _emptied(journal: Journal, file: sqlite3.Connection, path: Path) -> None:
    """Move the log into the file and cut it to nothing, as soon as nobody reads what it holds. NotReadyError where
    somebody reads on and on."""
    for _ in range(_PATIENCE):
        file.execute("pragma wal_checkpoint(passive)").fetchone()  # most of it beside whoever writes
        with journal.turn():
            (busy, *_) = file.execute("pragma wal_checkpoint(truncate)").fetchone()
        if not busy:
            return
        time.sleep(0.1)
    found = f"somebody who reads {path.name} without an end."
    raise NotReadyError(found, "readers that end.", "End them; the erasure is taken up again by itself.")


def _holds(path: Path, names: Sequence[bytes]) -> bool:
    with path.open("rb") as handle, mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as held:
        return any(held.find(name) >= 0 for name in names)


def _read(workspace: Workspace, read: Callable[[sqlite3.Connection], T], nothing: T) -> T:
    """Nothing while there is no journal, or an older one without the tables."""
    if not workspace.journal.exists():
        return nothing
    with closing(sqlite3.connect(workspace.journal, timeout=10.0)) as connection:
        has = connection.execute("select 1 from sqlite_master where name = 'erased'").fetchone()
        return nothing if has is None else read(connection)
