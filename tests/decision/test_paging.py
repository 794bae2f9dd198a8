"""Further pages of a decision: nothing is shown twice, rules and caps hold, and each page can be drawn again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest
from taste_scorer import TasteScorer

from recommender.decision.paging import SHOWN_BEFORE, UNAVAILABLE_NOW, page_answer, turn, with_features
from recommender.decision.pipeline import DecisionRequest, decide, state_of
from recommender.decision.placements import PLACEMENTS, Diversity
from recommender.decision.policy import SlatePolicy
from recommender.decision.replay import replay
from recommender.decision.trace import whereabouts
from recommender.events import DECISION_SCHEMA
from recommender.simulation import Shop
from recommender.states import ItemTable

Row = dict[str, Any]
LATER = 60_000


@pytest.fixture
def first(scorer: TasteScorer, shop: Shop) -> Callable[..., Row]:
    """The record of a first page of six, from 40 retrieved candidates."""

    def recorded(placement: Any = PLACEMENTS["home"], **body: Any) -> Row:
        request = DecisionRequest.parse({"user_id": "nobody", "k": 6, **body}, "d1", shop.config.end_ms)
        return decide(request, None, (), replace(scorer, retrieved=40), {"home": placement}).to_row()

    return recorded


def pages(row: Row, scorer: TasteScorer, *numbers: int) -> list[Row]:
    """Pages asked for one after the other, each recorded before the next."""
    shown: dict[int, list[str]] = {}
    found = []
    for number in numbers:
        page = turn(row, number, shown, row["decided_at"] + LATER, scorer).row
        shown[number] = page["slate_item_ids"]
        found.append(dict(page))
    return found


def test_no_page_repeats_an_item_and_together_they_show_all_that_may_be_shown(
    first: Callable[..., Row], scorer: TasteScorer
) -> None:
    row = first()
    every = [row, *pages(row, scorer, 2, 3, 4, 5, 6, 7)]
    shown = [item for page in every for item in page["slate_item_ids"]]
    assert len(shown) == len(set(shown)) == 40
    assert set(shown) == set(row["candidate_item_ids"])
    assert [len(page["slate_item_ids"]) for page in every] == [6] * 6 + [4]
    assert pages(row, scorer, *range(2, 9))[-1]["slate_item_ids"] == []


def test_positions_go_on_and_the_page_names_its_decision(first: Callable[..., Row], scorer: TasteScorer) -> None:
    page = pages(first(), scorer, 2, 3)[-1]
    assert (page["decision_id"], page["parent_decision_id"], page["first_position"]) == ("d1:3", "d1", 13)
    answer = page_answer(page, scorer.items)
    assert [item["rank"] for item in answer["items"]] == [13, 14, 15, 16, 17, 18]
    assert [item["item_id"] for item in answer["items"]] == page["slate_item_ids"]
    assert answer["parent_decision_id"] == "d1"


def test_a_page_is_a_row_of_the_schema_with_all_of_its_columns(first: Callable[..., Row], scorer: TasteScorer) -> None:
    (page,) = pages(first(), scorer, 2)
    assert list(page) == DECISION_SCHEMA.names
    assert pa.Table.from_pylist([page], schema=DECISION_SCHEMA).num_rows == 1


def test_the_same_page_comes_out_the_same_and_jumping_shows_what_turning_would(
    first: Callable[..., Row], scorer: TasteScorer
) -> None:
    row = first()
    turned = pages(row, scorer, 2, 3, 4)[-1]
    assert pages(row, scorer, 4) == [turned]
    assert pages(row, scorer, 4) == pages(row, scorer, 4)


def test_explored_pages_still_leave_nothing_out(first: Callable[..., Row], scorer: TasteScorer) -> None:
    bold = replace(PLACEMENTS["home"], policy=SlatePolicy(0.5, 10))
    row = first(bold)
    every = [row, *pages(row, scorer, 2, 3, 4, 5, 6, 7)]
    assert len({item for page in every for item in page["slate_item_ids"]}) == 40
    for page in every:
        assert all(value in (0.5, 1.0) or 0 < value <= 0.5 for value in page["slate_propensities"])
    assert any(value < 0.5 for page in every[1:] for value in page["slate_propensities"])


def test_caps_hold_on_every_page(first: Callable[..., Row], scorer: TasteScorer, items: ItemTable) -> None:
    category = dict(zip(items.item_ids.to_pylist(), items.table["category"].to_pylist(), strict=True))
    capped = replace(PLACEMENTS["home"], diversity=Diversity(max_per_category=2))
    row = first(capped)
    for page in [row, *pages(row, scorer, 2, 3)]:
        shown = [category[item] for item in page["slate_item_ids"]]
        assert max(shown.count(name) for name in shown) <= 2


def test_what_is_sold_out_by_now_is_left_out_and_the_trace_says_why(
    first: Callable[..., Row], scorer: TasteScorer, items: ItemTable
) -> None:
    row = first()
    (expected,) = pages(row, scorer, 2)
    gone = expected["slate_item_ids"][0]
    is_available = items.integers("is_available").copy()
    is_available[items.index[gone]] = 0
    place = items.table.schema.get_field_index("is_available")
    table = items.table.set_column(place, items.table.schema.field("is_available"), pa.array(is_available))
    (page,) = pages(row, replace(scorer, items=ItemTable.from_table(table)), 2)
    assert gone not in page["slate_item_ids"]
    assert whereabouts(page, gone).rule == UNAVAILABLE_NOW
    assert whereabouts(page, row["slate_item_ids"][0]).rule == SHOWN_BEFORE
    assert whereabouts(page, page["slate_item_ids"][0]).position == 1


def test_a_page_carries_the_features_of_the_first_moment_and_replays_to_the_bit(
    first: Callable[..., Row], scorer: TasteScorer
) -> None:
    """The model reads the hour: an hour later it would have scored otherwise."""
    row = first()
    turned = turn(row, 2, {}, row["decided_at"] + 3_600_000, scorer)
    page = dict(with_features(turned, state_of("nobody", None, ()), scorer))
    assert len(page["slate_features"]) == 6 * 5 * 4
    assert replay(page, None, (), scorer).is_equal
    assert not replay({**page, "seed": page["seed"] + 1, "policy": "explore_slots(0.5,50)"}, None, (), scorer).is_equal


def test_needs_are_answered_on_every_page(first: Callable[..., Row], scorer: TasteScorer) -> None:
    row = first(needs={"nice": [{"when": {"price": {"max": 20}}}]})
    (page,) = pages(row, scorer, 2)
    reasons = [item["reason"] for item in page_answer(page, scorer.items)["items"]]
    prices = scorer.items.integers("price_micros")[scorer.items.positions(page["slate_item_ids"])]
    assert [("meets none" not in reason) for reason in reasons] == [bool(price <= 20_000_000) for price in prices]
