"""A state that SQL builds at a cut is the state that folding the events before the cut into an empty one gives."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from random_shop import AS_OF, PAST_CUT, Shop

from recommender.events import Interaction
from recommender.states import HISTORY_LENGTH, PURCHASE_DAYS_LENGTH, RECENT_LENGTH, empty_state, merge_live

pytestmark = pytest.mark.slow


def to_ms(moment: datetime) -> int:
    return round(moment.replace(tzinfo=UTC).timestamp() * 1000)


def interaction(event: dict[str, Any]) -> Interaction:
    optional = ("item_id", "quantity", "price_micros", "channel", "device", "country")
    return Interaction(
        event_id=event["event_id"],
        user_id=event["user_id"],
        event_type=event["event_type"],
        occurred_ms=to_ms(event["occurred_at"]),
        **{name: event.get(name) for name in optional},
    )


def folded(shop: Shop, cut: datetime) -> dict[str, dict[str, Any]]:
    """Every user seen before the cut, by `merge_live`."""
    seen = [event for event in shop.events if event["recorded_at"] < cut]
    states = {}
    for user in {event["user_id"] for event in seen}:
        start = {**empty_state(user), "country": shop.countries.get(user, "")}
        start |= {"as_of": cut, "created_at": cut, "as_of_ms": to_ms(cut)}
        states[user] = merge_live(start, [interaction(event) for event in seen if event["user_id"] == user])
    return states


@pytest.mark.parametrize("cut", [PAST_CUT, AS_OF], ids=["a past cut", "as_of"])
def test_sql_and_fold_agree_in_every_field_of_every_user(shop: Shop, cut: datetime) -> None:
    expected = folded(shop, cut)
    found = {row["user_id"]: row for row in shop.warehouse.rows("user_states") if row["as_of"] == cut}
    assert found.keys() == expected.keys()
    for user, state in expected.items():
        for name, value in state.items():
            assert found[user][name] == value, (user, name)


def test_the_comparison_meets_the_hard_cases(shop: Shop) -> None:
    before = [event for event in shop.events if event["recorded_at"] < AS_OF]
    assert any(event["recorded_at"] == PAST_CUT for event in shop.events), "no event exactly at a cut"
    assert any(event["occurred_at"] < PAST_CUT <= event["recorded_at"] for event in before), "no late event"
    (collector,) = [
        row for row in shop.warehouse.rows("user_states") if (row["user_id"], row["as_of"]) == ("collector", AS_OF)
    ]
    assert len(collector["history_item_ids"]) == HISTORY_LENGTH
    assert len(collector["recent_item_ids"]) == RECENT_LENGTH
    assert len(collector["purchase_days"]) == PURCHASE_DAYS_LENGTH
