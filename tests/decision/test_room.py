"""What says beforehand that a slate can be filled is what the pipeline then fills."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from taste_scorer import TasteScorer

from recommender.conditions import parse_condition
from recommender.decision.pipeline import DecisionRequest, decide
from recommender.decision.placements import PLACEMENTS, Diversity, Placement
from recommender.decision.room import room_for
from recommender.events import DAY_MS, Interaction
from recommender.simulation import Shop
from recommender.states import ItemTable, UserStates, empty_state, merge_live

PEOPLE = 12
LONG = 1_000


@pytest.fixture
def states(shop: Shop, items: ItemTable) -> list[dict[str, Any]]:
    """People who met 0, 20, 40, … of the 240 items, sold or not, and bought half of them; the last has bought all."""
    rng, ids, start = np.random.default_rng(3), items.item_ids.to_pylist(), shop.config.start_ms
    found = []
    for person in range(PEOPLE + 1):
        kinds = ("purchase", "view" if person < PEOPLE else "purchase")
        some = [ids[place] for place in rng.permutation(len(ids))[: 20 * person]]
        events = [
            Interaction(f"{person}-{place}", f"u{person:07}", kinds[place % 2], start + DAY_MS, item)
            for place, item in enumerate(some)
        ]
        found.append(merge_live(empty_state(f"u{person:07}"), events))
    return found


@pytest.mark.parametrize("bought", ["allowed", "never", "only"])
@pytest.mark.parametrize(
    "diversity", [Diversity(), Diversity(max_per_category=2), Diversity(max_per_brand=1)], ids=["free", "cat", "brand"]
)
@pytest.mark.parametrize("is_filtered", [False, True])
def test_a_slate_that_is_long_enough_takes_all_the_room(
    items: ItemTable,
    scorer: TasteScorer,
    states: list[dict[str, Any]],
    bought: str,
    diversity: Diversity,
    is_filtered: bool,
) -> None:
    placement = replace(PLACEMENTS["home"], bought=bought, diversity=diversity)
    if is_filtered:
        category = items.table["category"][0].as_py()
        placement = replace(placement, filter=parse_condition({"not": {"category": [category]}}, "filter"))
    room = room_for(placement, items, UserStates.from_rows(states))
    assert room.tolist() == [slate_length(state, placement, scorer) for state in states]
    assert len(set(room.tolist())) > 1 or bought == "allowed"


def slate_length(state: dict[str, Any], placement: Placement, scorer: TasteScorer) -> int:
    """Items of a slate as long as it gets. The scorer retrieves all there are: how many are looked at is no rule."""
    request = DecisionRequest("d1", DAY_MS, placement.name, LONG, user_id=state["user_id"])
    everything = replace(scorer, retrieved=LONG)
    return len(decide(request, state, (), everything, {placement.name: placement}).slate_item_ids)
