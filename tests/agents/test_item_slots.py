"""Items that fill an action's slots: who gets any, with which probability, and that nobody else matters."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from scipy.stats import chi2

from recommender.agents.agent import NOTHING, Action, Agent, Frequency, Goal, Shares, Timing, Window
from recommender.agents.audience import Audience
from recommender.agents.deciding import Run, decide_for
from recommender.agents.placement_slots import PlacementSlots
from recommender.agents.sends import SEND_SCHEMA, Sends
from recommender.agents.slots import SLOT_SCHEMA, RememberedSlots
from recommender.decision.pipeline import DecisionRequest, decide
from recommender.decision.placements import PLACEMENTS
from recommender.decision.policy import SlatePolicy
from recommender.model.bundle import Bundle
from recommender.states import UserStates
from tests.agents.mailing import AGENT, Mailing

if TYPE_CHECKING:
    from served_shop import LandedShop

pytestmark = pytest.mark.slow  # the fitted shop takes 20 s, once a session

# Few choices at each place and much chance, so that every order of two items comes up.
TRYING = replace(PLACEMENTS["email"], name="trying", policy=SlatePolicy(exploration=0.5, pool=4))
OTHERS = {**PLACEMENTS, "trying": TRYING}
SHOP_AGENT = Agent(
    "picks",
    Goal({"purchase": 1.0}),
    (
        Action("picks", "email", placement="trying", slots=3),
        Action("again", "email", placement="buy_again", slots=2),
        Action("news", "email"),
    ),
    timing=Timing((Window(9 * 60, 12 * 60),)),
    frequency=Frequency(()),
    shares=Shares(holdout=0.2),
    exploration=0.6,
)


@pytest.fixture(scope="module")
def slots(landed_shop: LandedShop, shop_bundle: Bundle, shop_users: UserStates) -> PlacementSlots:
    return PlacementSlots(shop_users, landed_shop.as_of_ms, shop_bundle, OTHERS)


@pytest.fixture(scope="module")
def audience(shop_users: UserStates) -> Audience:
    """Everybody, and two that the shop has never seen."""
    ids = [*shop_users.user_ids, "new-1", "new-2"]
    return Audience.read(pa.table({"user_id": ids, "consent_email": [True] * len(ids)}))


def decided(audience: Audience, slots: PlacementSlots | RememberedSlots | None, salt: str = "") -> pa.Table:
    at_ms = 0 if slots is None else getattr(slots, "at_ms", 0)
    nobody_yet = Sends.of(SEND_SCHEMA.empty_table(), audience)
    return decide_for(SHOP_AGENT, audience, nobody_yet, Run(at_ms, salt=salt), slots=slots)


def test_a_crowd_is_shown_what_each_would_have_been_shown_alone(
    shop_users: UserStates, shop_bundle: Bundle, slots: PlacementSlots
) -> None:
    states = {row["user_id"]: row for row in shop_users.table.slice(0, 40).to_pylist()}
    ids = [*states, "new-1"]
    for placement in ("trying", "discover", "buy_again"):
        seeds = [f"{placement}-{user_id}" for user_id in ids]
        for row, user_id, seed in zip(slots.fill(placement, 4, ids, seeds).to_pylist(), ids, seeds, strict=True):
            request = DecisionRequest(seed, slots.at_ms, placement, 4, user_id=user_id)
            alone = decide(request, states.get(user_id), (), shop_bundle, OTHERS)
            assert row == {
                "placement": placement,
                "item_ids": alone.slate_item_ids,
                "item_propensities": alone.slate_propensities,
                "item_sources": alone.slate_sources,
                "item_policy": OTHERS[placement].policy.name,
                "model_version": shop_bundle.version,
            }


def test_whoever_is_sent_an_action_with_slots_gets_all_of_them_filled(
    audience: Audience, slots: PlacementSlots, shop_bundle: Bundle, landed_shop: LandedShop
) -> None:
    records = decided(audience, slots)
    wanted = {"picks": 3, "again": 2}
    for row in records.to_pylist():
        ids = row["item_ids"]
        assert (None if ids is None else len(set(ids))) == wanted.get(row["action"])
        assert set(ids or ()) <= set(landed_shop.item_ids)
        assert row["item_propensity"] == np.prod(row["item_propensities"] or [1.0])
    assert set(pc.unique(records["action"]).to_pylist()) == {"picks", "again", "news", NOTHING}
    factors = [records[f"{name}_propensity"].to_numpy() for name in ("send", "action", "window", "item")]
    assert np.array_equal(np.prod(factors, axis=0), records["propensity"].to_numpy())
    filled = records.filter(pc.is_valid(records["item_ids"]))
    assert pc.unique(filled["model_version"]).to_pylist() == [shop_bundle.version]


def test_an_action_that_cannot_be_filled_is_offered_to_nobody_it_cannot_be_filled_for(
    audience: Audience, shop_users: UserStates, slots: PlacementSlots, landed_shop: LandedShop
) -> None:
    sold = set(landed_shop.item_ids)
    counts = {
        row["user_id"]: sum(
            count > 0 and item in sold
            for item, count in zip(row["history_item_ids"], row["history_purchase_counts"], strict=True)
        )
        for row in shop_users.table.to_pylist()
    }
    able = {user_id for user_id, count in counts.items() if count >= 2}
    assert 0 < len(able) < len(shop_users)
    for row in decided(audience, slots).filter(pc.field("arm") == "agent").to_pylist():
        assert ("again" in row["offered_actions"]) == (row["user_id"] in able)
    only = replace(SHOP_AGENT, actions=SHOP_AGENT.actions[1:2])
    records = decide_for(only, audience, Sends.of(SEND_SCHEMA.empty_table(), audience), Run(0), slots=slots)
    own = records.filter(pc.field("arm") == "agent").to_pylist()
    assert {row["user_id"] for row in own if row["reason"] == "no items"} == {
        row["user_id"] for row in own if row["user_id"] not in able
    }
    # What the agent could have done is known of the holdout too, so that both can be read as one experiment.
    held = records.filter(pc.field("arm") == "holdout").to_pylist()
    assert {row["user_id"] for row in held if row["send_share"] is not None} == able & {row["user_id"] for row in held}


def test_without_a_model_only_actions_without_slots_are_sent(audience: Audience) -> None:
    actions = pc.unique(decided(audience, None)["action"]).to_pylist()
    assert set(actions) == {"news", NOTHING}


def test_a_person_alone_gets_the_items_they_get_among_all_others(audience: Audience, slots: PlacementSlots) -> None:
    together = decided(audience, slots)
    for row in [*range(12), len(audience) - 1]:
        alone = decided(Audience.read(audience.table.slice(row, 1)), slots)
        assert alone.equals(together.slice(row, 1))


def test_what_was_filled_before_the_turn_is_not_asked_for_again(audience: Audience, slots: PlacementSlots) -> None:
    asked = Counting(slots)
    remembered = RememberedSlots(asked)
    ids = audience.user_ids
    first = remembered.fill("trying", 2, ids[:10], [f"a-{one}" for one in ids[:10]])
    again = remembered.fill("trying", 2, ids[5:15], [f"a-{one}" for one in ids[5:15]])
    assert asked.people == [10, 5]
    assert again.slice(0, 5).equals(first.slice(5, 5))
    assert again.equals(slots.fill("trying", 2, ids[5:15], [f"a-{one}" for one in ids[5:15]]))


class Counting:
    """Fills as another does, and keeps how many people each call was for."""

    def __init__(self, filler: PlacementSlots) -> None:
        self.filler, self.people = filler, list[int]()

    def fillable(self, placement: str, slots: int, user_ids: list[str]) -> np.ndarray:
        return self.filler.fillable(placement, slots, user_ids)

    def fill(self, placement: str, slots: int, user_ids: list[str], seeds: list[str]) -> pa.Table:
        self.people.append(len(user_ids))
        return self.filler.fill(placement, slots, user_ids, seeds)


def test_lists_come_as_often_as_their_propensities_say(shop_users: UserStates, slots: PlacementSlots) -> None:
    """300 replays of eight people: how often each ordered pair of items came, against its recorded probability."""
    replays, statistic, freedom = 300, 0.0, 0
    for user_id in shop_users.user_ids[:8]:
        seeds = [f"{user_id}#{replay}" for replay in range(replays)]
        drawn = slots.fill("trying", 2, [user_id] * replays, seeds)
        pairs = [tuple(ids) for ids in drawn["item_ids"].to_pylist()]
        chances = np.prod(np.array(drawn["item_propensities"].to_pylist()), axis=1)
        seen, expected = Counter(pairs), dict(zip(pairs, chances.tolist(), strict=True))
        assert sum(expected.values()) == pytest.approx(1.0)  # four × three orders: each came at least once
        assert len(seen) == 12
        statistic += sum((seen[pair] - replays * p) ** 2 / (replays * p) for pair, p in expected.items())
        freedom += len(seen) - 1
    assert chi2.sf(statistic, freedom) > 0.001


def test_an_agent_without_slots_asks_for_nothing(slots: PlacementSlots) -> None:
    mailing = Mailing(50)
    audience = mailing.audience()
    asked = Counting(slots)
    sends = Sends.of(SEND_SCHEMA.empty_table(), audience)
    records = decide_for(AGENT, audience, sends, Run(0), slots=asked)
    assert asked.people == []
    assert records.select(SLOT_SCHEMA.names).slice(0, 1).to_pylist() == [dict.fromkeys(SLOT_SCHEMA.names)]
    assert records["item_propensity"].to_pylist() == [1.0] * 50
