"""Recorded decisions once more: what they were given, further pages, reasons, replay. No HTTP here."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import pyarrow.parquet as pq

from recommender.decision.paging import Turned, page_id, turn, with_features
from recommender.decision.pipeline import state_of
from recommender.decision.pool import POPULAR
from recommender.decision.protocols import Scorer
from recommender.decision.replay import contexts_of, replay
from recommender.decision.trace import whereabouts
from recommender.errors import RequestError
from recommender.events import Interaction
from recommender.states import UserStates
from services.catalogue import Catalogue
from services.journal import Journal
from services.stored_states import StoredStates
from services.wire import Refusal

__all__ = ["Given", "PastDecisions"]

T = TypeVar("T")

MOST_WAITING = 4  # explanations of one worker: 50 ms of processor each for 240 candidates
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Given:
    """What a decision was given: the stored state, the events since, and the bundle with the catalogue of that moment.

    `missing` says in a sentence what cannot be had any more; then nothing can be computed again.
    """

    state: Row | None = None
    events: tuple[Interaction, ...] = ()
    scorer: Scorer | None = None
    missing: str = ""

    def person(self, row: Row) -> dict[str, Any]:
        return state_of(row["user_id"] or row["anonymous_id"] or "", self.state, self.events)


class PastDecisions:
    """Reads run on the event loop, whatever scores runs in a thread; `reader` belongs to the event loop."""

    def __init__(self, catalogue: Catalogue, states: StoredStates, reader: Journal, user_states: Path) -> None:
        self._catalogue, self._states, self._reader, self._mart = catalogue, states, reader, user_states
        self._thread = ThreadPoolExecutor(1, "past-decisions")
        self._waiting = 0

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    def found(self, decision_id: str) -> Row | None:
        """The record, columns that are younger than it filled in."""
        row = self._reader.decision(decision_id)
        return None if row is None else {"catalogue_seq": 0, "parent_decision_id": None, "first_position": 1, **row}

    async def given(self, row: Row) -> Given:
        """What the decision was given, or why it cannot be had."""
        version = row["model_version"]
        scorer = await self._catalogue.at(version, row["catalogue_seq"] or 0)
        if scorer is None:
            return Given(missing=f"The bundle {version} that decided is in service no more.")
        as_of_ms, subject = row["state_as_of"], row["user_id"] or row["anonymous_id"] or ""
        state = await self._state(subject, as_of_ms) if as_of_ms else None
        if as_of_ms and state is None:
            return Given(missing="The state that was stored of the person at the time has been replaced since.")
        seq = row["journal_seq"]
        events = self._reader.live_events([subject], as_of_ms or 0, seq).events if seq else ()
        return Given(state, events, scorer)

    async def replayed(self, row: Row, given: Given) -> dict[str, Any]:
        """Whether the bundle in service comes to the same bits: features, scores, and the draw from the plan."""
        if given.scorer is None:
            return {"is_equal": None, "said": given.missing}
        scorer = given.scorer
        again = await self._aside(lambda: replay(row, given.state, given.events, scorer))
        told = "The same, bit for bit." if again.is_equal else "It came out differently."
        return {"is_equal": again.is_equal, **asdict(again), "said": told}

    async def reasons(self, row: Row, given: Given, item_ids: Sequence[str]) -> list[dict[str, Any]] | None:
        """Reasons for items, as `nextbest explain` gives them; None where what they follow from cannot be had."""
        if given.scorer is None or row["tier"] == POPULAR:
            return None
        return await self._aside(lambda: _reasons(row, given, item_ids))

    async def page(self, decision_id: str, page: int, decided_ms: int) -> tuple[Row, bool]:
        """The row of a further page, and whether it is new and has to be recorded. Refusal (404) without a first."""
        first = self.found(decision_id)
        if first is not None and first["parent_decision_id"]:
            first = self.found(first["parent_decision_id"])
        if first is None:
            raise Refusal(404, "No decision has this id.")
        if (known := self.found(page_id(first["decision_id"], page))) is not None:
            return known, False
        if not json.loads(first["trace"] or "{}"):
            raise RequestError("a decision without a trace.", "one that was recorded with it.", "Ask for a new one.")
        turned = await self._turned(first, page, decided_ms)
        given = await self.given(first)
        if given.scorer is None or first["tier"] == POPULAR:
            return turned.row, True  # nobody learns from it, but it can be shown and its outcomes be counted
        scorer = given.scorer
        return await self._aside(lambda: with_features(turned, given.person(first), scorer)), True

    async def _turned(self, first: Row, page: int, decided_ms: int) -> Turned:
        most = 1 + len(first["candidate_item_ids"]) // max(len(first["slate_item_ids"]), 1)
        recorded = {}
        for number in range(2, min(page, most + 1)):
            row = self.found(page_id(first["decision_id"], number))
            if row is not None:
                recorded[number] = row["slate_item_ids"]
        now = self._catalogue.in_service(first["model_version"])
        if now is None:
            raise RequestError("no bundle in service.", "a champion.", "Ask for a new decision.")
        return await self._aside(lambda: turn(first, page, recorded, decided_ms, now))

    async def _state(self, subject: str, as_of_ms: int) -> Row | None:
        """The state of that cut: the online store's, or from the marts, which keep the cuts that were served from."""
        state, _ = await self._states.read(subject)
        if state is not None and state["as_of_ms"] == as_of_ms:
            return state
        return await asyncio.to_thread(_state_in_mart, self._mart, subject, as_of_ms)

    async def _aside(self, work: Callable[[], T]) -> T:
        if self._waiting >= MOST_WAITING:
            raise Refusal(429, "Too many decisions are being looked at. Try again.", retry_after=1, reason="queue")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        finally:
            self._waiting -= 1


def _state_in_mart(path: Path, subject: str, as_of_ms: int) -> Row | None:
    if not path.exists():
        return None
    at = datetime.fromtimestamp(as_of_ms / 1000, UTC).replace(tzinfo=None)
    rows = pq.read_table(path, filters=[("user_id", "=", subject), ("as_of", "=", at)]).to_pylist()
    return rows[0] if rows else None


def _reasons(row: Row, given: Given, item_ids: Sequence[str]) -> list[dict[str, Any]]:
    # Here, not above: BentoML's supervisor imports this module too and has no use for XGBoost (2.5 s).
    from recommender.explanation.phrases import sentences
    from recommender.explanation.reasons import reasons_for
    from recommender.model.scorer import RankingModel

    assert isinstance(given.scorer, RankingModel)
    trace = json.loads(row["trace"] or "{}")
    found = reasons_for(
        given.scorer,
        UserStates.from_rows([given.person(row)]),
        contexts_of(row),
        item_ids,
        novel="not_novel" in trace.get("rules", ()),
        generators=trace.get("generators"),
    )
    return [
        {
            "item_id": one.item_id,
            "sentences": [whereabouts(row, one.item_id).sentence, *sentences(one)],
            "figures": asdict(one),
        }
        for one in found
    ]
