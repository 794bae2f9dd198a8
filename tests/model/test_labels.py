"""Grades as arithmetic: what an event, a pair in a window and an outcome are worth to each KPI."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from small_shop import day, event_table

from recommender.events import DECISION_SCHEMA
from recommender.model.features import feature_version
from recommender.model.labels import graded_pairs
from recommender.model.served_slates import served_slates
from recommender.model.training_set import TrainingConfig
from recommender.objectives import DEFAULT_OBJECTIVE, OBJECTIVES, Objective

EURO = 1_000_000


def grades(events: pa.Table, objective: Objective, column: str = "grade") -> Mapping[tuple[str, str], int]:
    found = graded_pairs(events, day(1), day(8), objective)
    return {(row["user_id"], row["item_id"]): row[column] for row in found.to_pylist()}


def test_a_pairs_grade_is_its_best_event_in_the_window() -> None:
    events = event_table(
        [
            ("ann", "item-001", "view", day(1), "s"),
            ("ann", "item-001", "purchase", day(2), "s"),
            ("ann", "item-002", "add_to_cart", day(2), "s"),
            ("ann", "item-003", "skip", day(2), "s"),
            ("ann", "item-004", "view", day(0), "s"),  # before
            ("ann", "item-005", "purchase", day(8), "s"),  # the end is exclusive
            ("bob", "item-001", "click", day(1), "s"),  # the start is not
        ]
    )
    expected = {("ann", "item-001"): 3, ("ann", "item-002"): 2, ("bob", "item-001"): 1}
    assert grades(events, DEFAULT_OBJECTIVE) == expected


def purchases(*lines: tuple[str, str, int | None, int | None]) -> pa.Table:
    """(user, item, quantity, price in micros) as purchases of one day, in this order."""
    rows = [(user, item, "purchase", day(2) + place, "s") for place, (user, item, _, _) in enumerate(lines)]
    return event_table(rows, quantity=[line[2] for line in lines], price_micros=[line[3] for line in lines])


def test_revenue_grows_by_a_grade_with_each_doubling_of_what_was_spent() -> None:
    events = purchases(
        ("ann", "item-001", 1, 0),  # log2(1 + 0) = 0 on top of the purchase's 2
        ("ann", "item-002", 1, 1 * EURO),  # log2(1 + 1) = 1
        ("ann", "item-003", None, 3 * EURO),  # log2(1 + 3) = 2; no quantity counts one
        ("ann", "item-004", 2, EURO + EURO // 2),  # log2(1 + 2 × 1.50) = 2
        ("ann", "item-005", 1, 6_990_000),  # log2(7.99) is not yet 3
        ("ann", "item-006", 1, None),
        ("ann", "item-007", 1_000, 1_000 * EURO),  # log2(1,000,001) = 19.9, held at 12
    )
    found = grades(events, OBJECTIVES["revenue"])
    assert [found["ann", f"item-00{place}"] for place in range(1, 8)] == [2, 2 + 1, 2 + 2, 2 + 2, 2 + 2, 2, 2 + 12]
    pence = Objective.parse({"kpi": "revenue", "spend_unit": 0.01})
    assert grades(events, pence)["ann", "item-002"] == 2 + 6  # log2(1 + 100) = 6.66


def test_revenue_leaves_views_and_clicks_aside_and_sums_a_pairs_spend() -> None:
    rows = [
        ("ann", "item-001", kind, day(2) + place, "s") for place, kind in enumerate(("view", "click", "add_to_cart"))
    ]
    assert grades(event_table(rows), OBJECTIVES["revenue"]) == {("ann", "item-001"): 1}
    twice = purchases(("ann", "item-001", 2, 3 * EURO), ("ann", "item-001", 1, 4 * EURO))
    assert grades(twice, OBJECTIVES["revenue"], "spend_micros") == {("ann", "item-001"): (2 * 3 + 4) * EURO}


def test_engagement_prefers_what_takes_more_of_a_person() -> None:
    kinds = ("view", "click", "rating", "like", "purchase", "shared_with_a_friend", "dislike")
    rows = [("ann", f"item-00{place}", kind, day(2), "s") for place, kind in enumerate(kinds)]
    found = grades(event_table(rows), OBJECTIVES["engagement"])
    assert [found.get(("ann", f"item-00{place}"), 0) for place in range(7)] == [1, 2, 3, 3, 3, 1, 0]


def test_retention_prefers_what_a_person_came_back_after() -> None:
    events = event_table(
        [
            ("ann", "item-001", "view", day(2.1), "s"),  # ann is back on day 4
            ("ann", "item-002", "view", day(2.9), "s"),
            ("ann", "item-003", "view", day(4.5), "s"),  # the same day is no return
            ("ann", "item-004", "view", day(4.6), "s"),
            ("bob", "item-001", "view", day(3), "s"),  # only ann came back
            ("cid", "item-001", "view", day(7), "s"),  # cid comes back, after the window's end
            ("cid", "item-002", "view", day(8), "s"),
            ("dan", "item-001", "view", day(2), "s"),  # a skip is no return
            ("dan", "item-002", "skip", day(5), "s"),
        ]
    )
    assert grades(events, OBJECTIVES["retention"]) == {
        ("ann", "item-001"): 1 + 2,
        ("ann", "item-002"): 1 + 2,
        ("ann", "item-003"): 1,
        ("ann", "item-004"): 1,
        ("bob", "item-001"): 1,
        ("cid", "item-001"): 1,
        ("dan", "item-001"): 1,
    }


def slate(objective: Objective, events: pa.Table) -> list[float]:
    """Labels of two decisions of the same three items, shown to ann on day 1 and on day 3."""
    known: dict[str, list[Any]] = {
        "decision_id": ["d1", "d2"],
        "user_id": ["ann", "ann"],
        "decided_at": [day(1), day(3)],
        "slate_item_ids": [["item-001", "item-002", "item-003"]] * 2,
        "slate_propensities": [[1.0] * 3] * 2,
        "slate_features": [np.zeros(3, dtype="<f4").tobytes()] * 2,
        "feature_version": [feature_version(["only"])] * 2,
    }
    table = {name: known.get(name, [None] * 2) for name in DECISION_SCHEMA.names}
    decisions = pa.table(table, schema=DECISION_SCHEMA)
    return list(served_slates(decisions, events, ["only"], TrainingConfig(objective=objective)).label.tolist())


def test_outcomes_are_graded_for_the_objective_within_its_attribution_days() -> None:
    rows = [
        ("ann", "item-001", "view", day(1.1), "s"),
        ("ann", "item-002", "purchase", day(2.5), "s"),
        ("ann", "item-003", "purchase", day(3.1), "s"),
    ]
    events = event_table(rows, decision_id=["d1", "d1", "d2"], price_micros=[None, 3 * EURO, 7 * EURO])
    assert slate(DEFAULT_OBJECTIVE, events) == [1, 3, 0, 0, 0, 3]
    assert slate(OBJECTIVES["revenue"], events) == [0, 2 + 2, 0, 0, 0, 2 + 3]
    assert slate(Objective.parse({"kpi": "conversion", "attribution_days": 1}), events) == [1, 0, 0, 0, 0, 3]


def test_an_outcome_is_followed_by_a_return_even_if_that_names_no_decision() -> None:
    rows = [("ann", "item-001", "view", day(1.1), "s"), ("ann", "item-009", "view", day(2.5), "t")]
    assert slate(OBJECTIVES["retention"], event_table(rows, decision_id=["d1", None]))[:3] == [1 + 2, 0, 0]
    assert slate(OBJECTIVES["retention"], event_table(rows[:1], decision_id=["d1"]))[:3] == [1, 0, 0]
