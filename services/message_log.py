"""The journal's messages: their events, and who is whom by what they identified. What they mean `segment` has read."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from recommender.events import Interaction
from services.consent_log import store_consents
from services.journal_rows import event_row
from services.raw_messages import keep_raw
from services.records import Message

__all__ = ["MESSAGE_TABLES", "LiveEvents", "identified", "ids_of", "live_events", "store_message"]

MESSAGE_TABLES = """
-- `raw` is empty since `raw_messages` keeps it: rows are in the order of their ids, small ones make that cheap.
create table if not exists messages (
    message_id text primary key, received_ms integer not null, raw blob not null
) without rowid;
create table if not exists events (
    seq integer primary key autoincrement,
    event_id text not null unique, user_id text not null, item_id text, event_type text not null,
    occurred_ms integer not null, session_id text, quantity integer, price_micros integer,
    channel text, device text, country text, placement text, decision_id text, position integer,
    properties text, recorded_ms integer not null
);
create index if not exists events_by_user on events (user_id, recorded_ms);
create table if not exists identities (anonymous_user_id text primary key, user_id text not null) without rowid;
create index if not exists identities_by_user on identities (user_id);
"""

_ADD_MESSAGE = "insert or ignore into messages (message_id, received_ms, raw) values (?, ?, ?)"
_ADD_EVENT = """
insert or ignore into events (
    event_id, user_id, item_id, event_type, occurred_ms, session_id, quantity, price_micros,
    channel, device, country, placement, decision_id, position, properties, recorded_ms
) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
# The latest identify wins: a shared device belongs to whoever signed in last.
_ADD_IDENTITY = "insert or replace into identities (anonymous_user_id, user_id) values (?, ?)"
# The newest 2,000 bound what one noisy client (a crawler, a test) can make a request cost.
_LIVE = """
select seq, event_id, event_type, occurred_ms, item_id, quantity, price_micros, channel, device, country,
       placement, decision_id, position
from events where user_id = ? and recorded_ms >= ? order by recorded_ms desc limit 2000
"""
_LIVE_UNTIL = _LIVE.replace("order by", "and seq <= ? order by")
_ALIASES = "select anonymous_user_id from identities where user_id = ?"
_IDENTIFIED = "select user_id from identities where anonymous_user_id = ?"


@dataclass(frozen=True, slots=True)
class LiveEvents:
    """Events that a stored state has not seen, and the highest journal row among them (0: none)."""

    events: tuple[Interaction, ...]
    journal_seq: int


def live_events(
    connection: sqlite3.Connection, user_ids: Sequence[str], since_ms: int, until_seq: int | None
) -> LiveEvents:
    """See `Journal.live_events`."""
    run = connection.execute
    people = dict.fromkeys(user_ids)
    people.update((alias, None) for user_id in user_ids for (alias,) in run(_ALIASES, (user_id,)))
    query, bounds = (_LIVE, (since_ms,)) if until_seq is None else (_LIVE_UNTIL, (since_ms, until_seq))
    rows = [(person, *row) for person in people for row in run(query, (person, *bounds))]
    rows.sort(key=lambda row: row[1])
    events = tuple(Interaction(row[2], user_ids[0], row[3], row[4], *row[5:]) for row in rows)
    return LiveEvents(events, rows[-1][1] if rows else 0)


def ids_of(connection: sqlite3.Connection, user_id: str) -> tuple[str, ...]:
    """All ids of one person, their own first."""
    return (user_id, *(alias for (alias,) in connection.execute(_ALIASES, (user_id,))))


def identified(connection: sqlite3.Connection, earlier: str) -> str | None:
    """The user that an earlier id (`anonymous_user`, or one that was merged) belongs to, if any is known."""
    row = connection.execute(_IDENTIFIED, (earlier,)).fetchone()
    return None if row is None else str(row[0])


def store_message(connection: sqlite3.Connection, message: Message) -> bool:
    """Store a message with its events, consents and identities, in the caller's transaction; False: it was there."""
    run = connection.execute
    if not run(_ADD_MESSAGE, (message.message_id, message.received_ms, b"")).rowcount:
        return False
    keep_raw(connection, message.message_id, message.received_ms, message.raw)
    connection.executemany(_ADD_EVENT, [event_row(event) for event in message.events])
    store_consents(connection, message.events)
    for earlier, user_id in message.identities:
        _store_identity(connection, earlier, user_id)
    return True


def _store_identity(connection: sqlite3.Connection, earlier: str, user_id: str) -> None:
    """`earlier` is `user_id` from now on, or whom that was merged into; the table stays one step deep."""
    run = connection.execute
    target = identified(connection, user_id) or user_id
    if target == earlier:  # merged the other way round before: the latest word holds
        run("delete from identities where anonymous_user_id = ?", (user_id,))
        target = user_id
    if identified(connection, earlier) != target:
        run("update identities set user_id = ? where user_id = ?", (target, earlier))
        run(_ADD_IDENTITY, (earlier, target))
