"""Placements as the operator declares them, through whole decisions: nothing declared is ever broken, all is traced."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from taste_scorer import TasteScorer

from recommender.attributes import attributes_of
from recommender.conditions import AllOf, parse_condition
from recommender.decision import pool
from recommender.decision.pipeline import Decision, DecisionRequest, decide
from recommender.decision.placements import PLACEMENTS, Boost, Diversity, Freshness, Pin, Placement
from recommender.decision.policy import SlatePolicy
from recommender.decision.protocols import Scored
from recommender.decision.replay import replay
from recommender.decision.trace import BYTES_PER_CANDIDATE, FIXED_BYTES, whereabouts
from recommender.errors import RequestError
from recommender.events import DAY_MS, DECISION_SCHEMA
from recommender.simulation import Shop
from recommender.states import ItemTable, UserStates

USER = "u0000007"
CALM = Placement("shelf", policy=SlatePolicy())
Decides = Callable[..., Decision]


@pytest.fixture(scope="module")
def at_ms(shop: Shop) -> int:
    return shop.config.end_ms + 9 * 3_600_000


@pytest.fixture(scope="module")
def decided(shop: Shop, items: ItemTable, at_ms: int) -> Decides:
    """A decision for somebody unknown at a placement of the test's own."""
    scorer = TasteScorer(shop, items)

    def run(placement: Placement, decision_id: str = "d1", **body: Any) -> Decision:
        known = {placement.name: placement}
        request = DecisionRequest.parse(
            {"user_id": USER, "placement": placement.name, **body}, decision_id, at_ms, known
        )
        return decide(request, None, [], scorer, known)

    return run


@pytest.fixture(scope="module")
def of_item(items: ItemTable) -> dict[str, dict[str, Any]]:
    return {row["item_id"]: row for row in items.table.to_pylist()}


def record(decision: Decision) -> dict[str, Any]:
    """The row as the mart gives it back."""
    return dict(pa.Table.from_pylist([decision.to_row()], schema=DECISION_SCHEMA).to_pylist()[0])


@dataclass(frozen=True)
class Told:
    """The fixtures above in one that prints short: Hypothesis writes out every argument of a failure."""

    decided: Decides = field(repr=False)
    of_item: dict[str, dict[str, Any]] = field(repr=False)
    scorer: TasteScorer = field(repr=False)


@pytest.fixture(scope="module")
def told(decided: Decides, of_item: dict[str, dict[str, Any]], shop: Shop, items: ItemTable) -> Told:
    return Told(decided, of_item, TasteScorer(shop, items))


@st.composite
def placements(draw: st.DrawFn) -> Placement:
    """Any mixture of what a placement may declare."""
    maybe = lambda values: st.none() | values  # noqa: E731
    category = {"category": draw(st.sampled_from(["toys", "garden", "kitchen"]))}
    pinned = draw(st.lists(st.sampled_from(range(0, 240, 7)), unique=True, max_size=3))
    places = draw(st.lists(st.integers(1, 12), unique=True, min_size=len(pinned), max_size=len(pinned)))
    freshness = st.builds(Freshness, st.floats(0, 1), st.just(10_000.0), st.integers(0, 5))
    return Placement(
        "shelf",
        default_k=draw(st.integers(1, 12)),
        filter=draw(
            st.sampled_from([AllOf(), parse_condition({"not": category}), parse_condition({"price": {"max": 40}})])
        ),
        diversity=Diversity(draw(st.floats(0, 0.9)), draw(maybe(st.integers(1, 4))), draw(maybe(st.integers(1, 3)))),
        boosts=draw(st.sampled_from([(), (Boost(parse_condition(category), 3.0),), (Boost(AllOf(), 0.5, -0.2),)])),
        pins=tuple(Pin(f"i{number:06d}", place) for number, place in zip(pinned, places, strict=True)),
        freshness=draw(maybe(freshness)),
        policy=SlatePolicy(draw(st.floats(0, 1)), draw(st.integers(1, 60))),
    )


