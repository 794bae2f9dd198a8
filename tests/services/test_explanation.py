"""`nextbest explain`: the slate that a person would get, each place explained, and why another item is not in it."""

from __future__ import annotations

import json
from typing import Any

import pyarrow.parquet as pq
import pytest
from served_shop import LandedShop

from orchestration.cli import main
from recommender.errors import InputError
from services.explanation import explain

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def person(landed_shop: LandedShop) -> str:
    return landed_shop.user_ids[3]


@pytest.fixture(scope="module")
def slate(landed_shop: LandedShop, person: str) -> dict[str, Any]:
    return explain(landed_shop.workspace, person, k=5)


def test_every_place_is_explained(slate: dict[str, Any], landed_shop: LandedShop) -> None:
    assert slate["model_version"] == landed_shop.champion
    assert [item["position"] for item in slate["items"]] == [1, 2, 3, 4, 5]
    assert {item["stage"] for item in slate["items"]} == {"shown"}
    for item in slate["items"]:
        assert item["sentences"][0].startswith(f"Shown at position {item['position']} ")
        assert any(line.startswith("Proposed by ") for line in item["sentences"])
        assert item["figures"]["features"]


def test_the_same_question_gets_the_same_answer(landed_shop: LandedShop, person: str) -> None:
    again = explain(landed_shop.workspace, person, k=5, at_ms=landed_shop.as_of_ms)
    assert again == explain(landed_shop.workspace, person, k=5, at_ms=landed_shop.as_of_ms)


def test_why_not_names_the_stage_that_dropped_an_item(landed_shop: LandedShop, person: str) -> None:
    _, second = explain(landed_shop.workspace, person, k=2)["items"]
    (told,) = explain(landed_shop.workspace, person, second["item_id"], k=1)["items"]
    assert (told["stage"], told["position"], told["figures"]["rank"]) == ("score", None, 2)
    assert told["sentences"][0].endswith("the slate ends at 1.")
    state = pq.read_table(landed_shop.workspace.mart("user_states"), filters=[("user_id", "=", person)])
    bought = {item for ids in state["history_item_ids"].to_pylist() for item in ids}
    never = next(item_id for item_id in landed_shop.item_ids if item_id not in bought)
    (again,) = explain(landed_shop.workspace, person, never, "buy_again")["items"]
    assert (again["stage"], again["position"]) == ("retrieval", None)  # only what was bought is a candidate there


def test_an_unheard_of_item_is_answered_with_near_ones(landed_shop: LandedShop, person: str) -> None:
    known = landed_shop.item_ids[0]
    with pytest.raises(InputError, match=f"one of its .* items, for example .*{known}"):
        explain(landed_shop.workspace, person, known + "x")


def test_the_command_says_it_in_words_and_in_json(
    landed_shop: LandedShop, person: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NEXTBEST_HOME", str(landed_shop.workspace.root))
    assert main(["explain", "--user", person, "--k", "2"]) == 0
    words = capsys.readouterr().out
    assert words.count("Shown at position") == 2
    assert main(["explain", "--user", person, "--k", "2", "--json"]) == 0
    assert [item["position"] for item in json.loads(capsys.readouterr().out)["items"]] == [1, 2]
