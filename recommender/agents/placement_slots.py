"""Slots filled by the shop's placements, for a whole audience, through the pipeline that answers `/v1/recommend`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recommender.agents.slots import SLOT_SCHEMA
from recommender.decision.crowd import Progress, decide_crowd
from recommender.decision.pipeline import Decision, DecisionRequest
from recommender.decision.placements import Placement
from recommender.decision.protocols import Scorer
from recommender.decision.room import room_for
from recommender.states import UserStates, empty_state

__all__ = ["PlacementSlots", "can_fill", "slot_table"]


@dataclass(frozen=True)
class PlacementSlots:
    """A `SlotFiller` at one moment: `users` are the stored states, in any order; who has none is somebody unknown."""

    users: UserStates
    at_ms: int
    scorer: Scorer
    placements: Mapping[str, Placement]
    progress: Progress | None = None

    def fillable(self, placement: str, slots: int, user_ids: Sequence[str]) -> npt.NDArray[np.bool_]:
        """See SlotFiller."""
        chosen = self.placements.get(placement)
        if chosen is None or not can_fill(chosen, slots):
            return np.zeros(len(user_ids), dtype=bool)
        place = pc.index_in(pa.array(user_ids, pa.string()), value_set=self.users.table["user_id"])
        rows = pc.fill_null(place, -1).to_numpy().astype(np.int64)
        stranger = UserStates.from_rows([empty_state("")])
        # The one who has bought nothing stands behind all others: index −1.
        room = np.concatenate([room_for(chosen, self.scorer.items, one) for one in (self.users, stranger)])
        return np.asarray(room[rows] >= slots)

    def fill(self, placement: str, slots: int, user_ids: Sequence[str], seeds: Sequence[str]) -> pa.Table:
        """See SlotFiller."""
        requests = [
            DecisionRequest(decision_id=seed, decided_ms=self.at_ms, placement=placement, k=slots, user_id=user_id)
            for user_id, seed in zip(user_ids, seeds, strict=True)
        ]
        return slot_table(decide_crowd(requests, self.users, self.scorer, self.placements, self.progress))


def can_fill(placement: Placement, slots: int) -> bool:
    """Whether a placement gives so many items to somebody of whom nothing but the id is told."""
    return not placement.requires and slots <= placement.max_k


def slot_table(decisions: Iterable[Decision]) -> pa.Table:
    """What decisions say of their slates, in SLOT_SCHEMA."""
    rows = [
        (
            one.request.placement,
            one.slate_item_ids,
            one.slate_propensities,
            one.slate_sources,
            one.policy,
            one.model_version,
        )
        for one in decisions
    ]
    columns = zip(*rows, strict=True) if rows else ([] for _ in SLOT_SCHEMA)
    arrays = [pa.array(list(values), field.type) for values, field in zip(columns, SLOT_SCHEMA, strict=True)]
    return pa.Table.from_arrays(arrays, schema=SLOT_SCHEMA)
