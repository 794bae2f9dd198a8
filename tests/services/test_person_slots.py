"""Slots filled in the moment: the bits that a run of the whole audience would have given, and what was told since."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from recommender.agents.placement_slots import PlacementSlots
from recommender.decision.placements import PLACEMENTS
from recommender.events import Interaction
from recommender.model.bundle import Bundle
from recommender.states import UserStates
from services.catalogue import Catalogue
from services.health import Health, HealthConfig
from services.lineup import Lane, Lineup
from services.person_slots import PersonSlots
from services.shadow import Shadow

if TYPE_CHECKING:
    from served_shop import LandedShop

pytestmark = pytest.mark.slow  # the fitted shop takes 20 s, once a session


@pytest.fixture
def person(landed_shop: LandedShop, shop_bundle: Bundle, tmp_path: Path) -> Iterator[PersonSlots]:
    """Somebody nobody knows; `replace` gives others."""
    catalogue, shadow = Catalogue(tmp_path / "journal.db"), Shadow()
    lineup = Lineup(Lane(shop_bundle, Health(HealthConfig())))
    at_ms = landed_shop.as_of_ms
    yield PersonSlots("new-1", at_ms, {}, None, (), None, False, lineup, shadow, catalogue, PLACEMENTS)
    catalogue.close()
    shadow.close()


def known(person: PersonSlots, state: dict[str, Any]) -> PersonSlots:
    return replace(person, user_id=state["user_id"], state=state, filled=[])


def test_one_person_gets_in_the_moment_what_a_run_at_that_moment_would_give(
    person: PersonSlots, shop_users: UserStates, shop_bundle: Bundle
) -> None:
    of_all = PlacementSlots(shop_users, person.decided_ms, shop_bundle, PLACEMENTS)
    people = [person, *(known(person, state) for state in shop_users.table.slice(0, 30).to_pylist())]
    ids = [one.user_id for one in people]
    for placement, slots in (("email", 4), ("discover", 3), ("buy_again", 2), ("category", 3), ("email", 101)):
        able = of_all.fillable(placement, slots, ids)
        assert [bool(one.fillable(placement, slots, [one.user_id])[0]) for one in people] == able.tolist()
        assert able.any() == (placement != "category" and slots < 101)
        if able.any():
            rows = of_all.fill(placement, slots, ids, [f"{placement}-{one}" for one in ids])
            for row, one in enumerate(people):
                assert one.fill(placement, slots, [one.user_id], [f"{placement}-{one.user_id}"]).equals(
                    rows.slice(row, 1)
                )


def test_what_was_bought_a_moment_ago_counts_at_once(person: PersonSlots, landed_shop: LandedShop) -> None:
    bought = landed_shop.item_ids[:2]
    assert not person.fillable("buy_again", 2, ["new-1"])[0]
    events = tuple(
        Interaction(f"e{place}", "new-1", "purchase", person.decided_ms, item) for place, item in enumerate(bought)
    )
    later = replace(person, events=events, filled=[])
    assert later.fillable("buy_again", 2, ["new-1"])[0]
    assert set(later.fill("buy_again", 2, ["new-1"], ["d1"])["item_ids"][0].as_py()) == set(bought)
    assert not set(later.fill("discover", 4, ["new-1"], ["d2"])["item_ids"][0].as_py()) & set(bought)


def test_a_model_that_fails_leaves_popular_items_and_says_so(person: PersonSlots, shop_bundle: Bundle) -> None:
    broken = replace(person, lineup=Lineup(Lane(Broken(shop_bundle), Health(HealthConfig()))), filled=[])
    row = broken.fill("email", 3, ["new-1"], ["d1"]).to_pylist()[0]
    assert row["item_sources"] == ["popular"] * 3
    assert row["item_propensities"] == [1.0] * 3
    assert [one.is_degraded for one in broken.filled] == [True]


class Broken:
    """A bundle that cannot score."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle

    def __getattr__(self, name: str) -> Any:
        return getattr(self.bundle, name)

    def score(self, *_: Any, **__: Any) -> Any:
        raise RuntimeError("out of memory")
