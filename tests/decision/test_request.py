"""A request is either read completely or refused with a sentence."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recommender.decision.placements import PLACEMENTS
from recommender.decision.request import FIELDS, DecisionRequest
from recommender.errors import RequestError

AT = 1_735_689_600_000


def parse(body: Any) -> DecisionRequest:
    return DecisionRequest.parse(body, "d1", AT)


def test_a_full_request_is_read_field_by_field() -> None:
    request = parse(
        {
            "user_id": "u1",
            "anonymous_id": "a1",
            "placement": "product",
            "k": 3,
            "context_items": ["i1"],
            "candidates": ["i2", "i3"],
            "exclude": ["i4"],
            "filter": {"novel": True},
            "context": {"device": "mobile", "channel": "app", "page": 2},
        }
    )
    assert (request.decision_id, request.decided_ms) == ("d1", AT)
    assert (request.user_id, request.anonymous_id, request.subject) == ("u1", "a1", "u1")
    assert (request.placement, request.k) == ("product", 3)
    assert (request.context_items, request.candidates, request.exclude) == (("i1",), ("i2", "i3"), ("i4",))
    assert request.filter.novel
    contexts = request.contexts()
    assert (contexts.at_ms.tolist(), contexts.placement) == ([AT], ["product"])
    assert (contexts.device, contexts.channel, contexts.context_item_ids) == (["mobile"], ["app"], [("i1",)])
    assert json.loads(request.context_text()) == {
        "device": "mobile",
        "channel": "app",
        "page": 2,
        "context_items": ["i1"],
    }
    assert json.loads(request.filter_text()) == {"novel": True, "exclude": ["i4"]}


def test_little_is_needed() -> None:
    request = parse({"anonymous_id": "a1"})
    assert (request.subject, request.placement, request.k) == ("a1", "home", PLACEMENTS["home"].default_k)
    assert request.candidates is None
    assert (request.context_text(), request.filter_text()) == ("{}", "{}")


def test_null_means_left_out() -> None:
    assert parse({**dict.fromkeys(FIELDS), "user_id": "u", "placement": "home"}) == parse({"user_id": "u"})


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ([], "a body of type list."),
        ("text", "a body of type str."),
        ({}, "neither user_id nor anonymous_id."),
        ({"user_id": 5}, "user_id = 5."),
        ({"user_id": ""}, "user_id = ''."),
        ({"user_id": "u" * 513}, "user_id = '"),
        ({"user_id": "u", "placement": "attic"}, "placement = 'attic'."),
        ({"user_id": "u", "placement": ["home"]}, "placement = ['home']."),
        ({"user_id": "u", "k": 0}, "k = 0."),
        ({"user_id": "u", "k": 101}, "k = 101."),
        ({"user_id": "u", "k": "5"}, "k = '5'."),
        ({"user_id": "u", "k": True}, "k = True."),
        ({"user_id": "u", "k": 5.0}, "k = 5.0."),
        ({"user_id": "u", "exclude": "i1"}, "exclude = 'i1'."),
        ({"user_id": "u", "context_items": [1]}, "context_items = [1]."),
        ({"user_id": "u", "candidates": ["i"] * 1001}, "1001 ids in candidates."),
        ({"user_id": "u", "context": []}, "context of type list."),
        ({"user_id": "u", "context": {"device": 1}}, "context.device = 1."),
        ({"user_id": "u", "context": {"device": None}}, "context.device = None."),
        ({"user_id": "u", "context": {"context_items": []}}, "context_items inside context."),
        ({"user_id": "u", "context": {"note": "x" * 10_001}}, "a long context."),
        ({"user_id": "u", "context": {"x": float("nan")}}, "a body that cannot be stored"),
        ({"user_id": "\ud800"}, "a body that cannot be stored"),
        ({"user_id": "u", "exlude": ["i1"]}, "the unknown field 'exlude'."),
    ],
)
def test_what_cannot_be_answered_is_refused_in_a_sentence(body: Any, found: str) -> None:
    with pytest.raises(RequestError) as refusal:
        parse(body)
    assert refusal.value.found.startswith(found)
    assert refusal.value.expected.endswith(".")
    assert refusal.value.remedy.endswith(".")


def test_an_unknown_placement_is_told_the_known_ones() -> None:
    with pytest.raises(
        RequestError,
        match=r"home, product, product_similar, .*, cart, email, category, rerank, buy_again, discover, needs",
    ):
        parse({"user_id": "u", "placement": "attic"})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(
    st.one_of(
        JSON,
        st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=6),
        st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=6).map(lambda body: {"user_id": "u", **body}),
        st.fixed_dictionaries(
            {"user_id": st.text(min_size=1)},
            optional={
                "filter": st.dictionaries(st.sampled_from(["novel", "category", "price", "tags", "any", "not"]), JSON),
                "needs": st.dictionaries(st.sampled_from(["budget", "must", "nice", "price_importance"]), JSON),
                "context": st.dictionaries(st.sampled_from(["device", "x"]), JSON),
                "exclude": st.lists(st.text()),
                "k": st.integers(-1, 120),
            },
        ),
    )
)
@settings(max_examples=200, deadline=None)
def test_any_json_is_read_or_refused_and_nothing_else(body: Any) -> None:
    try:
        request = parse(body)
    except RequestError:
        return
    assert 1 <= request.k <= PLACEMENTS[request.placement].max_k
    assert request.subject
    json.loads(request.context_text())
    json.loads(request.filter_text())