@given(placements(), st.text(min_size=1, max_size=8), st.lists(st.integers(0, 239), max_size=20))
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_is_declared_holds_is_replayed_and_is_told(
    told: Told,
    placement: Placement,
    name: str,
    out: list[int],
) -> None:
    excluded = [f"i{number:06d}" for number in out]
    decision = told.decided(placement, name, exclude=excluded)
    slate = [told.of_item[item] for item in decision.slate_item_ids]
    assert decision.tier == "cold"
    assert all(item["is_available"] and item["item_id"] not in excluded for item in slate)
    if placement.filter.words.startswith("price"):
        assert all(item["price_micros"] <= 40_000_000 for item in slate)
    elif placement.filter.parts:
        assert all(f"not category {item['category']}" != placement.filter.words for item in slate)
    pinned = {pin.item_id for pin in placement.pins if pin.position <= placement.default_k}
    for column, cap in (
        ("category", placement.diversity.max_per_category),
        ("brand", placement.diversity.max_per_brand),
    ):
        if cap is not None:
            used = Counter(item[column] for item in slate if item["item_id"] not in pinned)
            assert all(count <= cap for count in used.values())
    row = record(decision)
    assert replay(row, None, [], told.scorer).is_equal
    assert len(row["trace"].encode()) <= BYTES_PER_CANDIDATE * len(row["candidate_item_ids"]) + FIXED_BYTES
    shown = [whereabouts(row, item) for item in row["slate_item_ids"]]
    assert [(found.stage, found.position) for found in shown] == [("shown", n) for n in range(1, len(shown) + 1)]
    lost = [whereabouts(row, item) for item in row["candidate_item_ids"] if item not in row["slate_item_ids"]]
    assert all(found.stage not in ("shown", "retrieval") and found.sentence for found in lost)
    removed = Counter(found.rule for found in lost if found.stage == "filter")
    assert removed == json.loads(row["verdicts"])


def test_an_item_that_nobody_proposed_says_so(decided: Decides) -> None:
    assert whereabouts(record(decided(CALM)), "no such item").stage == "retrieval"


def test_each_stage_names_itself(decided: Decides, of_item: dict[str, Any]) -> None:
    plain = decided(CALM, k=5)
    first, last = plain.slate_item_ids[0], plain.slate_item_ids[-1]
    sixth = decided(CALM, k=6).slate_item_ids[5]
    gone = whereabouts(record(decided(CALM, k=5, exclude=[first])), first)
    assert (gone.stage, gone.rule) == ("filter", "excluded")
    behind = whereabouts(record(plain), sixth)
    assert (behind.stage, behind.score_rank, behind.sentence) == ("score", 6, "Rank 6 by score; the slate ends at 5.")
    pinned = record(decided(replace(CALM, pins=(Pin(sixth, 1),)), k=5))
    assert whereabouts(pinned, last).stage == "pins"
    assert whereabouts(pinned, sixth).sentence.startswith("Shown at position 1 because the placement pins it")
    only = replace(CALM, diversity=Diversity(max_per_category=1))
    second = next(item for item in plain.candidate_item_ids if item != first and _alike(of_item, item, first))
    assert whereabouts(record(decided(only, k=5)), second).stage in ("caps", "filter")
    lifted = replace(CALM, boosts=(Boost(parse_condition({"brand": of_item[sixth]["brand"]}), add=1.0),))
    row = record(decided(lifted, k=5))
    assert "after boosts and wishes (brand" in whereabouts(row, sixth).sentence
    assert {whereabouts(row, item).stage for item in plain.slate_item_ids} <= {"boosts", "shown"}
    explored = [record(decided(replace(CALM, policy=SlatePolicy(0.5)), f"d{n}", k=5)) for n in range(8)]
    stages = {whereabouts(one, last).stage for one in explored}
    assert stages == {"shown", "exploration"}


def _alike(of_item: dict[str, Any], one: str, other: str) -> bool:
    return bool(of_item[one]["category"] == of_item[other]["category"] and of_item[one]["is_available"])


