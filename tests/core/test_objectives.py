"""An operator's aim: what each event type is worth, what parses, and what is refused with a sentence."""

from __future__ import annotations

import json
from typing import Any

import pytest

from recommender.errors import InputError
from recommender.objectives import DEFAULT_OBJECTIVE, KPIS, OBJECTIVES, Objective


def test_conversion_is_the_default_and_grades_as_before() -> None:
    assert OBJECTIVES["conversion"] == DEFAULT_OBJECTIVE == Objective()
    grades = [
        DEFAULT_OBJECTIVE.grade_of(kind) for kind in ("purchase", "add_to_cart", "view", "like", "never heard of")
    ]
    assert grades == [3, 2, 1, 1, 1]


@pytest.mark.parametrize("kpi", KPIS)
def test_what_says_nothing_positive_counts_for_no_kpi(kpi: str) -> None:
    assert [OBJECTIVES[kpi].grade_of(kind) for kind in ("skip", "dislike", "refund", "impression")] == [0, 0, 0, 0]


def test_each_kpi_weighs_its_own_events() -> None:
    revenue, engagement, retention = OBJECTIVES["revenue"], OBJECTIVES["engagement"], OBJECTIVES["retention"]
    assert [revenue.grade_of(kind) for kind in ("view", "add_to_cart", "purchase", "like")] == [0, 1, 2, 0]
    assert [engagement.grade_of(kind) for kind in ("view", "click", "rating", "bookmark")] == [1, 2, 3, 3]
    assert {retention.grade_of(kind) for kind in ("view", "click", "purchase")} == {1}


def test_given_weights_change_single_types_and_keep_the_others() -> None:
    found = Objective.parse({"kpi": "conversion", "weights": {"booking": 4, "view": 0}}, name="stays")
    assert (found.name, found.kpi) == ("stays", "conversion")
    assert [found.grade_of(kind) for kind in ("booking", "view", "purchase", "click")] == [4, 0, 3, 1]


@pytest.mark.parametrize("kpi", KPIS)
def test_what_is_written_down_reads_back_as_the_same_objective(kpi: str) -> None:
    for objective in (OBJECTIVES[kpi], Objective.parse({"kpi": kpi, "attribution_days": 3, "weights": {"trial": 2}})):
        assert Objective.parse(json.loads(json.dumps(objective.as_json()))) == objective


@pytest.mark.parametrize(
    ("mapping", "sentence"),
    [
        ({}, "no kpi"),
        ({"kpi": "profit"}, "kpi 'profit'.*one of conversion, revenue, engagement, retention"),
        ({"kpi": "revenue", "wieghts": {}}, "the key 'wieghts'"),
        ({"kpi": "revenue", "weights": ["purchase"]}, "event types with whole numbers"),
        ({"kpi": "revenue", "weights": {"purchase": 2.5}}, "the weight of purchase 2.5.*from 0 to 10"),
        ({"kpi": "revenue", "weights": {"purchase": 11}}, "from 0 to 10"),
        ({"kpi": "revenue", "weights": {"purchase": True}}, "from 0 to 10"),
        ({"kpi": "revenue", "weights": {"purchase": 0, "add_to_cart": 0}}, "weights that are all 0"),
        ({"kpi": "retention", "attribution_days": 0}, "attribution_days 0.*above 0"),
        ({"kpi": "revenue", "spend_unit": float("nan")}, "spend_unit nan"),
        ("conversion", "keys with values"),
    ],
)
def test_what_cannot_be_an_objective_is_refused_with_a_sentence(mapping: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        Objective.parse(mapping, name="home")
