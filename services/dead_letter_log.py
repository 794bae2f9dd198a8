"""The journal's dead letters: messages that could not be read, each with its reason, until a replay stores them.

A letter is never deleted: one that was replayed is marked with the moment. Nothing is parsed here.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator, Sequence

from services.records import DeadLetter, OpenLetter, Settled

__all__ = ["DEAD_LETTER_TABLE", "OPEN_LETTERS_EXPORT", "open_letters", "reasons", "settle", "store_letters"]

# What happened to a letter stands in a table of its own: those of journals written before it was thought of fit too.
DEAD_LETTER_TABLE = """
create table if not exists dead_letters (
    seq integer primary key autoincrement,
    digest blob not null unique, received_ms integer not null, reason text not null, raw blob not null
);
create table if not exists dead_letter_fates (
    letter_seq integer primary key, sent_at text, replayed_ms integer
);
create index if not exists replayed_letters on dead_letter_fates (letter_seq) where replayed_ms is not null;
"""
_ADD = "insert or ignore into dead_letters (digest, received_ms, reason, raw) values (?, ?, ?, ?)"
_ADD_SENT_AT = "insert or ignore into dead_letter_fates (letter_seq, sent_at) values (?, ?)"
_REPLAYED = """
insert into dead_letter_fates (letter_seq, replayed_ms) values (?, ?)
on conflict (letter_seq) do update set replayed_ms = excluded.replayed_ms where replayed_ms is null
"""
_STILL_OPEN = "not exists (select 1 from dead_letter_fates where letter_seq = seq and replayed_ms is not null)"
_OPEN = """
select seq, reason, received_ms, raw, sent_at
from dead_letters left join dead_letter_fates on letter_seq = seq
where seq > ? and replayed_ms is null order by seq limit ?
"""
_REASONS = f"select reason, count(*) from dead_letters where {_STILL_OPEN} group by reason order by 2 desc, 1"
OPEN_LETTERS_EXPORT = f"""
select 'journal', 'events', reason, cast(raw as text) from dead_letters where {_STILL_OPEN} order by seq
"""


def store_letters(connection: sqlite3.Connection, letters: Sequence[DeadLetter]) -> None:
    """Keep each letter once, inside the caller's transaction; the same bytes again are the same letter."""
    for letter in letters:
        digest = hashlib.sha256(letter.raw).digest()
        added = connection.execute(_ADD, (digest, letter.received_ms, letter.reason, letter.raw))
        if added.rowcount and letter.sent_at is not None:
            connection.execute(_ADD_SENT_AT, (added.lastrowid, letter.sent_at))


def settle(connection: sqlite3.Connection, fates: Sequence[Settled]) -> None:
    """Mark letters that were replayed, give those that failed again their new reason; in the caller's transaction."""
    for fate in fates:
        if fate.reason is None:
            connection.execute(_REPLAYED, (fate.letter_id, fate.replayed_ms))
        else:
            connection.execute("update dead_letters set reason = ? where seq = ?", (fate.reason, fate.letter_id))


def open_letters(connection: sqlite3.Connection, after: int, limit: int) -> Iterator[OpenLetter]:
    """Letters that wait for a replay, oldest first, from the one after `after` on."""
    for row in connection.execute(_OPEN, (after, limit)):
        yield OpenLetter(*row)


def reasons(connection: sqlite3.Connection) -> dict[str, int]:
    """How many letters wait, by reason, the most frequent first."""
    return dict(connection.execute(_REASONS))
