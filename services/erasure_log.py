"""The journal's erasures: who is being erased, and what is left of who was. No other store is known here.

Asking takes the person out of everything that answers are made from, in the transaction that acknowledges it. What
lies in large tables without an index by person (answers, messages as they arrived) is found and dropped later, by
`services.erasure`; marks keep that from what somebody of the same id does afterwards. When all is done the ids go, and
hashes with a key stay: the proof, and what keeps files of the team's own from bringing the person back.
"""

from __future__ import annotations

import hashlib
import secrets
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from services.records import ANONYMOUS_PREFIX, Erasure, anonymous_user

__all__ = [
    "ERASURE_TABLES", "EXPORTED_HASHES", "NOT_ERASED", "PendingErasure", "begin_erasure", "end_erasures",
    "erasure_status", "erasure_told", "forget_message_ids", "is_being_erased", "pending_erasures", "remember_hashes",
]  # fmt: skip

# `people` counts ids. `erasing` holds them until everything is done, `erased` their hashes from then on.
ERASURE_TABLES = """
create table if not exists erasures (
    erasure_id text primary key, asked_ms integer not null, people integer not null, done_ms integer,
    until_decision integer not null, until_agent_decision integer not null, until_raw integer not null,
    until_letter integer not null
) without rowid;
create table if not exists erasing (user_id text primary key, erasure_id text not null) without rowid;
create table if not exists erased (hash text primary key, erased_ms integer not null) without rowid;
create table if not exists erasure_key (key text not null);
"""
# The ones that an index finds, so that they can go at once.
_OF_PERSON = ("events", "consents")
_MARKS = ("decisions", "agent_decisions", "raw_messages", "dead_letters")
_LINKED = """
select anonymous_user_id from identities where user_id = ?1 union select user_id from identities
where anonymous_user_id = ?1
"""
_IS_USER = """
select exists (select 1 from events where user_id = ?1) or exists (select 1 from identities where user_id = ?1)
    or exists (select 1 from identities where anonymous_user_id = ?1)
"""
_ADD = """
insert into erasures (erasure_id, asked_ms, people, until_decision, until_agent_decision, until_raw, until_letter)
values (?, ?, ?, ?, ?, ?, ?)
on conflict (erasure_id) do update set asked_ms = excluded.asked_ms, people = excluded.people,
    until_decision = excluded.until_decision, until_agent_decision = excluded.until_agent_decision,
    until_raw = excluded.until_raw, until_letter = excluded.until_letter
"""
_PENDING = """
select erasure_id, asked_ms, until_decision, until_agent_decision, until_raw, until_letter
from erasures where done_ms is null order by asked_ms, erasure_id
"""
# After a table's name and the column of its mark: rows of somebody who is being erased are not told any more.
NOT_ERASED = """
not exists (
    select 1 from erasing join erasures using (erasure_id) where erasing.user_id = {table}.user_id and seq <= {mark}
)
"""
EXPORTED_HASHES = "select key, hash, erased_ms from erased, erasure_key order by hash"


@dataclass(frozen=True, slots=True)
class PendingErasure:
    """One that is under way: the ids of the person, and the last rows of each table that may be theirs."""

    erasure_id: str
    asked_ms: int
    people: tuple[str, ...]
    until_decision: int
    until_agent_decision: int
    until_raw: int
    until_letter: int

    @property
    def names(self) -> tuple[str, ...]:
        """The ids as messages spell them: an anonymous one stands there without its prefix too."""
        return _names(self.people)


def begin_erasure(connection: sqlite3.Connection, asked: Erasure) -> str:
    """Inside the caller's transaction: take the person out of what answers are made from; the erasure's id.

    Asking again while it is under way is the same erasure, of what was recorded since as well.
    """
    run = connection.execute
    people = _people(connection, asked.person)
    known = run(f"select erasure_id from erasing where user_id in ({_marks(people)})", people).fetchone()
    erasure_id = str(known[0]) if known else uuid4().hex
    told = run(f"select event_id from events where user_id in ({_marks(people)})", people).fetchall()
    forget_message_ids(connection, (event_id for (event_id,) in told), _names(people))
    for table in _OF_PERSON:
        run(f"delete from {table} where user_id in ({_marks(people)})", people)
    run(f"delete from identities where user_id in ({_marks(people)})", people)
    run(f"delete from identities where anonymous_user_id in ({_marks(people)})", people)
    last = dict(run("select name, seq from sqlite_sequence").fetchall())
    connection.executemany("insert or ignore into erasing values (?, ?)", [(one, erasure_id) for one in people])
    (count,) = run("select count(*) from erasing where erasure_id = ?", (erasure_id,)).fetchone()
    run(_ADD, (erasure_id, asked.asked_ms, count, *(last.get(name, 0) for name in _MARKS)))
    return erasure_id


