"""One decision of an agent on its way: from the facts of one person to its record's row. Nothing is stored here."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from recommender.agents.agent_model import COLD
from recommender.agents.audience import Audience
from recommender.agents.consents import with_consents
from recommender.agents.deciding import Run
from recommender.agents.deeds import deed_table, watched, with_deeds
from recommender.agents.in_the_moment import decide_in_the_moment, nothing_in_the_moment, with_context
from recommender.agents.sends import Sends
from services.agent_shelf import ServedAgent
from services.batch_sends import Held
from services.decide_request import DecideRequest
from services.deed_log import Stops
from services.journal import ToldOf
from services.person_slots import PersonSlots
from services.records import AgentDecision

__all__ = ["Making"]

_LOG = logging.getLogger("nextbest.agent_making")

Row = dict[str, Any]
HOUR_MS = 3_600_000


@dataclass(frozen=True)
class Making:
    """One decision on its way; made anew as often as needed, with the same id and so the same draws."""

    served: ServedAgent
    asked: DecideRequest
    person: str
    decision_id: str
    decided_ms: int
    slots: PersonSlots | None = None

    @property
    def limited(self) -> dict[str, int]:
        """Action → how many messages of it may ever go out, where that is bounded."""
        return {one.name: one.inventory for one in self.served.agent.actions if one.inventory is not None}

    @property
    def stops(self) -> Stops | None:
        """What may stop messages to this person, from the time on from which it still does."""
        hours = watched(self.served.agent)
        if not hours:
            return None
        return Stops({name: self.decided_ms - round(hour * HOUR_MS) for name, hour in hours.items()}, self.decided_ms)

    def made(self, told: ToldOf, held: Held) -> Row:
        """The decision on these facts; whatever fails, one from less, and at last nothing."""
        audience = self._audience(told)
        if isinstance(audience, str):
            return self.nothing(audience, degraded=False)
        agent = self.served.agent
        sends, left = _sends([*held.to(told.people), *told.sends]), self._left(told, held)
        learnt = self.served.model
        for model, slots in ((learnt, self.slots), (learnt.alike(), self.slots), (COLD, None)):
            try:
                row = decide_in_the_moment(agent, audience, sends, self._run(), self.decision_id, model, left, slots)
            except Exception:
                _LOG.exception("an agent's decision failed; a simpler one is tried")
                continue
            is_simpler = any(slate.is_degraded for slate in slots.filled) if slots and row["item_ids"] else False
            return self._told(row, not self.served.is_whole or model is not learnt or is_simpler)
        return self.nothing("no decision could be made")

    def nothing(self, reason: str, degraded: bool = True) -> Row:
        served = self.served
        row = nothing_in_the_moment(served.agent, self.person, self._run(), self.decision_id, served.model, reason)
        return self._told(row, degraded)

    def entry(self, row: Row, told: ToldOf | None, held: Held) -> AgentDecision:
        """What the journal is handed; `in_stock` is what runs have left of a bounded action."""
        if told is None:
            return AgentDecision(row, (self.person,))
        bound = self.limited.get(row["action"])
        given = held.given.get((row["agent"], row["action"]), 0)
        return AgentDecision(row, told.people, told.latest_send, None if bound is None else bound - given)

    def _audience(self, told: ToldOf) -> Audience | str:
        """The person's row with what was said since laid over it, or why there is none."""
        published = self.served.audience
        if published is None:
            return "no run so far"
        found = published.person(self.person)
        if found is None:
            return "not in audience"
        context = {name: value for name, value in self.asked.context.items() if name != "occurred_at"}
        found = with_consents(self.served.agent, found, told.consents, published.known_until_ms)
        found = with_deeds(self.served.agent, found, deed_table({self.person: told.deeds})) if told.deeds else found
        return with_context(found, context, self.served.known)

    def _left(self, told: ToldOf, held: Held) -> Mapping[str, int]:
        name = self.served.agent.name
        return {
            action: max(0, bound - held.given.get((name, action), 0) - told.taken.get(action, 0))
            for action, bound in self.limited.items()
        }

    def _run(self) -> Run:
        # A window is half open: the moment itself lies in a millisecond.
        return Run(self.decided_ms, self.served.version, self.asked.within_ms + 1)

    def _told(self, row: Row, degraded: bool) -> Row:
        action = next((one for one in self.served.agent.actions if one.name == row["action"]), None)
        return {
            **row,
            "template": action.template or action.name if action else None,
            "variables": dict(action.variables) if action else {},
            "degraded": degraded,
        }


def _sends(found: list[tuple[int, str, str, str]]) -> Sends:
    """Messages to the one person of an audience."""
    at_ms, agents, actions, channels = zip(*found, strict=True) if found else ((), (), (), ())
    texts = (pa.array(part, pa.string()) for part in (agents, actions, channels))
    return Sends(np.zeros(len(at_ms), np.int64), np.array(at_ms, np.int64), *texts)
