"""Messages that wait for being handed over, in one SQLite file that survives a crash. Nothing is sent from here.

Each message is there once, by its decision's id. It leaves the state `waiting` only after an answer came, so that a
crash in between hands it over again, with the same key: at least once, and once for whoever keeps the keys.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Outbox", "Waiting"]

_TABLE = """
create table if not exists messages (
    decision_id text primary key,
    send_at_ms integer not null,
    body blob not null,
    state text not null default 'waiting',
    attempts integer not null default 0,
    due_ms integer not null,
    told text not null default ''
) without rowid
"""
_INDEX = "create index if not exists by_due on messages (state, due_ms, decision_id)"


@dataclass(frozen=True)
class Waiting:
    """One message: the body as it will be signed, and how often it was tried."""

    decision_id: str
    send_at_ms: int
    body: bytes
    attempts: int


class Outbox:
    """States: waiting, delivered, refused (the receiver will never take it), expired (too late to be sent), withdrawn
    (not wanted any more).
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._database = sqlite3.connect(path, isolation_level=None, timeout=30)
        self._database.execute("pragma journal_mode = wal")
        self._database.execute("pragma synchronous = full")
        self._database.execute("pragma secure_delete = on")
        for statement in (_TABLE, _INDEX):
            self._database.execute(statement)

    def close(self) -> None:
        self._database.close()

    @contextmanager
    def together(self) -> Iterator[None]:
        """All changes inside are synced as one; nothing of them where an exception comes."""
        self._database.execute("begin immediate")
        try:
            yield
        except BaseException:
            self._database.execute("rollback")
            raise
        self._database.execute("commit")

    def put(self, messages: Iterable[tuple[str, int, bytes]]) -> int:
        """Decision's id, moment to send and body of each; those already there stay. Returns how many came."""
        before = self._database.total_changes
        with self.together():
            self._database.executemany(
                "insert or ignore into messages (decision_id, send_at_ms, body, due_ms) values (?, ?, ?, 0)", messages
            )
        return self._database.total_changes - before

    def drop(self, decision_ids: Iterable[str]) -> None:
        """Take back what is not to be sent any more, whatever became of it."""
        with self.together():
            self._database.executemany("delete from messages where decision_id = ?", [(one,) for one in decision_ids])

    def keep_back(self, decision_ids: Iterable[str], state: str, told: str) -> None:
        """Another state for what waits; what was handed over or refused stays what it is."""
        with self.together():
            self._database.executemany(
                "update messages set state = ?, told = ? where decision_id = ? and state = 'waiting'",
                [(state, told, one) for one in decision_ids],
            )

    def due(self, now_ms: int, send_until_ms: int, limit: int) -> list[Waiting]:
        """What may be tried now and is to be sent by then, the earliest first."""
        found = self._database.execute(
            "select decision_id, send_at_ms, body, attempts from messages "
            "where state = 'waiting' and due_ms <= ? and send_at_ms < ? order by send_at_ms, decision_id limit ?",
            (now_ms, send_until_ms, limit),
        )
        return [Waiting(*row) for row in found]

    def expire(self, before_ms: int) -> int:
        """Give up what should have been sent before that: late it might come in the night."""
        found = self._database.execute(
            "update messages set state = 'expired' where state = 'waiting' and send_at_ms < ?", (before_ms,)
        )
        return found.rowcount

    def settle(self, decision_id: str, state: str, told: str = "") -> None:
        self._database.execute(
            "update messages set state = ?, told = ?, attempts = attempts + 1 where decision_id = ?",
            (state, told, decision_id),
        )

    def postpone(self, decision_id: str, due_ms: int, told: str) -> None:
        self._database.execute(
            "update messages set due_ms = ?, told = ?, attempts = attempts + 1 where decision_id = ?",
            (due_ms, told, decision_id),
        )

    def next_due_ms(self, send_until_ms: int) -> int | None:
        """When the next try is allowed, of what is to be sent by then; None where nothing waits."""
        found = self._database.execute(
            "select min(due_ms) from messages where state = 'waiting' and send_at_ms < ?", (send_until_ms,)
        ).fetchone()[0]
        return None if found is None else int(found)

    def counts(self) -> dict[str, int]:
        """Messages by state; what waits and was tried already is `held up`."""
        found = self._database.execute(
            "select iif(state = 'waiting' and attempts > 0, 'held up', state) as known, count(*) "
            "from messages group by known order by known"
        )
        return dict(found)
