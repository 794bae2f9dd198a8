"""Events and decisions that nobody answers from any more, moved out of the file that the service writes.

They are still history: the export reads both files as one journal, so that landing stays whole and an anonymous id
that is identified years later takes its events along. Rows are copied and synced first and deleted afterwards, both
in small steps; whoever is killed in between leaves some in both files, which the export counts once.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing

from recommender.events import DAY_MS
from recommender.workspace import Workspace
from services.clock import Clock
from services.journal import Journal

__all__ = ["archive_journal"]

_AT_ONCE = 2_000  # rows in one commit: a running service waits some 20 ms for its turn
_MOMENTS = {"events": "recorded_ms", "decisions": "decided_ms"}


def archive_journal(workspace: Workspace, keep_days: float, states_as_of_ms: int | None) -> dict[str, int]:
    """Move rows older than so many days by the service's clock, and than the states that are served from; how many of
    each table. Without states (None) everything is still answered from, and stays. Works beside a running service."""
    moved = dict.fromkeys(_MOMENTS, 0)
    if states_as_of_ms is None or not workspace.journal.exists():
        return moved
    now_ms = Clock.from_settings(workspace.settings).now_ms()
    before_ms = min(now_ms - round(keep_days * DAY_MS), states_as_of_ms)
    with closing(Journal(workspace.journal)) as journal, closing(_opened(workspace)) as files:
        for table, moment in _MOMENTS.items():
            moved[table] = _copied(files, table, moment, before_ms)
            _cut_off(journal, files, table)
    return moved


def _opened(workspace: Workspace) -> sqlite3.Connection:
    """The journal with its archive attached, whose tables have the journal's columns."""
    files = sqlite3.connect(workspace.journal, timeout=10.0, isolation_level=None)
    files.execute("attach database ? as archive", (str(workspace.journal_archive),))
    files.execute("pragma archive.synchronous = full")
    for table in _MOMENTS:
        files.execute(f"create table if not exists archive.{table} as select * from main.{table} where 0")
        files.execute(f"create unique index if not exists archive.{table}_by_seq on {table} (seq)")
    return files


def _copied(files: sqlite3.Connection, table: str, moment: str, before_ms: int) -> int:
    """Copy what is old and not there yet, oldest first, up to the first row that is not old; how many."""
    copied = 0
    while True:
        (after,) = files.execute(f"select coalesce(max(seq), 0) from archive.{table}").fetchone()
        last, count = after, 0
        rows = f"select seq, {moment} from main.{table} where seq > ? order by seq limit ?"
        for seq, at in files.execute(rows, (after, _AT_ONCE)):
            if at >= before_ms:
                break
            last, count = seq, count + 1
        if not count:
            return copied
        files.execute(
            f"insert into archive.{table} select * from main.{table} where seq > ? and seq <= ? order by seq",
            (after, last),
        )
        copied += count


def _cut_off(journal: Journal, files: sqlite3.Connection, table: str) -> None:
    """Delete what the archive holds."""
    (until,) = files.execute(f"select coalesce(max(seq), 0) from archive.{table}").fetchone()
    while journal.forget(table, until, _AT_ONCE):
        pass