def test_a_record_of_two_hundred_candidates_has_a_trace_of_about_a_kilobyte(decided: Decides) -> None:
    row = record(decided(PLACEMENTS["home"]))
    assert len(row["candidate_item_ids"]) >= 100
    assert len(row["trace"]) < 6 * len(row["candidate_item_ids"]) + 200


def test_the_longest_words_stay_within_the_bound(decided: Decides, items: ItemTable) -> None:
    long = "\N{CLINKING BEER MUGS}" * 150
    condition = parse_condition({"any": [{"brand": long}, {"not": {"brand": long}}]})
    wordy = replace(
        CALM,
        boosts=(Boost(condition, 1.1),) * 16,
        pins=tuple(Pin(long + str(place), place) for place in range(1, 17)),
        freshness=Freshness(1.0, 1e5, 10**9),
        diversity=Diversity(0.5, 1, 1),
    )
    needs = {"must": [{"not": {"brand": long}}] * 20, "nice": [{"when": {"brand": long}}] * 30, "budget": 1e6}
    row = record(decided(wordy, k=100, needs=needs, filter={"not": {"brand": long}}))
    assert len(row["trace"].encode()) <= BYTES_PER_CANDIDATE * len(row["candidate_item_ids"]) + FIXED_BYTES
    assert len(row["trace"].encode()) > 20_000


def test_new_items_get_their_share_although_nobody_retrieved_them(shop: Shop, items: ItemTable, at_ms: int) -> None:
    new = [row for row in range(len(items)) if items.integers("is_available")[row]][-30:]
    listed = np.zeros(len(items), np.int64)
    listed[new] = at_ms - DAY_MS
    place = items.table.schema.get_field_index("listed_ms")
    fresh_items = ItemTable(items.table.set_column(place, "listed_ms", pa.array(listed)), items.index)
    scorer = TasteScorer(shop, fresh_items, retrieved=20)
    known = {"shelf": replace(CALM, freshness=Freshness(0.3, 7.0, 5))}
    request = DecisionRequest.parse({"user_id": USER, "placement": "shelf", "k": 10}, "d1", at_ms, known)
    decision = decide(request, None, [], scorer, known)
    ids = {items.item_ids[row].as_py() for row in new}
    shown = [item in ids for item in decision.slate_item_ids]
    assert all(sum(shown[:place]) >= int(0.3 * place) for place in range(1, 11))
    assert "fresh" in decision.candidate_sources


