"""The items that fill an action's slots, as a factor of its decision. Who finds them is asked through a protocol.

Whether an action can be filled is judged before anything is drawn, as a guardrail: so the probabilities of the other
factors are exact. Its items are drawn after it, place by place; their probabilities multiply to the factor's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recommender.agents.agent import Agent

__all__ = ["SLOT_SCHEMA", "RememberedSlots", "SlotFiller", "fillable_actions", "filled_slots"]

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

# Grain: one message with slots. Lists run by place, the first shown first.
SLOT_SCHEMA = pa.schema(
    [
        ("placement", pa.string()),
        ("item_ids", pa.list_(pa.string())),
        ("item_propensities", pa.list_(pa.float64())),  # of each place's item, given those above it
        ("item_sources", pa.list_(pa.string())),  # who proposed it, as in /v1/recommend; "popular" without a model
        ("item_policy", pa.string()),  # the placement's, with its parameters
        ("model_version", pa.string()),
    ]
)


class SlotFiller(Protocol):
    """Fills slots from a placement, for people of whom each gets the same whoever else is asked for."""

    def fillable(self, placement: str, slots: int, user_ids: Sequence[str]) -> Mask:
        """bool (n): for whom the placement has so many items under its rules."""
        ...

    def fill(self, placement: str, slots: int, user_ids: Sequence[str], seeds: Sequence[str]) -> pa.Table:
        """A row in SLOT_SCHEMA for each person, in their order. All chance comes from the `seeds`, a text each."""
        ...


class RememberedSlots:
    """A `SlotFiller` that fills for each placement and seed once: a run fills before its turn, and again while others
    wait only for those whose decision has changed meanwhile.
    """

    def __init__(self, filler: SlotFiller) -> None:
        self._filler = filler
        self._filled: dict[tuple[str, int], tuple[dict[str, int], pa.Table]] = {}

    def fillable(self, placement: str, slots: int, user_ids: Sequence[str]) -> Mask:
        """See SlotFiller."""
        return self._filler.fillable(placement, slots, user_ids)

    def fill(self, placement: str, slots: int, user_ids: Sequence[str], seeds: Sequence[str]) -> pa.Table:
        """See SlotFiller; a seed names the person as well."""
        rows, table = self._filled.get((placement, slots), ({}, SLOT_SCHEMA.empty_table()))
        new = [place for place, seed in enumerate(seeds) if seed not in rows]
        if new:
            found = self._filler.fill(placement, slots, [user_ids[one] for one in new], [seeds[one] for one in new])
            rows = rows | {seeds[one]: len(table) + place for place, one in enumerate(new)}
            table = pa.concat_tables([table, found]).combine_chunks()
            self._filled[placement, slots] = rows, table
        return table.take(pa.array([rows[seed] for seed in seeds], pa.int64()))


def fillable_actions(agent: Agent, user_ids: Sequence[str], among: Mask, slots: SlotFiller | None) -> Mask:
    """bool (n, actions): whose slots can be filled; actions without slots need nothing, and without a filler no other
    can. Only those `among` (n, actions) are asked about; for the rest it says no.
    """
    found = np.ones(among.shape, dtype=bool)
    for place, action in enumerate(agent.actions):
        if action.slots:
            found[:, place] = False
            rows = np.flatnonzero(among[:, place])
            if slots is not None and action.placement is not None and len(rows):
                asked = [user_ids[row] for row in rows.tolist()]
                found[rows, place] = slots.fillable(action.placement, action.slots, asked)
    return found


def filled_slots(
    agent: Agent, action: Ints, user_ids: Sequence[str], seeds: Sequence[str], slots: SlotFiller | None
) -> dict[str, pa.Array]:
    """The columns of SLOT_SCHEMA, null for who gets no items, and `item_propensity`, the product, then 1.

    `action` int64 (n): what each one is sent, −1 for nothing.
    """
    wanted = sorted({(one.placement, one.slots) for one in agent.actions if one.slots and one.placement is not None})
    if not wanted:
        empty = {field.name: pa.nulls(len(action), field.type) for field in SLOT_SCHEMA}
        return {**empty, "item_propensity": pa.array(np.ones(len(action)))}
    parts, owners = [SLOT_SCHEMA.empty_table()], [np.zeros(0, np.int64)]
    for placement, count in wanted:
        own = [place for place, one in enumerate(agent.actions) if (one.placement, one.slots) == (placement, count)]
        rows = np.flatnonzero(np.isin(action, own))
        if slots is not None and len(rows):
            people = rows.tolist()
            ids, drawn = [user_ids[row] for row in people], [seeds[row] for row in people]
            parts.append(slots.fill(placement, count, ids, drawn))
            owners.append(rows)
    table = pa.concat_tables(parts).combine_chunks()
    place = np.full(len(action), -1)
    place[np.concatenate(owners)] = np.arange(len(table))
    spread = table.take(pa.array(place, mask=place < 0)).combine_chunks()
    columns = {name: spread[name].combine_chunks() for name in SLOT_SCHEMA.names}
    return {**columns, "item_propensity": pa.array(_products(columns["item_propensities"]))}


def _products(propensities: pa.ListArray) -> npt.NDArray[np.float64]:
    """float64 (n): the product of each row's list; 1 of an empty one and of null."""
    owner = pc.list_parent_indices(propensities).to_numpy()
    product = np.ones(len(propensities))
    np.multiply.at(product, owner, propensities.flatten().to_numpy())
    return product