def is_being_erased(connection: sqlite3.Connection, user_id: str) -> bool:
    return connection.execute("select 1 from erasing where user_id = ?", (user_id,)).fetchone() is not None


def erasure_status(connection: sqlite3.Connection, erasure_id: str) -> dict[str, Any] | None:
    """When it was asked for and done (milliseconds since 1970, None while it is under way), and of how many ids."""
    row = connection.execute("select asked_ms, done_ms, people from erasures where erasure_id = ?", (erasure_id,))
    found = row.fetchone()
    return None if found is None else dict(zip(("asked_ms", "done_ms", "people"), found, strict=True))


def erasure_told(erasure_id: str, status: Mapping[str, Any]) -> dict[str, Any]:
    """What is told of an erasure; moments are of the service's clock, ISO 8601."""
    return {
        "erasure_id": erasure_id,
        "state": "under way" if status["done_ms"] is None else "done",
        "ids": status["people"],
        "asked_at": _moment(status["asked_ms"]),
        "done_at": None if status["done_ms"] is None else _moment(status["done_ms"]),
    }


def pending_erasures(connection: sqlite3.Connection) -> list[PendingErasure]:
    """What is under way, the oldest first."""
    found = []
    for erasure_id, asked_ms, *marks in connection.execute(_PENDING).fetchall():
        rows = connection.execute("select user_id from erasing where erasure_id = ? order by 1", (erasure_id,))
        found.append(PendingErasure(erasure_id, asked_ms, tuple(one for (one,) in rows), *marks))
    return found


def remember_hashes(connection: sqlite3.Connection, pending: Sequence[PendingErasure]) -> None:
    """Keep what the people's ids hash to, inside the caller's transaction; once more of the same person: the later."""
    run = connection.execute
    if run("select 1 from erasure_key").fetchone() is None:
        run("insert into erasure_key values (?)", (secrets.token_hex(32),))
    (key,) = run("select key from erasure_key").fetchone()
    connection.executemany(
        "insert or replace into erased values (?, ?)",
        [(_hash(key, user_id), one.asked_ms) for one in pending for user_id in one.people],
    )


def end_erasures(connection: sqlite3.Connection, pending: Sequence[PendingErasure]) -> list[str]:
    """Forget the ids of these erasures, inside the caller's transaction; which of them nobody asked for again."""
    ended = []
    for one in pending:
        same = "select 1 from erasures where erasure_id = ? and asked_ms = ? and people = ?"
        if connection.execute(same, (one.erasure_id, one.asked_ms, len(one.people))).fetchone():
            connection.execute("delete from erasing where erasure_id = ?", (one.erasure_id,))
            ended.append(one.erasure_id)
    return ended


def _people(connection: sqlite3.Connection, person: str) -> list[str]:
    """All ids of a person, by any of them: what was identified as theirs, and who they were identified as.

    A plain id is a user's; where nobody is known by it, it is an anonymous one too.
    """
    run = connection.execute
    found = [person]
    (is_user,) = run(_IS_USER, (person,)).fetchone()
    if not is_user and not _is_anonymous(person):
        found.append(anonymous_user(person))
    for one in found:  # grows while it is read
        found += [other for (other,) in run(_LINKED, (one,)) if other not in found]
    return found


def forget_message_ids(connection: sqlite3.Connection, event_ids: Iterable[str], names: Sequence[str]) -> None:
    """A message's id stays, so that it counts once; not where its sender has written the person's own id into it."""
    named = [event_id for event_id in event_ids if any(name in event_id for name in names)]
    ids = {spelt for event_id in named for spelt in (event_id, event_id.rpartition(":")[0])}
    connection.executemany("delete from messages where message_id = ?", [(spelt,) for spelt in ids])


def _names(people: Sequence[str]) -> tuple[str, ...]:
    return (*people, *(one.removeprefix(ANONYMOUS_PREFIX) for one in people if _is_anonymous(one)))


def _is_anonymous(user_id: str) -> bool:
    return user_id.startswith(ANONYMOUS_PREFIX)


def _hash(key: str, user_id: str) -> str:
    return hashlib.sha256((key + user_id).encode()).hexdigest()


def _marks(people: Sequence[str]) -> str:
    return ", ".join("?" * len(people))


def _moment(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds")
