"""The journal: every acknowledged message, event, identity and decision, on disk before it is answered.

SQLite with a write-ahead log and `synchronous=FULL`: 0 of 20,249 acknowledged events were lost under
`kill -9`, where buffered JSON lines lost 980 of 12,419. Several processes may append; each transaction
is whole. What the journal holds leaves as Parquet through `services.journal_export`.

A transaction of decisions alone is written, but not synced at once: no kill of a process loses it, and
`services.journal_keeper` syncs within a second (0.13 instead of 0.38 ms an answer, p99 1 instead of 6). A loss of
power may take decisions of that second; their outcomes then name a decision that is not there, and are learned from
as events.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from services.agent_log import (
    AGENT_TABLES,
    agent_decision,
    latest_send,
    sends_to,
    store_agent_decision,
    taken_from_stock,
)
from services.catalogue_log import CATALOGUE_TABLE, changes_between, latest_change, store_rows
from services.consent_log import consents_of, open_consents
from services.dead_letter_log import DEAD_LETTER_TABLE, open_letters, reasons, settle, store_letters
from services.deed_log import Stops, deeds_of
from services.erasure_log import ERASURE_TABLES, NOT_ERASED, begin_erasure, erasure_status, is_being_erased
from services.journal_export import export_journal, export_table
from services.journal_rows import decision_row
from services.message_log import MESSAGE_TABLES, LiveEvents, identified, ids_of, live_events, store_message
from services.raw_messages import RAW_TABLE, forget_raw
from services.records import Entry, OpenLetter, Receipt, anonymous_user

__all__ = ["Journal", "ToldOf", "export_journal", "export_table"]

_TABLES = """
create table if not exists decisions (
    seq integer primary key autoincrement,
    decision_id text not null unique, user_id text, decided_ms integer not null,
    row blob not null, slate_features blob not null
);
"""

_ADD_DECISION = """
insert or ignore into decisions (decision_id, user_id, decided_ms, row, slate_features) values (?, ?, ?, ?, ?)
"""
_DECISION = "select row, slate_features from decisions where decision_id = ? and " + NOT_ERASED.format(
    table="decisions", mark="until_decision"
)


@dataclass(frozen=True, slots=True)
class ToldOf:
    """`people`: all ids of one person, their own first; `sends`: the messages that were decided in the moment (when,
    agent, action, channel) and `latest_send` the number of the last; `consents` in SAID_CONSENT_SCHEMA; `taken`:
    action → messages; `deeds`: event type → when they last did it, of those that stop messages.
    """

    people: tuple[str, ...]
    sends: tuple[tuple[int, str, str, str], ...]
    latest_send: int
    consents: pa.Table
    taken: Mapping[str, int]
    deeds: Mapping[str, int]


class Journal:
    """One connection to the journal. Use one for writing and one for reading; neither is shared by threads at once."""

    def __init__(self, path: Path, *, busy_seconds: float = 10.0, is_kept: bool = False) -> None:
        """`is_kept`: a `JournalKeeper` tends the log, so that no commit stops to do it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._log = path.with_name(path.name + "-wal")
        # isolation_level=None: transactions are opened here and nowhere implicitly.
        self._connection = sqlite3.connect(path, timeout=10, isolation_level=None, check_same_thread=False)
        self._connection.execute("pragma synchronous = full")
        self._connection.execute("pragma secure_delete = on")  # what is deleted is overwritten, see `erasure`
        if is_kept:
            self._connection.execute("pragma wal_autocheckpoint = 0")
        self._syncs = True
        self._lock = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o644)
        self.has_unsynced = False
        # In turn: SQLite does not wait, it fails, when two processes switch a fresh file to its log at once.
        with self.turn():
            self._connection.execute("pragma journal_mode = wal")
            self._connection.executescript(MESSAGE_TABLES + _TABLES + CATALOGUE_TABLE + DEAD_LETTER_TABLE + RAW_TABLE)
            self._connection.executescript(AGENT_TABLES + ERASURE_TABLES)
            open_consents(self._connection)
        # Only now: a reader that waits for nobody may still wait for another process to end while this one starts.
        self._connection.execute(f"pragma busy_timeout = {round(1000 * busy_seconds)}")

    def close(self) -> None:
        self._connection.close()
        os.close(self._lock)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Hold the journal's lock file: SQLite's own waiting sleeps up to 100 ms between tries, this wakes at once."""
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._lock, fcntl.LOCK_UN)

    def is_free(self) -> bool:
        """Whether nobody is having a turn at this moment, this one excepted."""
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        fcntl.flock(self._lock, fcntl.LOCK_UN)
        return True

    def append(self, entries: Sequence[Entry]) -> list[Receipt]:
        """Store all entries in one transaction; a receipt means committed, and synced unless of decisions alone.

        Raises sqlite3.Error.
        """
        run = self._connection.execute
        if (syncs := any(entry.needs_sync for entry in entries)) != self._syncs:
            run(f"pragma synchronous = {'full' if syncs else 'normal'}")
            self._syncs = syncs
        run("begin immediate")
        try:
            receipts = [self._store(entry) for entry in entries]
            run("commit")
        except BaseException:
            if self._connection.in_transaction:
                run("rollback")
            raise
        self.has_unsynced = not syncs  # syncing the log syncs what was written before as well
        return receipts

    def sync(self) -> None:
        """Sync what anybody only wrote. Raises OSError."""
        log = os.open(self._log, os.O_RDONLY)
        try:
            os.fsync(log)
        finally:
            os.close(log)

    def log_bytes(self) -> int:
        """The size of the write-ahead log."""
        try:
            return self._log.stat().st_size
        except FileNotFoundError:
            return 0

    def checkpoint(self, most_bytes: int = 0) -> None:
        """Move the log into the database beside other writers; where more than so many bytes of log are in use by then,
        the rest in turn, for the log begins anew only when nothing is left in it. Raises sqlite3.Error."""
        move = "pragma wal_checkpoint(passive)"
        ((_, pages, moved),) = self._connection.execute(move).fetchall()
        ((page_bytes,),) = self._connection.execute("pragma page_size").fetchall()
        if moved < pages and pages * page_bytes > most_bytes:
            with self.turn():
                self._connection.execute(move).fetchall()

    def live_events(self, user_ids: Sequence[str], since_ms: int, until_seq: int | None = None) -> LiveEvents:
        """Events of these users, and of the anonymous ids identified as them, recorded at or after `since_ms`."""
        return live_events(self._connection, user_ids, since_ms, until_seq)

    def identified(self, anonymous_id: str) -> str | None:
        """The user that an anonymous id was identified as, if any."""
        return identified(self._connection, anonymous_user(anonymous_id))

    def decision(self, decision_id: str) -> dict[str, Any] | None:
        """One decision's record: the columns of DECISION_SCHEMA, times as `*_at` in milliseconds."""
        row = self._connection.execute(_DECISION, (decision_id,)).fetchone()
        return None if row is None else {**orjson.loads(row[0]), "slate_features": row[1]}

    def agent_decision(self, decision_id: str) -> dict[str, Any] | None:
        """What an agent decided in the moment: the columns of AGENT_DECISION_SCHEMA, times in milliseconds."""
        return agent_decision(self._connection, decision_id)

    def told_of(
        self, user_id: str, since_ms: int, agent: str, limited: Sequence[str], stops: Stops | None = None
    ) -> ToldOf:
        """What was recorded of a person that an agent's guardrails ask for, messages since a moment, deeds that stop
        them, and how much of its `limited` actions is gone.
        """
        run = self._connection
        people = ids_of(run, user_id)
        # The number before the messages: one that comes in between is then seen and not said to be.
        latest = latest_send(run, people)
        taken = {action: taken_from_stock(run, agent, action) for action in limited}
        deeds = {} if stops is None else deeds_of(run, people, stops)
        return ToldOf(people, tuple(sends_to(run, people, since_ms)), latest, consents_of(run, people), taken, deeds)

    def is_being_erased(self, user_id: str) -> bool:
        """Whether a person's erasure is under way, so that what is stored of them elsewhere must not be used."""
        return is_being_erased(self._connection, user_id)

    def erasure_status(self, erasure_id: str) -> dict[str, Any] | None:
        """See `erasure_log`; None for an erasure that nobody asked for."""
        return erasure_status(self._connection, erasure_id)

    def catalogue_seq(self) -> int:
        """The highest row of the catalogue; 0 where nothing was said of any item."""
        return latest_change(self._connection)

    def catalogue_changes(self, after: int, until: int) -> pa.Table:
        """What was said of each item that changed after row `after`, up to row `until`: see `catalogue_log`."""
        return changes_between(self._connection, after, until)

    def open_letters(self, after: int, limit: int) -> list[OpenLetter]:
        """Dead letters that wait for a replay, oldest first, from the one after `after` on."""
        return list(open_letters(self._connection, after, limit))

    def letter_reasons(self) -> dict[str, int]:
        """How many dead letters wait, by reason, the most frequent first."""
        return reasons(self._connection)

    def forget_raw(self, before_ms: int, most: int) -> int:
        """Drop at most so many of the oldest raw messages, those that came before a moment; how many that were."""
        with self.turn():
            return forget_raw(self._connection, before_ms, most)

    def forget(self, table: str, until_seq: int, most: int) -> int:
        """Drop at most so many of the oldest events or decisions up to a row; how many that were."""
        with self.turn():
            oldest = f"select seq from {table} where seq <= ? order by seq limit ?"
            return self._connection.execute(f"delete from {table} where seq in ({oldest})", (until_seq, most)).rowcount

    def counts(self) -> dict[str, int]:
        """How many rows the journal holds, by its highest numbers (nothing is scanned)."""
        run = self._connection.execute
        found = dict(run("select name, seq from sqlite_sequence").fetchall())
        return {name: int(found.get(name, 0)) for name in ("events", "decisions", "dead_letters")}

    def newest_event_ms(self) -> int | None:
        """When the latest event was recorded; None while there is none."""
        row = self._connection.execute("select recorded_ms from events order by seq desc limit 1").fetchone()
        return None if row is None else int(row[0])

    def _store(self, entry: Entry) -> Receipt:
        stored = sum(store_message(self._connection, message) for message in entry.messages)
        store_letters(self._connection, entry.dead_letters)
        settle(self._connection, entry.settled)
        if entry.decision is not None:
            self._connection.execute(_ADD_DECISION, decision_row(entry.decision))
        by_agent = store_agent_decision(self._connection, entry.agent_decision) if entry.agent_decision else ""
        erasure_id = begin_erasure(self._connection, entry.erasure) if entry.erasure else ""
        return Receipt(
            stored=stored,
            duplicates=len(entry.messages) - stored,
            events=sum(len(message.events) for message in entry.messages),
            rejected=tuple(letter.reason for letter in entry.dead_letters),
            items=store_rows(self._connection, entry.items),
            agent_decision=by_agent,
            erasure_id=erasure_id,
        )