def test_new_items_are_found_behind_many_that_everybody_has_met(
    shop: Shop, items: ItemTable, at_ms: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest are looked at eight times NEWEST at once: with 1 these are eight, and here nine were met already."""
    monkeypatch.setattr(pool, "NEWEST", 1)
    available = np.flatnonzero(items.integers("is_available"))[-20:]
    listed, met = np.zeros(len(items), np.int64), np.zeros(len(items), np.int64)
    listed[available] = at_ms - DAY_MS * np.linspace(1, 3, 20)  # the first of them is the newest
    met[available[:9]] = 1_000
    table = items.table
    for name, values in (("listed_ms", listed), ("event_count", met)):
        table = table.set_column(table.schema.get_field_index(name), name, pa.array(values.astype(np.int64)))
    scorer = TasteScorer(shop, ItemTable(table, items.index), retrieved=20)
    known = {"shelf": replace(CALM, freshness=Freshness(0.3, 7.0, 5))}
    decision = decide(
        DecisionRequest.parse({"user_id": USER, "placement": "shelf"}, "d1", at_ms, known), None, [], scorer, known
    )
    fresh = [
        item
        for item, source in zip(decision.candidate_item_ids, decision.candidate_sources, strict=True)
        if source == "fresh"
    ]
    assert fresh == [items.names[available[9]]]


def test_one_generator_alone_ranks_by_what_it_says(decided: Decides, of_item: dict[str, Any], shop: Shop) -> None:
    dear = decided(replace(CALM, generators=("dear",), rank_by="generator"), k=20)
    prices = [of_item[item]["price_micros"] for item in dear.slate_item_ids]
    assert prices == sorted(prices, reverse=True)
    assert dear.slate_scores == pytest.approx(np.log(np.array(prices, float)))


def test_needs_alone_answer_somebody_nobody_knows(decided: Decides, of_item: dict[str, Any]) -> None:
    needs = {"budget": 30, "must": [{"category": "toys"}], "nice": [{"when": {"tags": "rustic"}}]}
    decision = decided(replace(PLACEMENTS["needs"], name="shelf"), needs=needs, k=4)
    slate = [of_item[item] for item in decision.slate_item_ids]
    assert slate
    assert all(item["category"] == "toys" and item["price_micros"] <= 30_000_000 for item in slate)
    rustic = ["rustic" in item["tags"].split(",") for item in slate]
    assert rustic == sorted(rustic, reverse=True)
    for item, is_rustic in zip(decision.answer()["items"], rustic, strict=True):
        assert item["reason"] == (
            "meets price at most 30, category toys, tags rustic"
            if is_rustic
            else "meets price at most 30, category toys; not tags rustic"
        )
    told = json.loads(record(decision)["trace"])["needs"]
    assert told["words"] == ["price at most 30", "category toys", "tags rustic"]
    assert len(told["met"]) == len(slate)


def test_a_must_that_nothing_meets_is_given_up_and_said(decided: Decides) -> None:
    needs = {"must": [{"category": "toys"}, {"price": {"max": 0.01}}]}
    decision = decided(replace(PLACEMENTS["needs"], name="shelf"), needs=needs)
    assert len(decision.slate_item_ids) > 0
    reasons = [item["reason"] for item in decision.answer()["items"]]
    assert all(
        reason.endswith("given up, because nothing had it together with the rest: price at most 0.01")
        for reason in reasons
    )


def test_elsewhere_needs_filter_and_lift_the_hybrid(decided: Decides, of_item: dict[str, Any]) -> None:
    needs = {"must": [{"price": {"max": 40}}], "nice": [{"when": {"category": "toys"}, "weight": 5}]}
    plain, asked = decided(CALM, k=10), decided(CALM, k=10, needs=needs)
    assert all(of_item[item]["price_micros"] <= 40_000_000 for item in asked.slate_item_ids)
    toys = [sum(of_item[item]["category"] == "toys" for item in found.slate_item_ids) for found in (plain, asked)]
    assert toys[1] > toys[0]
    assert asked.verdicts["needs.1"] > 0


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"filter": {"colour": "red"}}, "filter by unknown attribute"),
        ({"needs": {"must": {"colur": 1}}}, "needs by unknown"),
    ],
)
def test_what_the_catalogue_does_not_have_cannot_be_asked_for(
    decided: Decides, body: dict[str, Any], told: str
) -> None:
    with pytest.raises(RequestError, match=told):
        decided(CALM, **body)


@pytest.mark.parametrize("name", ["category", "rerank", "needs"])
def test_a_placement_may_require_a_field(decided: Decides, name: str) -> None:
    with pytest.raises(RequestError, match=f"no {PLACEMENTS[name].requires[0]} in a request to the placement {name}"):
        decided(PLACEMENTS[name])


def test_caps_hold_in_the_popular_tier_too(shop: Shop, items: ItemTable, at_ms: int, of_item: dict[str, Any]) -> None:
    class Broken(TasteScorer):
        def score(self, user: UserStates, *arguments: Any) -> Any:
            raise RuntimeError("out of memory")

    known = {"shelf": replace(CALM, diversity=Diversity(0.5, 1), pins=(Pin("i000003", 2),))}
    request = DecisionRequest.parse({"user_id": USER, "placement": "shelf", "k": 6}, "d1", at_ms, known)
    decision = decide(request, None, [], Broken(shop, items), known)
    assert decision.tier == "popular"
    counts = Counter(of_item[item]["category"] for item in decision.slate_item_ids)
    assert len(decision.slate_item_ids) == 6
    assert set(counts.values()) == {1}
    if of_item["i000003"]["is_available"]:
        assert decision.slate_item_ids[1] == "i000003"


def test_explicit_needs_alone_beat_popularity_for_people_without_a_history(
    shop: Shop, items: ItemTable, at_ms: int
) -> None:
    """Each says which two categories they like most; what they are shown is judged by their true taste."""

    class Indifferent(TasteScorer):
        """Knows what is popular and nobody's taste."""

        def score(self, user: Any, context: Any, item_index: Any = None, *rest: Any) -> Scored:
            scored = super().score(user, context, item_index, *rest)
            quality = self.shop.catalogue.quality[scored.item_index].astype(np.float32)
            return replace(scored, scores=quality)

    scorer, everything = Indifferent(shop, items), np.arange(len(items))
    category = np.array(items.table["category"].to_pylist())
    gains = []
    for person in range(40):
        liked = shop.preference(person, everything, np.array([at_ms]))
        favourites = sorted(set(category), key=lambda name: -liked[category == name].mean())[:2]
        needs = {"nice": [{"when": {"category": name}, "weight": 2 - place} for place, name in enumerate(favourites)]}
        shown = []
        for asked in ({"placement": "needs", "needs": needs}, {"placement": "home"}):
            body = {"user_id": f"u{person:07d}", **asked}
            calm = {"needs": PLACEMENTS["needs"], "home": replace(PLACEMENTS["home"], policy=SlatePolicy())}
            decision = decide(DecisionRequest.parse(body, "d1", at_ms, calm), None, [], scorer, calm)
            shown.append(liked[items.positions(decision.slate_item_ids)].mean())
        gains.append(shown[0] - shown[1])
    gain = np.array(gains)
    assert gain.mean() - 2 * gain.std() / np.sqrt(len(gain)) > 0


TEXTS = st.sampled_from(["toys", "garden", "rustic", "nobody", ""])
SIMPLE = st.one_of(
    st.fixed_dictionaries({"category": st.lists(TEXTS, min_size=1, max_size=3)}),
    st.fixed_dictionaries({"tags": TEXTS}),
    st.fixed_dictionaries({"price": st.fixed_dictionaries({"max": st.floats(-1, 200)})}),
)
CONDITIONS = st.recursive(
    SIMPLE,
    lambda inner: st.one_of(
        st.fixed_dictionaries({"not": inner}),
        st.fixed_dictionaries({"any": st.lists(inner, min_size=1, max_size=3)}),
    ),
    max_leaves=5,
)
WISHES = st.fixed_dictionaries({"when": CONDITIONS}, optional={"weight": st.floats(0.1, 5)})
NEEDS = st.fixed_dictionaries(
    {"must": st.lists(CONDITIONS, max_size=3), "nice": st.lists(WISHES, min_size=1, max_size=3)},
    optional={"budget": st.floats(0, 200), "price_importance": st.floats(0, 5)},
)


@given(
    st.sampled_from([name for name in PLACEMENTS if name != "rerank"]),
    st.integers(1, 30),
    CONDITIONS,
    NEEDS,
    st.lists(st.integers(0, 260).map(lambda n: f"i{n:06d}"), max_size=4),
)
@settings(max_examples=60, deadline=None)
def test_every_sound_request_is_answered_by_the_model_within_its_own_conditions(
    told: Told, name: str, k: int, condition: dict[str, Any], needs: dict[str, Any], context: list[str]
) -> None:
    body = {"filter": condition, "needs": needs, "context_items": context, "k": k}
    decision = told.decided(PLACEMENTS[name], "d", **body)
    assert (decision.tier, decision.is_degraded) == ("cold", False)
    items = told.scorer.items
    shown = items.positions(decision.slate_item_ids)
    assert parse_condition(condition).holds(attributes_of(items), shown).all()
    assert not set(context) & set(decision.slate_item_ids)
    assert len(decision.answer()["items"]) == len(shown) <= k
    allowed = items.integers("is_available") > 0
    allowed &= parse_condition(condition).holds(attributes_of(items), np.arange(len(items)))
    allowed[[index for index in items.positions(context) if index >= 0]] = False
    if name not in ("buy_again",) and not needs["must"] and "budget" not in needs:
        assert len(shown) == min(k, int(allowed.sum()))
    assert replay(record(decision), None, [], told.scorer).is_equal
