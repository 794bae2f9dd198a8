"""The running service over HTTP: what it answers, what it refuses, and that what it was told counts at once."""

from __future__ import annotations

import gzip
import json
import re
from typing import Any

import httpx
import numpy as np
import pyarrow.parquet as pq
import pytest

from recommender.events import DECISION_SCHEMA
from recommender.model.bundle import load_bundle
from services.journal import export_journal

pytestmark = pytest.mark.slow


def track(event: str, message_id: str, user_id: str, **properties: Any) -> dict[str, Any]:
    return {"type": "track", "event": event, "messageId": message_id, "userId": user_id, "properties": properties}


def recommended(served: Any, **body: Any) -> dict[str, Any]:
    answer = served.post("recommend", body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def exported_events(served: Any) -> dict[str, dict[str, Any]]:
    export_journal(served.shop.workspace)
    return {row["event_id"]: row for row in pq.read_table(served.shop.workspace.journal_events).to_pylist()}


def test_a_slate_comes_ranked_with_titles_sources_and_propensities(served):
    answer = recommended(served, user_id=served.shop.user_ids[0], k=7)
    items = answer["items"]
    assert [item["rank"] for item in items] == list(range(1, 8))
    assert len({item["item_id"] for item in items}) == 7
    assert {item["item_id"] for item in items} <= set(served.shop.item_ids)
    assert all(item["title"] and item["source"] and 0 < item["propensity"] <= 1 for item in items)
    assert (answer["model_version"], answer["degraded"]) == (served.shop.champion, False)


def test_every_answer_left_its_record_with_the_features_it_was_scored_by(served):
    answer = recommended(served, user_id=served.shop.user_ids[1], k=4)
    record = served.http.get(f"/v1/decisions/{answer['decision_id']}").json()
    columns = [name for name in DECISION_SCHEMA.names if name != "slate_features"]
    assert set(record) == {*columns, "slate_features", "explanation", "replay"}
    assert record["slate_item_ids"] == [item["item_id"] for item in answer["items"]]
    assert record["slate_propensities"] == [item["propensity"] for item in answer["items"]]
    assert (record["tier"], record["state_as_of"]) == ("full", served.shop.as_of_ms)
    assert set(record["slate_item_ids"]) <= set(record["candidate_item_ids"])
    # The logged features, scored again by the bundle itself, give the logged scores.
    ranker = load_bundle(served.shop.bundle).ranker
    features = np.array(record["slate_features"], dtype=np.float32)
    assert ranker.predict(features).tolist() == np.array(record["slate_scores"], dtype=np.float32).tolist()


def test_the_record_is_in_the_export_and_its_outcomes_name_it(served):
    user_id = served.shop.user_ids[2]
    answer = recommended(served, user_id=user_id)
    chosen = answer["items"][0]["item_id"]
    named = {"product_id": chosen, "decision_id": answer["decision_id"], "placement": "home", "position": 1}
    assert served.post("track", track("Product Clicked", f"click-{chosen}", user_id, **named)).status_code == 200
    outcome = exported_events(served)[f"click-{chosen}"]
    assert (outcome["decision_id"], outcome["item_id"]) == (answer["decision_id"], chosen)
    decisions = pq.read_table(served.shop.workspace.journal_decisions)
    assert decisions.schema.equals(DECISION_SCHEMA)
    assert answer["decision_id"] in decisions["decision_id"].to_pylist()


def test_the_next_request_knows_the_click_before_it(served):
    user_id, item_id = "somebody-new", served.shop.item_ids[3]
    before = recommended(served, user_id=user_id)
    for number in range(6):  # whichever worker answers, the journal is the same
        served.post("track", track("Product Clicked", f"ryow-{number}", user_id, product_id=item_id))
        after = recommended(served, user_id=user_id)
        record = served.http.get(f"/v1/decisions/{after['decision_id']}").json()
        own = {
            c for c, s in zip(record["candidate_item_ids"], record["candidate_sources"], strict=True) if s == "history"
        }
        assert own == {item_id}
    first = served.http.get(f"/v1/decisions/{before['decision_id']}").json()
    assert "history" not in first["candidate_sources"]
    assert record["journal_seq"] > first["journal_seq"] == 0


def test_somebody_anonymous_is_remembered_and_recognised(served):
    item_id = served.shop.item_ids[4]
    click = {**track("Product Clicked", "anon-1", "", product_id=item_id), "userId": None, "anonymousId": "cookie-1"}
    assert served.post("track", click).status_code == 200
    anonymous = recommended(served, anonymous_id="cookie-1")
    record = served.http.get(f"/v1/decisions/{anonymous['decision_id']}").json()
    assert (record["user_id"], record["anonymous_id"]) == ("anon:cookie-1", "cookie-1")
    assert "history" in record["candidate_sources"]
    identify = {"messageId": "anon-2", "userId": "known-1", "anonymousId": "cookie-1", "traits": {"plan": "gold"}}
    assert served.post("identify", identify).status_code == 200
    known = recommended(served, user_id="known-1")
    assert "history" in served.http.get(f"/v1/decisions/{known['decision_id']}").json()["candidate_sources"]
    assert exported_events(served)["anon-1"]["user_id"] == "known-1"


def test_a_batch_delivered_three_times_is_stored_once(served):
    products = [{"product_id": served.shop.item_ids[0], "quantity": 2, "price": 3.5}, {"product_id": "elsewhere"}]
    batch = [
        track("Product Viewed", "batch-1", "u-batch", product_id=served.shop.item_ids[0]),
        {"type": "track", "userId": "u-batch", "messageId": "batch-bad"},
        track("Order Completed", "batch-2", "u-batch", products=products),
        "not a message",
    ]
    answers = [served.post("batch", {"batch": batch}).json() for _ in range(3)]
    assert [answer["stored"] for answer in answers] == [2, 0, 0]
    assert [answer["duplicates"] for answer in answers] == [0, 2, 2]
    assert all(len(answer["rejected"]) == 2 for answer in answers)
    stored = [event_id for event_id in exported_events(served) if event_id.startswith("batch-")]
    assert stored == ["batch-1", "batch-2:0", "batch-2:1"]
    letters = pq.read_table(served.shop.workspace.journal_dead_letters).to_pylist()
    assert [json.loads(letter["raw_row"]) for letter in letters if "batch-bad" in letter["raw_row"]] == [batch[1]]


def test_segments_own_library_works_unchanged(served):
    from segment.analytics import Client

    failures: list[object] = []
    for compressed in (False, True):
        client = Client(
            "any-key", host=served.server.url, gzip=compressed, on_error=lambda error, _: failures.append(error)
        )

        def named(kind: str, compressed: bool = compressed) -> str:
            return f"seg-{kind}-{compressed}"

        client.identify(user_id="seg", anonymous_id="seg-anon", traits={"position": "Lead"}, message_id=named("i"))
        client.track(
            user_id="seg", event="Product Viewed", properties={"product_id": "x", "price": 1.5}, message_id=named("t")
        )
        # What a data frame hands over: one price that is none must not take the other messages along.
        odd = {"product_id": "x", "price": float("nan")}
        client.track(user_id="seg", event="Product Viewed", properties=odd, message_id=named("nan"))
        client.page(anonymous_id="seg-anon", category="shop", name="Home", message_id=named("p"))
        client.screen(user_id="seg", name="Basket", message_id=named("s"))
        client.group(user_id="seg", group_id=12, traits={"plan": "gold"}, message_id=named("g"))
        client.alias(previous_id="seg-before", user_id="seg", message_id=named("a"))
        client.flush()
        client.shutdown()
    assert failures == []
    events = exported_events(served)
    for compressed in (False, True):
        types = {kind: events[f"seg-{kind}-{compressed}"]["event_type"] for kind in "itpsg"}
        assert types == {"i": "identify", "t": "view", "p": "page", "s": "screen", "g": "group"}
        assert events[f"seg-p-{compressed}"]["user_id"] == "seg"
        assert f"seg-nan-{compressed}" not in events
    letters = pq.read_table(served.shop.workspace.journal_dead_letters).to_pylist()
    assert sum("seg-nan" in letter["raw_row"] for letter in letters) == 2


def test_each_kind_has_a_route_of_its_own_and_a_batch_has_two(served):
    def status(route: str, **body: Any) -> int:
        return served.post(route, {"userId": "u-kinds", "messageId": f"kind-{route}", **body}).status_code

    assert status("screen", name="Basket") == status("group", groupId="g") == status("page", name="Home") == 200
    assert status("alias", previousId="u-kinds-before") == status("identify", traits={}) == 200
    assert status("track", event="Open") == status("import", batch=[track("Open", "kind-i", "u-kinds")]) == 200


def test_a_batch_may_hold_ten_thousand_messages(served):
    batch = [track("Product Viewed", f"many-{n}", f"u-{n % 50}", product_id="p") for n in range(10_000)]
    answer = served.http.post("/v1/batch", json={"batch": [*batch[:9_999], {"type": "track"}]}, timeout=60)
    assert answer.status_code == 200, answer.text
    assert answer.json()["stored"] == 9_999
    assert len(answer.json()["rejected"]) == 1


def test_a_message_may_name_its_own_moment_where_the_clock_is_in_replay(served):
    moment = served.shop.as_of_ms + 5_000
    iso = np.datetime_as_string(np.datetime64(moment, "ms")) + "Z"
    told = track("Product Clicked", "then", "u-then", product_id=served.shop.item_ids[0])
    served.post("track", {**told, "context": {"occurred_at": iso}})
    row = exported_events(served)["then"]
    assert row["occurred_at"] == row["recorded_at"] == np.datetime64(moment, "ms").item()
    answer = recommended(served, user_id="u-then", context={"occurred_at": iso})
    assert served.http.get(f"/v1/decisions/{answer['decision_id']}").json()["decided_at"] == moment


REFUSED: list[tuple[str, str, dict[str, Any], int, str]] = [
    ("POST", "/v1/recommend", {"json": {}}, 400, "user_id"),
    ("POST", "/v1/recommend", {"json": {"user_id": "u", "k": 0}}, 400, "k"),
    ("POST", "/v1/recommend", {"json": {"user_id": "u", "k": 10_000}}, 400, "k"),
    ("POST", "/v1/recommend", {"json": {"user_id": "u", "placement": "attic"}}, 400, "placement"),
    ("POST", "/v1/recommend", {"json": {"user_id": "u", "context": {"occurred_at": "soon"}}}, 400, "occurred_at"),
    ("POST", "/v1/recommend", {"json": [1]}, 400, "JSON object"),
    ("POST", "/v1/recommend", {"content": b"{", "headers": {"content-type": "application/json"}}, 400, "not JSON"),
    ("POST", "/v1/recommend", {"content": b"\xff", "headers": {"content-type": "application/json"}}, 400, "not JSON"),
    ("POST", "/v1/recommend", {"content": b"{}"}, 415, "content type"),
    ("POST", "/v1/recommend", {"content": b"{}", "headers": {"content-type": "multipart/form-data"}}, 415, "multipart"),
    ("POST", "/v1/batch", {"json": {"messages": []}}, 400, "batch"),
    ("POST", "/v1/batch", {"json": {"batch": [{}] * 10_001}}, 413, "10,001 messages"),
    ("POST", "/v1/batch", {"json": {"batch": ["x" * 8_400_000]}}, 413, "larger than 8,388,608"),
    ("POST", "/v1/batch", {"json": {"batch": [], "context": "web"}}, 400, "Found a context of type str"),
    (
        "POST",
        "/v1/batch",
        {"json": {"batch": [{}] * 9_000, "context": {"a": "x" * 1_000}}},
        413,
        "context is too large",
    ),
    ("POST", "/v1/track", {"json": {"event": "x" * 1_100_000}}, 413, "larger than 1,048,576"),
    ("POST", "/v1/track", {"json": {"userId": "u"}}, 400, "dead letter"),
    ("GET", "/v1/decisions/nothing", {}, 404, "No decision"),
    ("GET", "/v1/recommend", {}, 405, "Expected POST"),
    ("PUT", "/v1/nothing", {}, 404, "Nothing has this address"),
]


@pytest.mark.parametrize(("method", "route", "content", "status", "told"), REFUSED)
def test_what_cannot_be_answered_gets_a_sentence(served, method, route, content, status, told):
    answer = served.http.request(method, route, **content)
    assert answer.status_code == status, answer.text
    assert told in answer.json()["error"]
    assert "Traceback" not in answer.text


def test_a_body_is_bounded_however_it_is_packed(served):
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    bomb = gzip.compress(b" " * 50_000_000)
    assert served.http.post("/v1/batch", content=bomb, headers=headers).status_code == 413

    def stream():
        yield from (b" " * 65_536 for _ in range(130))

    assert (
        served.http.post("/v1/batch", content=stream(), headers={"content-type": "application/json"}).status_code == 413
    )
    assert served.http.post("/v1/batch", content=b"\x1f\x8b", headers=headers).status_code == 400


def test_probes_and_metrics_tell_what_happened(served):
    recommended(served, user_id=served.shop.user_ids[0])
    assert served.http.get("/livez").status_code == served.http.get("/readyz").status_code == 200
    text = served.http.get("/metrics").text
    counted = re.search(r'nextbest_requests_total\{route="/v1/recommend",status="200"\} (\d+)', text)
    assert counted is not None
    assert int(counted[1]) >= 1
    assert f'nextbest_champion_info{{version="{served.shop.champion}"}} 1.0' in text
    assert re.search(r'nextbest_journal_rows\{table="decisions"\} [1-9]', text)
    assert re.search(r'nextbest_recommendations_total\{degraded="false",tier="full"\} [1-9]', text)


def test_the_log_names_nobody(served):
    recommended(served, user_id="a-very-private-person")
    served.http.get("/v1/decisions/a-very-private-decision")
    log = served.server.log.read_text()
    assert "a-very-private" not in log
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    assert any(line.get("route") == "/v1/decisions/{decision_id}" and line["status"] == 404 for line in lines)


def test_without_the_feature_store_answers_are_simpler_and_say_so(own_shop, serve):
    assert not own_shop.workspace.online_store.exists()
    shop = serve(own_shop)
    clicked = own_shop.item_ids[5]
    shop.post("track", track("Product Clicked", "lone", own_shop.user_ids[0], product_id=clicked))
    answer = recommended(shop, user_id=own_shop.user_ids[0])
    assert answer["degraded"] is True
    assert len(answer["items"]) == 10
    record = shop.http.get(f"/v1/decisions/{answer['decision_id']}").json()
    assert record["tier"] == "cold"
    assert "history" in record["candidate_sources"]  # what the journal knows is still known


def test_keys_open_only_what_their_role_may_do(own_shop, serve):
    from services.keys import create_key, revoke_key

    keys = {role: create_key(own_shop.workspace, role) for role in ("write", "read", "admin")}
    shop = serve(own_shop)

    def status(route: str, key: str | None, auth: httpx.BasicAuth | None = None) -> int:
        body = {"recommend": {"user_id": "u"}, "track": track("Open", "k", "u")}[route]
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        answer = shop.http.post(f"/v1/{route}", json=body, headers=headers, auth=auth or httpx.USE_CLIENT_DEFAULT)
        assert answer.status_code == 200 or "Expected" in answer.json()["error"]
        return answer.status_code

    assert [status("recommend", keys[role]) for role in ("read", "admin", "write")] == [200, 200, 403]
    assert [status("track", keys[role]) for role in ("write", "admin", "read")] == [200, 200, 403]
    assert status("recommend", None) == status("track", "nb_write_wrong") == 401
    assert status("track", None, httpx.BasicAuth(keys["write"], "")) == 200
    assert shop.http.get("/readyz").status_code == 200  # probes carry no key
    revoke_key(own_shop.workspace, keys["read"])
    _within_seconds(30, lambda: status("recommend", keys["read"]) == 401)


def _within_seconds(seconds: float, is_so: Any) -> None:
    import time

    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.1)
