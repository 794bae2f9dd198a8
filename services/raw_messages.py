"""Messages as they arrived, kept for a while beside the events read from them. What an event is, is not known here.

They are three quarters of a journal (455 of 627 MB for a million small messages), and only a person who looks
for a mistake ever reads them. In the order of arrival, so that forgetting is cutting off the beginning: the pages
are used again, and the file stops growing by them. Message ids stay for ever: they are what makes an event count once.
"""

from __future__ import annotations

import sqlite3

__all__ = ["RAW_TABLE", "forget_raw", "keep_raw"]

RAW_TABLE = """
create table if not exists raw_messages (
    seq integer primary key autoincrement, message_id text not null, received_ms integer not null, raw blob not null
);
"""
_ADD = "insert into raw_messages (message_id, received_ms, raw) values (?, ?, ?)"
_OLDEST = "select seq, received_ms from raw_messages order by seq limit ?"


def keep_raw(connection: sqlite3.Connection, message_id: str, received_ms: int, raw: bytes) -> None:
    """Inside the caller's transaction."""
    connection.execute(_ADD, (message_id, received_ms, raw))


def forget_raw(connection: sqlite3.Connection, before_ms: int, most: int) -> int:
    """Drop at most so many of the oldest messages, those that came before a moment; how many that were."""
    last = 0
    for seq, received_ms in connection.execute(_OLDEST, (most,)):
        if received_ms >= before_ms:
            break
        last = seq
    return connection.execute("delete from raw_messages where seq <= ?", (last,)).rowcount if last else 0
