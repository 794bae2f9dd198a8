"""The journal's consents: the last word of each person on each channel, out of messages. No rule is applied here.

`consent_<channel>` among the traits of an identify message says yes or no; the event Unsubscribed says no to its
channel (e-mail, unless its properties name another).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing

import orjson
import pyarrow as pa

from recommender.agents.consents import SAID_CONSENT_SCHEMA
from recommender.workspace import Workspace
from services.records import RecordedEvent

__all__ = ["consents_of", "open_consents", "said_consents", "store_consents"]

_TABLE = """
create table consents (
    user_id text not null, channel text not null, is_given integer not null, said_ms integer not null,
    primary key (user_id, channel)
) without rowid
"""
_HAS = "select 1 from sqlite_master where name = 'consents'"
_BEFORE = """
select user_id, event_type, channel, properties, occurred_ms from events
where event_type in ('identify', 'unsubscribe') order by seq
"""
# A message that arrives late does not overrule what was said after it.
_ADD = """
insert into consents (user_id, channel, is_given, said_ms) values (?, ?, ?, ?)
on conflict (user_id, channel) do update set is_given = excluded.is_given, said_ms = excluded.said_ms
where excluded.said_ms >= said_ms
"""
_OF = "select channel, is_given, said_ms from consents where user_id = ?"
# What an anonymous id said belongs to whoever it was identified as since.
_ALL = """
select coalesce(identities.user_id, consents.user_id), channel, is_given, said_ms
from consents left join identities on identities.anonymous_user_id = consents.user_id
order by said_ms, channel, consents.user_id
"""
_PREFIX = "consent_"
_YES, _NO = ("true", "t", "yes", "y", "1"), ("false", "f", "no", "n", "0")


def open_consents(connection: sqlite3.Connection) -> None:
    """Make the table where it is not there yet, from all that an older journal has heard."""
    if connection.execute(_HAS).fetchone() is not None:
        return
    connection.execute("begin immediate")
    connection.execute(_TABLE)
    for user_id, event_type, channel, properties, occurred_ms in connection.execute(_BEFORE).fetchall():
        for about, is_given in _words(event_type, channel, properties):
            connection.execute(_ADD, (user_id, about, is_given, occurred_ms))
    connection.execute("commit")


def store_consents(connection: sqlite3.Connection, events: Iterable[RecordedEvent]) -> None:
    """Keep what these events say of channels, inside the caller's transaction."""
    for event in events:
        fact = event.interaction
        for channel, is_given in _words(fact.event_type, fact.channel, event.properties):
            connection.execute(_ADD, (fact.user_id, channel, is_given, fact.occurred_ms))


def consents_of(connection: sqlite3.Connection, people: Sequence[str]) -> pa.Table:
    """The last words of one person, known by several ids of which the first is whose they are: SAID_CONSENT_SCHEMA."""
    rows = [row for person in people for row in connection.execute(_OF, (person,))]
    rows.sort(key=lambda row: row[2])
    return _table({(people[0], channel): (bool(given), said_ms) for channel, given, said_ms in rows})


def said_consents(workspace: Workspace) -> pa.Table:
    """Everybody's last words in SAID_CONSENT_SCHEMA; empty while there is no journal."""
    if not workspace.journal.exists():
        return SAID_CONSENT_SCHEMA.empty_table()
    with closing(sqlite3.connect(workspace.journal, timeout=10.0)) as connection:
        if connection.execute(_HAS).fetchone() is None:
            return SAID_CONSENT_SCHEMA.empty_table()
        return _table({(who, channel): (bool(given), at) for who, channel, given, at in connection.execute(_ALL)})


def _table(last: Mapping[tuple[str, str], tuple[bool, int]]) -> pa.Table:
    if not last:
        return SAID_CONSENT_SCHEMA.empty_table()
    people, channels = zip(*last, strict=True)
    given, said_ms = zip(*last.values(), strict=True)
    arrays = [pa.array(part) for part in (people, channels, given, said_ms)]
    return pa.Table.from_arrays(arrays, names=SAID_CONSENT_SCHEMA.names).cast(SAID_CONSENT_SCHEMA)


def _words(event_type: str, channel: str | None, properties: str | None) -> Iterator[tuple[str, bool]]:
    if event_type == "unsubscribe":
        yield channel or "email", False
    elif event_type == "identify" and properties and _PREFIX in properties:
        for name, value in orjson.loads(properties).items():
            text = str(value).strip().lower()
            if name.startswith(_PREFIX) and text in (*_YES, *_NO):
                yield name.removeprefix(_PREFIX), text in _YES
