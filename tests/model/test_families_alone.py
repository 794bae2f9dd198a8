"""Every family by itself is a placement's strategy: it proposes, it ranks, and its slates are replayed bit for bit."""

from __future__ import annotations

import json
from types import MappingProxyType

import pytest

from recommender.decision.pipeline import DecisionRequest, decide
from recommender.decision.placements import Placement
from recommender.decision.policy import SlatePolicy
from recommender.decision.pool import POPULAR
from recommender.decision.replay import replay
from recommender.events import DAY_MS
from recommender.model.bundle import Bundle
from recommender.retrieval.families import GENERATORS
from recommender.states import UserStates

PEOPLE = 3
# The small shop lists nothing new, knows no segments and no typed pairs: their slates are filled by popularity.
SILENT = ("arrivals", "bought_together", "popular_segment")


def slates(bundle: Bundle, users: UserStates, placement: Placement) -> list[dict[str, object]]:
    """Records of the first people's slates; each is replayed on the way."""
    known, at_ms = MappingProxyType({placement.name: placement}), int(users.integers("as_of_ms")[0]) + DAY_MS // 2
    found = []
    for state in users.slice(0, PEOPLE).table.to_pylist():
        body = {"user_id": state["user_id"], "placement": placement.name, "k": 6}
        decision = decide(DecisionRequest.parse(body, state["user_id"], at_ms, known), state, [], bundle, known)
        assert (decision.tier, decision.is_degraded) == ("full", False)
        assert replay(decision.to_row(), state, [], bundle).is_equal
        found.append(decision.to_row())
    return found


@pytest.mark.parametrize("name", GENERATORS)
def test_a_generator_alone_proposes_and_ranks(bundle: Bundle, shop, name: str) -> None:
    alone = Placement("shelf", generators=(name,), rank_by="generator", policy=SlatePolicy(0.1))
    proposed = 0
    for row in slates(bundle, shop.now.users, alone):
        assert set(row["candidate_sources"]) <= {name, POPULAR}
        proposed += row["candidate_sources"].count(name)
        if "E" not in json.loads(row["trace"])["ways"]:
            assert row["slate_scores"] == sorted(row["slate_scores"], reverse=True)
    assert proposed > 0 or name in SILENT


@pytest.fixture(scope="module")
def hybrid_slates(bundle: Bundle, shop) -> list[dict[str, object]]:
    return slates(bundle, shop.now.users, Placement("shelf", policy=SlatePolicy()))


@pytest.mark.parametrize("name", GENERATORS)
def test_a_generator_alone_may_be_ranked_by_the_model(bundle: Bundle, shop, hybrid_slates, name: str) -> None:
    ranked = slates(bundle, shop.now.users, Placement("shelf", generators=(name,), policy=SlatePolicy()))
    for row, hybrid in zip(ranked, hybrid_slates, strict=True):
        assert row["slate_scores"] == sorted(row["slate_scores"], reverse=True)
        of_hybrid = dict(zip(hybrid["candidate_item_ids"], hybrid["candidate_scores"], strict=True))
        own = zip(row["candidate_item_ids"], row["candidate_scores"], strict=True)
        assert all(of_hybrid.get(item, score) == score for item, score in own), "a score depends on no other candidate"


def test_needs_alone_are_answered_with_the_real_model_too(bundle: Bundle, shop) -> None:
    known = {"needs": Placement("needs", generators=("knowledge",), rank_by="generator", policy=SlatePolicy())}
    body = {"anonymous_id": "x", "placement": "needs", "needs": {"must": {"category": "tea"}, "price_importance": 1}}
    decision = decide(DecisionRequest.parse(body, "d1", shop.now.as_of_ms, known), None, [], bundle, known)
    category = dict(zip(bundle.items.item_ids.to_pylist(), bundle.items.table["category"].to_pylist(), strict=True))
    assert decision.slate_item_ids
    assert {category[item] for item in decision.slate_item_ids} == {"tea"}
    assert replay(decision.to_row(), None, [], bundle).is_equal
