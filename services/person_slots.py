"""Item slots of one person's message, filled by what answers `/v1/recommend`. No action is chosen here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from recommender.agents.placement_slots import can_fill, slot_table
from recommender.decision.pipeline import Decision, DecisionRequest, decide, state_of
from recommender.decision.placements import Placement
from recommender.decision.protocols import Scorer
from recommender.decision.room import room_for
from recommender.events import Interaction
from recommender.person_state import PersonState
from services.catalogue import Catalogue
from services.lineup import Lineup
from services.shadow import Shadow
from services.timed_scorer import TimedScorer

if TYPE_CHECKING:  # the door may ask for slots itself
    from services.door import Door

__all__ = ["PersonSlots", "slots_for"]


@dataclass
class PersonSlots:
    """A `SlotFiller` for one person, whose state and latest events are at hand.

    `filled`: the decisions on items so far, in the order in which they were asked for; a list that a simpler tier
    answered is in it as such.
    """

    user_id: str
    decided_ms: int
    context: Mapping[str, Any]
    state: Mapping[str, Any] | None
    events: Sequence[Interaction]
    journal_seq: int | None
    is_degraded: bool
    lineup: Lineup
    shadow: Shadow
    catalogue: Catalogue
    placements: Mapping[str, Placement]
    filled: list[Decision] = field(default_factory=list)

    def fillable(self, placement: str, slots: int, user_ids: Sequence[str]) -> npt.NDArray[np.bool_]:
        """See SlotFiller; `user_ids` is this person."""
        assert list(user_ids) == [self.user_id]
        chosen = self.placements.get(placement)
        if chosen is None or not can_fill(chosen, slots):
            return np.zeros(1, dtype=bool)
        person = PersonState(state_of(self.user_id, self.state, self.events))
        items = self.catalogue.over(self.lineup.champion.scorer).items
        return np.asarray(room_for(chosen, items, person) >= slots)

    def fill(self, placement: str, slots: int, user_ids: Sequence[str], seeds: Sequence[str]) -> pa.Table:
        """See SlotFiller; `user_ids` is this person."""
        assert list(user_ids) == [self.user_id]
        (seed,) = seeds
        request = DecisionRequest(seed, self.decided_ms, placement, slots, self.user_id, context=self.context)

        def make(scorer: Scorer, variant: str, is_degraded: bool) -> Decision:
            return decide(
                request,
                self.state,
                self.events,
                TimedScorer(self.catalogue.over(scorer)),
                self.placements,
                journal_seq=self.journal_seq,
                is_degraded=is_degraded,
                variant=variant,
            )

        self.filled.append(self.lineup.decide(self.user_id, seed, make, self.is_degraded, self.shadow))
        return slot_table(self.filled[-1:])


async def slots_for(door: Door, user_id: str, decided_ms: int, context: Mapping[str, Any]) -> PersonSlots | None:
    """Read what filling slots needs of a person; None while there is no champion."""
    lineup = door.champion.lineup
    if lineup is None:
        return None
    state, is_degraded = await door.states.read(user_id)
    live = door.journal.live_events(user_id, state["as_of_ms"] if state else 0)
    await door.catch_up()
    return PersonSlots(
        user_id=user_id,
        decided_ms=decided_ms,
        context=context,
        state=state,
        events=live.events if live else (),
        journal_seq=live.journal_seq if live else None,
        is_degraded=is_degraded or live is None,
        lineup=lineup,
        shadow=door.champion.shadow,
        catalogue=door.catalogue,
        placements=door.operator.configuration.placements,
    )
