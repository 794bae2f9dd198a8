"""Agents that decide in the moment: the guardrails' facts gathered, the decision made, stored, and only then told.

The same policy and guardrails as in a run of the whole audience, and the same messages counted: those of runs, of this
worker and of every other. How a decision is drawn is the core's; that no two workers overdraw a cap is `agent_log`'s.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from recommender.agents.turns import Turns
from recommender.workspace import Workspace
from services import metrics
from services.agent_log import KNOWN, STORED
from services.agent_shelf import AgentShelf, ServedAgent
from services.batch_sends import REMEMBERED_MS, BatchSends, Held
from services.decide_request import DecideRequest
from services.decision_journal import DecisionJournal
from services.journal import ToldOf
from services.metrics import stage
from services.records import Entry, anonymous_user
from services.wire import Refusal

if TYPE_CHECKING:
    from services.agent_making import Making
    from services.person_slots import PersonSlots

__all__ = ["OnlineAgents", "OnlineAgentsConfig"]

_LOG = logging.getLogger("nextbest.online_agents")

Row = dict[str, Any]
SlotsFor = Callable[[str], Awaitable["PersonSlots | None"]]


@dataclass(frozen=True)
class OnlineAgentsConfig:
    """`turn_seconds`: how long a decision waits for a run of a whole audience to end, looking every `look_seconds`.
    `tries`: how often it is made again when somebody else wrote to the same person meanwhile. `first_look_seconds`: how
    long a worker that starts waits for what its agents' runs have sent.
    """

    turn_seconds: float = 0.1
    look_seconds: float = 0.005
    tries: int = 5
    poll_seconds: float = 0.5
    first_look_seconds: float = 10.0


class OnlineAgents:
    """One a worker: decisions on its event loop, files followed by a thread of its own."""

    def __init__(
        self,
        workspace: Workspace,
        journal: DecisionJournal,
        now_ms: Callable[[], int],
        config: OnlineAgentsConfig | None = None,
    ) -> None:
        self._journal, self._now_ms, self._config = journal, now_ms, config or OnlineAgentsConfig()
        self._shelf, self._sends, self._turns = AgentShelf(workspace), BatchSends(workspace), Turns(workspace.agents)
        self._closing, self._looked, self._wakes = threading.Event(), threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._watch, name="agents", daemon=True)
        self._thread.start()
        self._looked.wait(self._config.first_look_seconds)

    def close(self) -> None:
        self._closing.set()
        self._wakes.set()
        self._thread.join()
        self._sends.close()
        self._turns.close()

    def found(self, decision_id: str) -> Row | None:
        """The record of a decision that was taken in the moment, and what its answer said."""
        return self._journal.agent_decision(decision_id)

    async def decide(
        self, asked: DecideRequest, decided_ms: int, until: float, slots_for: SlotsFor | None = None
    ) -> Row:
        """The record of a decision that is on disk, with `template`, `variables`, `degraded` and `recorded`.

        Nothing is sent that could not be recorded by `until`, a moment of `time.monotonic`. `slots_for` reads what
        filling the slots of a person's messages needs. Refusal (404) for an unknown agent; RequestError for a context
        that does not fit the audience.
        """
        # Here, not above: BentoML's supervisor imports this module too and has no use for XGBoost (2.5 s).
        from services.agent_making import Making

        served, decision_id = self._served(asked.agent), asked.decision_id()
        if asked.key and (known := self.found(decision_id)) is not None:
            return {**known, "recorded": True}
        person, has_slots = self._person(asked), any(action.slots for action in served.agent.actions)
        slots = await slots_for(person) if slots_for is not None and has_slots else None
        making = Making(served, asked, person, decision_id, decided_ms, slots)
        if self._journal.is_being_erased(person):  # nothing is sent, and nothing more is recorded
            return {**making.nothing("erased", degraded=False), "recorded": False}
        row = await self._settled(making, until)
        metrics.observe_agent_decision(row["agent"], row["action"], row["reason"], row["degraded"])
        return row

    async def _settled(self, making: Making, until: float) -> Row:
        async with self._turn() as turns:
            for _ in range(self._config.tries):
                with stage("live"):
                    held = await self._held_by(turns)
                    why = self._excuse(turns, held)
                    told = None if why else self._told_of(making)
                if told is None:  # not the answer to a key: asking again later may find it
                    making = replace(making, decision_id=uuid4().hex)
                with stage("decide"):
                    row = making.nothing(why or "journal away") if told is None else making.made(told, held)
                with stage("record"):
                    receipt = await self._journal.stored(Entry(agent_decision=making.entry(row, told, held)), until)
                if receipt is None:
                    return {**making.nothing("journal away"), "recorded": False}
                if receipt.agent_decision == STORED:
                    return {**row, "recorded": True}
                if receipt.agent_decision == KNOWN and (known := self.found(row["decision_id"])) is not None:
                    return {**known, "recorded": True}
            return {**making.nothing("others decide for the same person"), "recorded": False}

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[int | None]:
        """A turn beside others, as the number of those that were taken alone; None where a run does not end in time."""
        last = time.monotonic() + self._config.turn_seconds
        while (turns := self._turns.take()) is None and time.monotonic() < last:
            await asyncio.sleep(self._config.look_seconds)
        try:
            yield turns
        finally:
            if turns is not None:
                self._turns.give_back()

    async def _held_by(self, turns: int | None) -> Held:
        """The messages of runs; where one has just written more they are read at once, and waited for as for a turn."""
        last = time.monotonic() + self._config.turn_seconds
        while turns is not None and self._sends.held.turns != turns and time.monotonic() < last:
            self._wakes.set()
            await asyncio.sleep(self._config.look_seconds)
        return self._sends.held

    def _excuse(self, turns: int | None, held: Held) -> str:
        """Why nothing can be decided now, whoever asks; "" where it can."""
        if turns is None:
            return "a run is at work"
        return "" if held.turns == turns else "the messages of a run are being read"

    def _told_of(self, making: Making) -> ToldOf | None:
        since_ms = making.decided_ms - REMEMBERED_MS
        agent, limited = making.served.agent.name, list(making.limited)
        return self._journal.told_of(making.person, since_ms, agent, limited, making.stops)

    def _served(self, name: str) -> ServedAgent:
        found = self._shelf.agents.get(name)
        if found is None:
            near = get_close_matches(name, self._shelf.agents, n=1)
            raise Refusal(404, f"No agent has this name.{f' Did you mean {near[0]}?' if near else ''}")
        return found

    def _person(self, asked: DecideRequest) -> str:
        """The canonical id, as the warehouse knows it."""
        if asked.user_id is not None or asked.anonymous_id is None:
            return asked.user_id or ""
        return self._journal.identified(asked.anonymous_id) or anonymous_user(asked.anonymous_id)

    def _watch(self) -> None:
        while True:
            for look in (self._shelf.refresh, lambda: self._sends.refresh(self._now_ms())):
                try:
                    look()
                except Exception:  # a full disk, a file of another kind: the thread must outlive it
                    _LOG.exception("the agents cannot be followed")
            self._looked.set()
            self._wakes.wait(self._config.poll_seconds)
            self._wakes.clear()
            if self._closing.is_set():
                return
