"""A decision shows what may be shown, degrades instead of failing, and its record can be computed again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace as changed
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from taste_scorer import TasteScorer

from recommender.decision.pipeline import Decision, DecisionRequest, decide, state_of
from recommender.decision.placements import PLACEMENTS
from recommender.decision.policy import seed_of
from recommender.decision.protocols import Scored
from recommender.decision.replay import replay
from recommender.events import DAY_MS, DECISION_SCHEMA, Interaction
from recommender.simulation import Shop
from recommender.states import Contexts, ItemTable, UserStates, empty_state, merge_live

USER = "u0000007"


@pytest.fixture
def at_ms(shop: Shop) -> int:
    return shop.config.end_ms + 9 * 3_600_000


@pytest.fixture
def state(shop: Shop, items: ItemTable) -> dict[str, Any]:
    """The stored state of somebody who bought the first six available items and looked at six more."""
    ids = available(items)
    start = shop.config.start_ms
    events = [Interaction(f"p{n}", USER, "purchase", start + n * DAY_MS, ids[n]) for n in range(6)]
    events += [Interaction(f"v{n}", USER, "view", start + n * DAY_MS, ids[n]) for n in range(6, 12)]
    return {**merge_live(empty_state(USER), events), "as_of_ms": shop.config.end_ms}


@pytest.fixture
def ask(scorer: TasteScorer, state: dict[str, Any], at_ms: int) -> Callable[..., Decision]:
    """Decide for a request body, as the service does."""

    def decided(decision_id: str = "d1", **body: Any) -> Decision:
        request = DecisionRequest.parse({"user_id": USER, **body}, decision_id, at_ms)
        return decide(request, state, [], scorer)

    return decided


def available(items: ItemTable) -> list[str]:
    table = items.table
    return [
        i for i, shown in zip(table["item_id"].to_pylist(), table["is_available"].to_pylist(), strict=True) if shown
    ]


class BrokenScorer(TasteScorer):
    """A model that raises once it is asked."""

    def score(
        self, user: UserStates, context: Contexts, item_index: Any = None, novel: bool = False, generators: Any = None
    ) -> Scored:
        raise RuntimeError("out of memory")


class NotFiniteScorer(TasteScorer):
    """A model whose scores are not numbers."""

    def score(
        self, user: UserStates, context: Contexts, item_index: Any = None, novel: bool = False, generators: Any = None
    ) -> Scored:
        scored = super().score(user, context, item_index, novel, generators)
        return changed(scored, scores=np.full(len(scored.scores), np.nan, np.float32))


def test_without_exploration_the_best_liked_items_come_in_order(
    scorer: TasteScorer, shop: Shop, items: ItemTable, at_ms: int
) -> None:
    calm = {"home": changed(PLACEMENTS["home"], policy=PLACEMENTS["buy_again"].policy)}
    request = DecisionRequest.parse({"user_id": USER, "k": 5}, "d1", at_ms, calm)
    decision = decide(request, None, [], scorer, calm)
    still_there = [item for item in shop.oracle_slate(USER, len(items), at_ms) if item in set(available(items))]
    assert decision.slate_item_ids == still_there[:5]
    assert decision.slate_propensities == [1.0] * 5


def test_the_answer_names_everything_a_shop_needs(ask: Callable[..., Decision], items: ItemTable) -> None:
    answer = ask(k=4).answer()
    told = {"decision_id", "placement", "items", "model_version", "policy", "variant", "degraded", "recorded"}
    assert set(answer) == told
    assert [item["rank"] for item in answer["items"]] == [1, 2, 3, 4]
    titles = dict(zip(items.table["item_id"].to_pylist(), items.table["title"].to_pylist(), strict=True))
    assert all(item["title"] == titles[item["item_id"]] and item["title"] for item in answer["items"])
    assert answer["policy"] == "explore_slots(0.1,50)"
    assert answer["degraded"] is False


def test_the_row_is_the_schemas_row(ask: Callable[..., Decision], at_ms: int, shop: Shop) -> None:
    row = ask(k=4, context_items=["i000003"]).to_row()
    assert list(row) == DECISION_SCHEMA.names
    stored = pa.Table.from_pylist([row], schema=DECISION_SCHEMA).to_pylist()[0]
    assert stored["decided_at"] == datetime.fromtimestamp(at_ms / 1000, UTC).replace(tzinfo=None)
    assert stored["state_as_of"] == datetime.fromtimestamp(shop.config.end_ms / 1000, UTC).replace(tzinfo=None)
    assert stored["tier"] == "full"
    assert stored["seed"] == seed_of("d1")
    assert len(stored["slate_features"]) == 4 * 5 * 4  # items × features × bytes
    assert np.float32(stored["slate_scores"][0]) in np.array(stored["candidate_scores"], np.float32)
    assert set(stored["slate_item_ids"]) <= set(stored["candidate_item_ids"])


def test_the_same_id_decides_the_same_and_other_ids_explore(ask: Callable[..., Decision]) -> None:
    assert ask("d1").to_row() == ask("d1").to_row()
    slates = {tuple(ask(f"d{n}").slate_item_ids) for n in range(30)}
    assert len(slates) > 5


def test_rules_are_applied_and_counted(ask: Callable[..., Decision], items: ItemTable) -> None:
    plain = ask()
    decision = ask(exclude=list(plain.slate_item_ids[:2]), context_items=[plain.slate_item_ids[2]])
    assert not set(plain.slate_item_ids[:3]) & set(decision.slate_item_ids)
    assert (decision.verdicts["excluded"], decision.verdicts["in_context"]) == (2, 1)
    assert set(decision.slate_item_ids) <= set(available(items))


def test_novel_and_discover_show_nothing_that_was_bought(ask: Callable[..., Decision], items: ItemTable) -> None:
    bought = set(available(items)[:6])
    for decision in (ask(k=50, filter={"novel": True}), ask(k=50, placement="discover")):
        assert len(decision.slate_item_ids) == 50
        assert not bought & set(decision.slate_item_ids)


def test_buy_again_shows_what_was_bought_and_nothing_else(ask: Callable[..., Decision], items: ItemTable) -> None:
    assert sorted(ask(k=10, placement="buy_again").slate_item_ids) == available(items)[:6]


def test_nobody_who_bought_nothing_buys_again(scorer: TasteScorer, at_ms: int) -> None:
    request = DecisionRequest.parse({"user_id": USER, "placement": "buy_again"}, "d1", at_ms)
    decision = decide(request, None, [], scorer)
    assert (decision.slate_item_ids, decision.is_degraded) == ([], False)
    assert replay(decision.to_row(), None, [], scorer).is_equal


def test_given_candidates_are_the_only_ones(ask: Callable[..., Decision], items: ItemTable) -> None:
    chosen = available(items)[20:23]
    decision = ask(k=10, candidates=[*chosen, "no such item", chosen[0]])
    assert sorted(decision.slate_item_ids) == chosen
    assert sorted(decision.candidate_item_ids) == chosen


def test_a_narrow_filter_is_topped_up_from_the_whole_catalogue(
    ask: Callable[..., Decision], items: ItemTable, scorer: TasteScorer
) -> None:
    object.__setattr__(scorer, "retrieved", 40)  # of which a few pass
    decision = ask(k=15, filter={"category": ["garden"]})
    garden = [
        item["item_id"] for item in items.table.to_pylist() if item["category"] == "garden" and item["is_available"]
    ]
    assert len(garden) > 5
    assert len(decision.slate_item_ids) == min(15, len(garden))
    assert set(decision.slate_item_ids) <= set(garden)
    assert set(decision.slate_sources) == {"taste", "popular"}
    assert len(set(decision.candidate_item_ids)) == len(decision.candidate_item_ids)
    assert decision.is_degraded is False
    assert len(decision.slate_features) == len(decision.slate_item_ids) * 5 * 4


def test_somebody_unknown_gets_a_cold_slate_from_the_same_model(scorer: TasteScorer, at_ms: int) -> None:
    request = DecisionRequest.parse({"anonymous_id": "x"}, "d1", at_ms)
    decision = decide(request, None, [], scorer)
    assert (decision.tier, decision.is_degraded, len(decision.slate_item_ids)) == ("cold", False, 10)
    assert decision.to_row()["state_as_of"] is None


def test_what_the_caller_did_without_is_said(scorer: TasteScorer, at_ms: int) -> None:
    request = DecisionRequest.parse({"user_id": USER}, "d1", at_ms)
    assert decide(request, None, [], scorer, is_degraded=True).answer()["degraded"] is True


@pytest.mark.parametrize("broken", [BrokenScorer, NotFiniteScorer])
def test_a_bad_model_still_answers_from_popularity_within_the_rules(
    broken: type[TasteScorer], shop: Shop, items: ItemTable, state: dict[str, Any], at_ms: int
) -> None:
    scorer = broken(shop, items)
    popular = [items.item_ids[row].as_py() for row in scorer.popular(len(items)).item_index]
    request = DecisionRequest.parse({"user_id": USER, "exclude": popular[:3], "filter": {"novel": True}}, "d1", at_ms)
    decision = decide(request, state, [], scorer)
    may_be_shown = set(available(items)[6:]) - set(popular[:3])
    assert decision.slate_item_ids == [item for item in popular if item in may_be_shown][:10]
    assert set(decision.slate_sources) == {"popular"}
    assert (decision.tier, decision.is_degraded, decision.policy) == ("popular", True, "greedy")
    assert decision.slate_features == b""
    assert replay(decision.to_row(), state, [], scorer).is_equal


def test_a_stored_state_that_cannot_be_read_degrades_too(scorer: TasteScorer, at_ms: int) -> None:
    request = DecisionRequest.parse({"user_id": USER}, "d1", at_ms)
    decision = decide(request, {"as_of_ms": 1, "history_item_ids": "torn"}, [], scorer)
    assert (decision.tier, len(decision.slate_item_ids)) == ("popular", 10)


def test_live_events_reach_the_next_decision(
    scorer: TasteScorer, state: dict[str, Any], items: ItemTable, at_ms: int
) -> None:
    request = DecisionRequest.parse({"user_id": USER, "filter": {"novel": True}, "k": 100}, "d1", at_ms)
    wanted = decide(request, state, [], scorer).slate_item_ids[0]
    bought = Interaction("live", USER, "purchase", at_ms - 1, wanted)
    decision = decide(request, state, [bought], scorer, journal_seq=17)
    assert wanted not in decision.slate_item_ids
    assert decision.to_row()["journal_seq"] == 17


def test_nulls_and_foreign_time_types_of_an_online_store_are_read(state: dict[str, Any]) -> None:
    online = {**state, "as_of": datetime(2030, 1, 1, tzinfo=UTC), "created_at": None, "device": None, "extra": 1}
    read = state_of(USER, online, [])
    assert (read["as_of"], read["device"]) == (state["as_of_ms"], "")
    assert UserStates.from_rows([read]).integers("as_of_ms").tolist() == [state["as_of_ms"]]


def recorded(decisions: Sequence[Decision]) -> list[dict[str, Any]]:
    """Rows as the mart gives them back."""
    return list(pa.Table.from_pylist([decision.to_row() for decision in decisions], schema=DECISION_SCHEMA).to_pylist())


def test_a_record_is_computed_again_bit_for_bit(scorer: TasteScorer, state: dict[str, Any], at_ms: int) -> None:
    live = [Interaction("live", USER, "view", at_ms - 5, "i000009", device="tablet")]
    asked = {"k": 7, "context": {"device": "mobile"}, "context_items": ["i000001", "i000002"]}
    asked |= {"filter": {"price": {"min": 1}}, "needs": {"budget": 30, "nice": [{"when": {"category": "toys"}}]}}
    given = {"candidates": available(scorer.items)[10:40]}
    bodies = [{"placement": name, **asked, **(given if name == "rerank" else {})} for name in PLACEMENTS]
    requests = [
        DecisionRequest.parse({"user_id": USER, **body}, f"d{n}", at_ms + n) for n, body in enumerate(bodies * 5)
    ]
    rows = recorded([decide(request, state, live, scorer) for request in requests])
    assert all(replay(row, state, live, scorer).is_equal for row in rows)


def test_a_replay_notices_another_state_another_moment_and_another_model(
    scorer: TasteScorer, state: dict[str, Any], shop: Shop, items: ItemTable, at_ms: int
) -> None:
    request = DecisionRequest.parse({"user_id": USER}, "d1", at_ms)
    row = recorded([decide(request, state, [], scorer)])[0]
    shown = row["slate_item_ids"][0]
    assert replay(row, state, [], scorer).is_equal
    assert not replay(row, state, [Interaction("x", USER, "view", at_ms - 1, shown)], scorer).is_equal
    later = {**row, "decided_at": datetime.fromtimestamp((at_ms + DAY_MS) / 1000, UTC).replace(tzinfo=None)}
    assert not replay(later, state, [], scorer).is_equal
    assert not replay(row, state, [], TasteScorer(shop, items, version="truth-2")).is_equal
    flipped = bytearray(row["slate_features"])
    flipped[0] ^= 1
    assert not replay({**row, "slate_features": bytes(flipped)}, state, [], scorer).features_are_equal
