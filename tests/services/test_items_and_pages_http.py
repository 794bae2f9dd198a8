"""The catalogue and the full answer over HTTP, through two workers: told at one door, served at the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any
from uuid import uuid4

import httpx
import numpy as np
import pytest
from served_shop import LandedShop, copy_shop, serving

from recommender.model.bundle import load_bundle
from services.journal import Journal
from services.keys import create_key

pytestmark = pytest.mark.slow

Ask = Callable[..., Any]


@pytest.fixture(scope="module")
def shop(landed_shop: LandedShop, tmp_path_factory: pytest.TempPathFactory) -> LandedShop:
    return copy_shop(landed_shop, tmp_path_factory.mktemp("catalogue") / "home", with_store=True)


@pytest.fixture(scope="module")
def keys(shop: LandedShop) -> dict[str, str]:
    return {role: create_key(shop.workspace, role) for role in ("read", "write", "admin")}


@pytest.fixture(scope="module")
def http(shop: LandedShop, keys: dict[str, str]) -> Iterator[httpx.Client]:
    serve = serving()
    yield next(serve)(shop).http
    next(serve, None)


@pytest.fixture
def ask(http: httpx.Client, keys: dict[str, str]) -> Ask:
    def asked(route: str, body: Any = None, role: str = "", status: int = 200) -> Any:
        role = role or ("write" if route == "items" else "read")
        headers = {"authorization": f"Bearer {keys[role]}"}
        path = f"/v1/{route}"
        answer = http.get(path, headers=headers) if body is None else http.post(path, json=body, headers=headers)
        assert answer.status_code == status, answer.text
        return answer.json()

    return asked


def settled(holds: Callable[[], bool]) -> None:
    """Usually the next request sees it; a busy machine may take longer. Then it holds, whichever worker answers."""
    until = time.monotonic() + 20
    while not all(holds() for _ in range(6)):
        assert time.monotonic() < until


def shown(answer: dict[str, Any]) -> list[str]:
    return [item["item_id"] for item in answer["items"]]


def test_good_rows_are_stored_bad_ones_are_told_apart(ask: Ask):
    rows = [{"item_id": "good"}, {"item_id": "bad", "price": -1}, {"title": "nameless"}]
    answer = ask("items", {"items": rows})
    assert (answer["stored"], answer["unchanged"]) == (1, 0)
    assert [(refused["row"], refused["reason"].split(" ")[0]) for refused in answer["rejected"]] == [
        (1, "price"),
        (2, "item_id"),
    ]
    assert ask("items", {"item_id": "good"})["unchanged"] == 1
    assert "price" in ask("items", {"item_id": "bad", "price": -1}, status=400)["error"]
    ask("items", {"item_id": "good"}, role="read", status=403)


def test_availability_and_price_hold_in_every_worker(ask: Ask, shop: LandedShop):
    user_id, item_id = shop.user_ids[0], shop.item_ids[0]
    for number in range(3):
        ask("items", {"item_id": item_id, "available": False})
        settled(lambda: shown(ask("recommend", {"user_id": user_id, "candidates": [item_id]})) == [])
        ask("items", {"item_id": item_id, "available": True, "price": 7_000 + number})
        body = {"user_id": user_id, "filter": {"price": {"min": 7_000 + number}}, "fields": ["price", "title"]}
        settled(lambda body=body: shown(ask("recommend", body)) == [item_id])
        (item,) = ask("recommend", body)["items"]
        assert item["item"] == {"price": 7_000 + number, "title": item["title"]}


def test_an_item_uploaded_a_minute_ago_reaches_the_people_of_its_taste(ask: Ask, shop: LandedShop):
    """A new item of one category: who chooses mostly from it is shown it more often, and higher up, than the others."""
    items = load_bundle(shop.bundle).items
    row = items.index[shop.item_ids[5]]
    text = {name: items.table[name][row].as_py() for name in ("title", "description", "category", "brand", "tags")}
    ask("items", {"item_id": "uploaded", "price": items.table["price_micros"][row].as_py() / 1e6, **text})
    settled(lambda: shown(ask("recommend", {"user_id": "anybody", "candidates": ["uploaded"]})) == ["uploaded"])
    liking, ranks = [], []
    for user_id in shop.user_ids[:60]:
        listed = ask("recommend", {"user_id": user_id, "k": 50, "fields": ["category"]})["items"]
        own = [item["item"]["category"] == text["category"] for item in listed if item["source"] == "history"]
        place = [item["rank"] for item in listed if item["item_id"] == "uploaded"]
        liking.append(sum(own) / max(len(own), 1))
        ranks.append(place[0] if place else 51)
    order = np.argsort(liking)
    others, fond = np.array(ranks)[order[:20]], np.array(ranks)[order[-20:]]
    assert fond.mean() < others.mean()
    assert fond.min() <= 20


def test_a_new_item_can_be_found_by_filter_reranked_shown_beside_and_named_in_an_event(ask: Ask, keys: dict[str, str]):
    ask("items", {"item_id": "rare", "title": "Rare thing", "finish": "lacquered"})
    somebody = {"user_id": "passer-by"}
    settled(lambda: shown(ask("recommend", {**somebody, "candidates": ["rare"]})) == ["rare"])
    assert shown(ask("recommend", {**somebody, "filter": {"finish": "lacquered"}})) == ["rare"]
    assert shown(ask("recommend", {**somebody, "candidates": ["rare", "unknown"]})) == ["rare"]
    assert "rare" not in shown(ask("recommend", {**somebody, "placement": "product", "context_items": ["rare"]}))
    click = {"userId": "passer-by", "event": "Product Clicked", "messageId": "rare-1"}
    ask("track", {**click, "properties": {"product_id": "rare"}}, role="write")
    record = ask(f"decisions/{ask('recommend', somebody)['decision_id']}")
    assert dict(zip(record["candidate_item_ids"], record["candidate_sources"], strict=True))["rare"] == "history"


def test_a_decision_replays_to_the_bit_whatever_was_told_since(ask: Ask, shop: LandedShop):
    user_id = shop.user_ids[7]
    made = ask("recommend", {"user_id": user_id, "k": 12})
    seq = ask(f"decisions/{made['decision_id']}")["catalogue_seq"]
    ask("items", {"items": [{"item_id": shown(made)[0], "price": 123.0, "title": "Renamed"}, {"item_id": "later"}]})
    settled(lambda: shown(ask("recommend", {"user_id": user_id, "candidates": ["later"]})) == ["later"])
    later = ask("recommend", {"user_id": user_id, "k": 12})
    for answer, expected in ((made, seq), (later, seq + 2)):
        record = ask(f"decisions/{answer['decision_id']}")
        assert record["catalogue_seq"] == expected
        assert record["replay"] == {
            "is_equal": True,
            "features_are_equal": True,
            "scores_are_equal": True,
            "choice_is_equal": True,
            "said": "The same, bit for bit.",
        }


def test_decisions_made_beside_each_other_replay_to_the_bit(ask: Ask, shop: LandedShop):
    given = {"candidates": list(shop.item_ids[:30])}
    bodies = [{"user_id": user, **(given if place % 2 else {})} for place, user in enumerate(shop.user_ids[:24])]
    with ThreadPoolExecutor(12) as callers:
        made = list(callers.map(lambda body: ask("recommend", body), bodies))
    for body, answer in zip(bodies, made, strict=True):
        record = ask(f"decisions/{answer['decision_id']}")
        assert record["user_id"] == body["user_id"]
        assert record["replay"]["is_equal"]


def test_pages_never_repeat_an_item_and_are_the_same_when_asked_again(ask: Ask, shop: LandedShop):
    first = ask("recommend", {"user_id": shop.user_ids[9], "k": 7})
    seen = shown(first)
    for page in (2, 3, 4):
        body = {"decision_id": first["decision_id"], "page": page}
        answer = ask("recommend", body)
        assert ask("recommend", body) == answer
        assert [item["rank"] for item in answer["items"]] == [7 * (page - 1) + place for place in range(1, 8)]
        assert not set(shown(answer)) & set(seen)
        seen += shown(answer)
        record = ask(f"decisions/{answer['decision_id']}")
        assert (record["parent_decision_id"], record["first_position"]) == (first["decision_id"], 7 * (page - 1) + 1)
        assert record["replay"]["is_equal"]
    assert "No decision" in ask("recommend", {"decision_id": "none", "page": 2}, status=404)["error"]
    assert "together with a page" in ask("recommend", {**body, "user_id": "u"}, status=400)["error"]
    for page in (1, 0, "2", True, None, 10**9):
        assert "page = " in ask("recommend", {**body, "page": page}, status=400)["error"]


def test_reasons_come_in_sentences_and_what_a_person_did_only_for_admins(ask: Ask, shop: LandedShop):
    body = {"user_id": shop.user_ids[11], "k": 2, "explain": True}
    for_shop, for_admin = (ask("recommend", body, role=role)["items"][0] for role in ("read", "admin"))
    assert for_shop["reasons"][0].startswith("Shown at position 1")
    assert "figures" not in for_shop
    assert for_admin["figures"]["features"]
    decision_id = ask("recommend", {"user_id": shop.user_ids[11], "k": 2})["decision_id"]
    mine, theirs = (ask(f"decisions/{decision_id}", role=role) for role in ("admin", "read"))
    assert "slate_features" not in theirs
    assert len(mine["slate_features"]) == 2
    assert [way["position"] for way in theirs["explanation"]] == [1, 2]
    absent = next(item for item in theirs["candidate_item_ids"] if item not in theirs["slate_item_ids"])
    (why,) = ask(f"decisions/{decision_id}?item_id={absent}&explain=true")["explanation"]
    assert (why["position"], why["stage"]) == (None, "score")
    assert why["reasons"]


@pytest.mark.parametrize("fields", [[], "title", ["nonsense"], [1], ["title"] * 51, [""]])
def test_fields_that_nothing_has_are_refused(ask: Ask, fields: Any):
    assert "field" in ask("recommend", {"user_id": "u", "fields": fields}, status=400)["error"]


def test_everything_that_was_told_survives_in_the_journal(ask: Ask, shop: LandedShop):
    names = [f"kept-{uuid4().hex}" for _ in range(300)]
    assert ask("items", {"items": [{"item_id": name, "price": 1} for name in names]})["stored"] == 300
    with closing(Journal(shop.workspace.journal)) as journal:
        told = journal.catalogue_changes(0, journal.catalogue_seq())["item_id"].to_pylist()
    assert set(names) <= set(told)
