"""The operator's file under a running service, taken up when it changes, kept when broken; and needs on the wire."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from recommender.configuration import parse_configuration
from recommender.errors import ConfigurationError
from recommender.workspace import Workspace
from services.operator_file import OperatorFile
from services.server import start_background


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


def default_k(operator: OperatorFile) -> int:
    return operator.configuration.placements["home"].default_k


def test_a_change_is_taken_up_and_a_broken_file_keeps_the_last_good_one(
    workspace: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    operator = OperatorFile(workspace)
    operator.refresh()
    assert default_k(operator) == 10
    workspace.configuration.write_text("placements: {home: {default_k: 3}}")
    operator.refresh()
    assert default_k(operator) == 3
    with caplog.at_level(logging.INFO):
        workspace.configuration.write_text("placements: {home: {default_q: 44}}")
        operator.refresh()
        operator.refresh()
    assert default_k(operator) == 3
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 1, "a broken file is told once, not at every look"
    assert "the placements stay as they were" in told[0]
    assert "line 1, key placements.home.default_q" in told[0]
    workspace.configuration.unlink()
    operator.refresh()
    assert default_k(operator) == 10


def test_a_service_does_not_start_on_a_broken_file(workspace: Workspace) -> None:
    workspace.configuration.write_text("placements: {home: {default_q: 44}}")
    with pytest.raises(ConfigurationError, match=r"Did you mean default_k\?"):
        start_background(workspace, 1)


@pytest.mark.slow
def test_a_running_service_follows_its_file(own_shop: Any, serve: Any) -> None:
    file = own_shop.workspace.configuration
    pinned = own_shop.item_ids[-1]
    file.write_text(f"placements: {{home: {{default_k: 4, pins: [{{item: {pinned}, position: 2}}]}}}}")
    shop = serve(own_shop)

    def answer() -> list[dict[str, Any]]:
        return list(shop.post("recommend", {"user_id": own_shop.user_ids[0]}).raise_for_status().json()["items"])

    assert len(answer()) == 4
    assert (answer()[1]["item_id"], answer()[1]["propensity"]) == (pinned, 1.0)
    file.write_text("placements: {home: {default_k: 0}}")  # refused: the last good one stays
    time.sleep(1.5)
    assert len(answer()) == 4
    arms = f"{{plain: {{share: 0.5}}, pinned: {{share: 0.5, pins: [{{item: {pinned}, position: 1}}]}}}}"
    trial = f"experiments: {{spring: {{placement: home, arms: {arms}}}}}"
    file.write_text(f"placements: {{home: {{default_k: 2}}}}\n{trial}")
    deadline = time.monotonic() + 30
    while [len(answer()) for _ in range(6)] != [2] * 6:  # whichever worker answers
        assert time.monotonic() < deadline
        time.sleep(0.2)
    experiment = parse_configuration(trial.encode()).experiments["spring"]
    for user in own_shop.user_ids[:12]:
        told = shop.post("recommend", {"user_id": user}).raise_for_status().json()
        assert told["variant"] == f"champion/spring:{experiment.arm_of(user)}"
        assert (told["items"][0]["item_id"] == pinned) == (experiment.arm_of(user) == "pinned")
    record = shop.http.get(f"/v1/decisions/{told['decision_id']}").json()
    assert (record["variant"], record["replay"]["is_equal"]) == (told["variant"], True)
    assert "/" not in shop.post("recommend", {"user_id": user, "placement": "cart"}).json()["variant"]


@pytest.mark.slow
def test_needs_are_answered_over_http_with_reasons_for_somebody_unknown(served: Any) -> None:
    needs = {"budget": 25, "nice": [{"when": {"tags": "rustic"}}], "price_importance": 0.2}
    response = served.post("recommend", {"anonymous_id": "stranger", "placement": "needs", "needs": needs, "k": 5})
    answer = response.raise_for_status().json()
    assert len(answer["items"]) == 5
    assert all(item["reason"].startswith("meets price at most 25") for item in answer["items"])
    assert [item["score"] for item in answer["items"]] == sorted((i["score"] for i in answer["items"]), reverse=True)
    record = served.http.get(f"/v1/decisions/{answer['decision_id']}").json()
    assert json.loads(record["filter"])["needs"] == needs
    assert json.loads(record["trace"])["needs"]["words"] == ["price at most 25", "tags rustic", "low price"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"placement": "needs"}, "no needs in a request to the placement needs"),
        ({"needs": {"budget": -1, "must": 3}}, "needs.must = 3"),
        ({"needs": {"must": {"colour": "red"}}}, "needs by unknown attribute 'colour'"),
        ({"filter": {"any": [{"colour": "red"}]}}, "filter by unknown attribute 'colour'"),
        ({"placement": "rerank"}, "no candidates"),
    ],
)
def test_what_cannot_be_asked_for_is_refused_over_http(served: Any, body: dict[str, Any], told: str) -> None:
    response = served.post("recommend", {"user_id": "u", **body})
    assert response.status_code == 400
    assert told in response.json()["error"]


@pytest.mark.slow
def test_beside_a_product_only_its_neighbours_are_proposed_and_it_is_not(served: Any) -> None:
    shown = served.shop.item_ids[0]
    asked = {"user_id": served.shop.user_ids[3], "placement": "product_bought_together", "context_items": [shown]}
    answer = served.post("recommend", asked).raise_for_status().json()
    record = served.http.get(f"/v1/decisions/{answer['decision_id']}").json()
    assert len(answer["items"]) == 4
    assert shown not in record["slate_item_ids"]
    trace = json.loads(record["trace"])
    assert trace["generators"] == ["bought_together", "session", "covisitation"]
    assert set(record["candidate_sources"]) <= {*trace["generators"], "popular"}


@pytest.mark.slow
def test_the_same_needs_lift_the_hybrid_elsewhere(served: Any) -> None:
    needs = {"nice": [{"when": {"price": {"max": 12}}}]}
    body = {"user_id": served.shop.user_ids[4], "k": 10}
    prices = pq.read_table(served.shop.workspace.mart("items"), columns=["item_id", "price_micros"]).to_pylist()
    price = {row["item_id"]: row["price_micros"] for row in prices}
    cheap = []
    for asked in (body, {**body, "needs": needs}):
        items = served.post("recommend", asked).raise_for_status().json()["items"]
        cheap.append(sum(price[item["item_id"]] <= 12_000_000 for item in items))
        assert all(("reason" in item) == ("needs" in asked) for item in items)
    assert cheap[1] > cheap[0]
