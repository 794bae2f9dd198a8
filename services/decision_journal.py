"""The journal as a recommendation meets it: read and written within deadlines, done without where it fails.

Events are another matter: they are not acknowledged before they are on disk. A person who waits for a list gets one.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from recommender.decision.record import Decision
from services import metrics
from services.circuit_breaker import BreakerConfig, CircuitBreaker
from services.deed_log import Stops
from services.group_commit import GroupCommit
from services.journal import Journal, ToldOf
from services.message_log import LiveEvents
from services.records import Entry, Receipt

__all__ = ["DecisionJournal", "DecisionJournalConfig"]

_LOG = logging.getLogger("nextbest.decision_journal")

T = TypeVar("T")


@dataclass(frozen=True)
class DecisionJournalConfig:
    """How patient a recommendation is with the journal.

    `read_seconds`: how long a read waits where another process holds the file for itself; the whole worker waits with
    it. `soon_seconds`: how long the whole worker waits for the records of a turn where nobody else writes: they take
    0.2 ms then, and answers leave before the next turn, not after it. `least_record_seconds`: what the record may take
    however late the decision already is: a commit takes 1 to 10 ms on a quiet machine; with 0.05 s, four cores at a
    load of 12 left decisions without a record that nothing had failed.
    """

    read_seconds: float = 0.02
    soon_seconds: float = 0.005
    least_record_seconds: float = 0.2
    breaker: BreakerConfig = field(default_factory=BreakerConfig)


class DecisionJournal:
    """One a worker, used by its event loop; reading and writing fail apart: a full disk can still be read."""

    def __init__(self, reader: Journal, writer: GroupCommit, config: DecisionJournalConfig) -> None:
        self._reader, self._writer, self._config = reader, writer, config
        self.reads, self.records = CircuitBreaker(config.breaker), CircuitBreaker(config.breaker)

    def identified(self, anonymous_id: str) -> str | None:
        """The user that an anonymous id was identified as; None also where the journal cannot be read now."""
        return self._read(lambda: self._reader.identified(anonymous_id))

    def live_events(self, user_id: str, since_ms: int) -> LiveEvents | None:
        """What was recorded of a person since a moment; None where the journal cannot be read now."""
        return self._read(lambda: self._reader.live_events([user_id], since_ms))

    def is_being_erased(self, user_id: str) -> bool:
        """Whether what is stored of a person must not be used; False also where the journal cannot be read now."""
        return self._read(lambda: self._reader.is_being_erased(user_id)) or False

    def catalogue_seq(self) -> int:
        """The highest row of the catalogue; 0 also where the journal cannot be read now."""
        return self._read(self._reader.catalogue_seq) or 0

    def told_of(
        self, user_id: str, since_ms: int, agent: str, limited: Sequence[str], stops: Stops | None = None
    ) -> ToldOf | None:
        """See `Journal.told_of`; None where the journal cannot be read now."""
        return self._read(lambda: self._reader.told_of(user_id, since_ms, agent, limited, stops))

    def agent_decision(self, decision_id: str) -> dict[str, Any] | None:
        """What an agent decided before; None also where the journal cannot be read now."""
        return self._read(lambda: self._reader.agent_decision(decision_id))

    def handed_over(self, decisions: Sequence[Decision]) -> list[Future[Receipt] | None]:
        """Have the records of one turn written together, and wait for them where the journal is free; None for each
        where it is left alone (`recorded` tries it again)."""
        if self.records.state != "closed" or not decisions:
            return [None] * len(decisions)
        is_free = self._reader.is_free()
        written = self._writer.submit_all([Entry(decision=decision.to_row()) for decision in decisions])
        if is_free:
            with suppress(TimeoutError):
                written[-1].exception(self._config.soon_seconds)
        return list(written)

    async def recorded(self, decision: Decision, until: float, written: Future[Receipt] | None = None) -> Decision:
        """The decision once it is on disk; degraded and marked as not recorded where that failed by `until`.

        Nobody learns from a decision without a record: outcomes that name it find nothing to belong to. `written`: see
        `handed_over`.
        """
        if written is None:
            receipt = await self.stored(Entry(decision=decision.to_row()), until)
        else:
            receipt = await self._settled(written, until)
        return _unrecorded(decision) if receipt is None else decision

    async def stored(self, entry: Entry, until: float) -> Receipt | None:
        """What became of an entry; None where it is not on disk by `until`, a moment of `time.monotonic`.

        Who is not sure to be answered in time is not recorded later either, unless the writer had begun.
        """
        if not self.records.allows():
            return None
        return await self._settled(self._writer.submit(entry), until)

    async def _settled(self, written: Future[Receipt], until: float) -> Receipt | None:
        try:
            receipt = written.result() if written.done() else await self._awaited(written, until)
        except (sqlite3.Error, OSError, TimeoutError) as problem:  # TimeoutError: a kind of OSError
            if not (written.done() and not written.cancelled() and written.exception() is None):
                self._failed(self.records, "record", problem)
                return None
            receipt = written.result()
        except BaseException:
            self.records.failed()  # the caller went away: nothing is known, but a trial is over
            raise
        self.records.succeeded()
        return receipt

    async def _awaited(self, written: Future[Receipt], until: float) -> Receipt:
        async with asyncio.timeout(max(until - time.monotonic(), self._config.least_record_seconds)):
            return await asyncio.wrap_future(written)

    def _read(self, read: Callable[[], T]) -> T | None:
        if not self.reads.allows():
            return None
        try:
            found = read()
        except (sqlite3.Error, OSError) as problem:
            self._failed(self.reads, "live", problem)
            return None
        self.reads.succeeded()
        return found

    def _failed(self, breaker: CircuitBreaker, circuit: str, problem: Exception) -> None:
        was_closed = breaker.state == "closed"
        if breaker.failed() and was_closed:  # once an outage, not at every trial
            metrics.observe_circuit(circuit)
            _LOG.error(
                "the journal is left alone (%s), and tried again: %s", circuit, str(problem) or "no answer in time"
            )


def _unrecorded(decision: Decision) -> Decision:
    metrics.observe_unrecorded()
    return replace(decision, is_degraded=True, is_recorded=False)
