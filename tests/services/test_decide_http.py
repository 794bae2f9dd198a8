"""`POST /v1/decide` on a running server of two workers: one answer a question, caps that hold whoever asks where."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import pyarrow as pa
import pytest
from served_shop import LandedShop, ServedShop, copy_shop, serving

from orchestration.defs.agents import agent_policy
from orchestration.resources import Ring
from recommender.agents.agent_model import load_agent_model
from recommender.agents.audience import Audience
from recommender.agents.published_audience import publish_audience
from recommender.agents.record import agent_version
from recommender.events import DAY_MS
from services.agent_log import online_sends, online_stock
from services.journal import export_journal

pytestmark = pytest.mark.slow

CALLERS = 16
SPRING = """\
goal: {outcomes: {purchase: 1}}
actions:
  - {name: news, channel: email, template: "77", variables: {headline: New colours}}
  - {name: picks, channel: email, placement: home, slots: 2}
  - {name: voucher, channel: email, inventory: 7}
timing: {windows: [{at: "09:00-20:00"}]}
frequency: {caps: [{limit: 2, per: day}]}
shares: {holdout: 0.2}
exploration: 1.0
"""


@pytest.fixture(scope="module")
def deciding(landed_shop: LandedShop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedShop]:
    """The shop with an agent whose audience is everybody."""
    shop = copy_shop(landed_shop, tmp_path_factory.mktemp("deciding") / "home", with_store=True)
    workspace, people = shop.workspace, list(shop.user_ids)
    if not workspace.marts.exists():
        workspace.marts.symlink_to(landed_shop.workspace.marts)  # only read
    shutil.rmtree(workspace.agents, ignore_errors=True)  # other tests of the shop may have left theirs
    workspace.agents.mkdir()
    (workspace.agents / "spring.yml").write_text(SPRING)
    table = pa.table({"user_id": people, "consent_email": [True] * len(people), "cart": [0.0] * len(people)})
    publish_audience(workspace.agent_audience("spring"), Audience.read(table), shop.as_of_ms, shop.as_of_ms)
    servers = serving()
    yield next(servers)(shop)
    next(servers, None)


def noon(served: ServedShop, day: int = 1) -> str:
    """Twelve o'clock of a day after the shop's data end."""
    at_ms = (served.shop.as_of_ms // DAY_MS + day) * DAY_MS + DAY_MS // 2
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat()


def ask(served: ServedShop, user_id: str, day: int = 1, **more: Any) -> httpx.Response:
    headers = more.pop("headers", {})
    context = {"occurred_at": noon(served, day), **more.pop("context", {})}
    return served.post("decide", {"agent": "spring", "user_id": user_id, "context": context, **more}, **headers)


def everybody(served: ServedShop, user_ids: list[str], day: int) -> list[dict[str, Any]]:
    """The answers to as many callers at once as two workers get."""
    with ThreadPoolExecutor(CALLERS) as pool:
        answers = list(pool.map(lambda user: ask(served, user, day), user_ids))
    assert {answer.status_code for answer in answers} == {200}
    return [answer.json() for answer in answers]


def test_an_answer_tells_what_to_send_and_its_record_says_why(deciding: ServedShop) -> None:
    answers = [ask(deciding, user).json() for user in deciding.shop.user_ids[:40]]
    by_action = {answer["action"]: answer for answer in answers}
    assert set(by_action) >= {"news", "picks", "nothing"}
    news, picks, nothing = (by_action[name] for name in ("news", "picks", "nothing"))
    assert (news["channel"], news["template"], news["variables"]) == ("email", "77", {"headline": "New colours"})
    assert news["send_at"] == noon(deciding).replace("+00:00", ".000+00:00")
    assert (len(set(picks["item_ids"])), nothing["arm"], nothing["reason"]) == (2, "holdout", "holdout")
    factors = [picks[f"{name}_propensity"] for name in ("send", "action", "window", "item")]
    assert picks["propensity"] == pytest.approx(factors[0] * factors[1] * factors[2] * factors[3], rel=1e-12)
    assert all(answer["recorded"] and not answer["degraded"] for answer in answers)
    record = deciding.http.get(f"/v1/decisions/{picks['decision_id']}").json()
    assert all(record[name] == picks[name] for name in picks if name != "send_at")
    assert "cart" in record["features"]  # no key exists: everybody sees persons
    assert deciding.http.get("/v1/decisions/none").status_code == 404


def test_caps_hold_for_sixteen_callers_at_two_workers(deciding: ServedShop) -> None:
    one = next(user for user in deciding.shop.user_ids if ask(deciding, user, 2).json()["arm"] == "agent")
    answers = everybody(deciding, [one] * 4 * CALLERS, 3)
    reasons = Counter(answer["reason"] for answer in answers if answer["action"] == "nothing")
    assert sum(answer["action"] != "nothing" for answer in answers) == 2
    assert set(reasons) <= {"cap 2 a day", "others decide for the same person"}
    sends = online_sends(deciding.shop.workspace, 0).to_pylist()
    days = Counter((send["user_id"], send["send_at"].date()) for send in sends)
    assert max(days.values()) == 2


def test_stock_is_given_out_once(deciding: ServedShop) -> None:
    everybody(deciding, list(deciding.shop.user_ids), 5)
    assert online_stock(deciding.shop.workspace, "spring")["voucher"] == 7


def test_a_retry_by_its_key_is_answered_alike_by_every_worker(deciding: ServedShop) -> None:
    user = deciding.shop.user_ids[0]
    answers = [ask(deciding, user, 7, headers={"idempotency-key": "once"}).json() for _ in range(8)]
    assert all(answer == answers[0] for answer in answers)


def test_who_unsubscribes_hears_nothing_from_the_next_request_on(deciding: ServedShop) -> None:
    people = [user for user in deciding.shop.user_ids if ask(deciding, user, 9).json()["arm"] == "agent"][:10]
    for user in people:
        said = deciding.post("track", {"event": "Unsubscribed", "userId": user})
        assert said.status_code == 200
        assert [ask(deciding, user, 11).json()["reason"] for _ in range(2)] == ["consent"] * 2


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        ({"user_id": "u"}, 400, "no agent"),
        ({"agent": "spring"}, 400, "neither user_id nor anonymous_id"),
        ({"agent": "sprint", "user_id": "u"}, 404, "Did you mean spring?"),
        ({"agent": "spring", "user_id": "u", "within_hours": -1}, 400, "from 0 to 168"),
        ({"agent": "spring", "user_id": "u", "when": "now"}, 400, "unknown field 'when'"),
    ],
)
def test_a_bad_question_is_told_what_is_wrong(
    deciding: ServedShop, body: dict[str, Any], status: int, told: str
) -> None:
    answer = deciding.post("decide", body)
    assert (answer.status_code, told in answer.json()["error"]) == (status, True)
    refused = ask(deciding, deciding.shop.user_ids[0], 13, context={"consent_email": True})
    assert refused.status_code == 400


def test_what_was_decided_is_counted_and_lands(deciding: ServedShop) -> None:
    for user in deciding.shop.user_ids[:20]:
        ask(deciding, user, 15)
    counted = deciding.http.get("/metrics").text
    assert (
        'nextbest_agent_decisions_total{action="nothing",agent="spring",degraded="false",reason="holdout"}' in counted
    )
    assert export_journal(deciding.shop.workspace)["agent_decisions"] > 0
    assert Path(deciding.shop.workspace.journal_agent_decisions).exists()


def test_outcomes_change_what_is_decided_without_a_run_of_the_ring(deciding: ServedShop) -> None:
    """Told by /v1/track, learnt by Dagster's asset, taken up by both workers; who has bought is left alone at once."""
    space, path = deciding.shop.workspace, deciding.shop.workspace.agents / "spring.yml"
    path.write_text(SPRING + "eligibility: {stop_after: {purchase: 48}}\n")
    before = wait_for_version(deciding, 21, "agent_version", agent_version(path.read_bytes()))["policy_version"]
    answers = {user: ask(deciding, user, 21).json() for user in deciding.shop.user_ids}
    buyers = [user for user, answer in answers.items() if answer["action"] == "news"]
    order = {"order_id": "1", "products": [{"product_id": deciding.shop.item_ids[0], "price": 10}]}
    for user in buyers:
        said = {"event": "Order Completed", "userId": user, "properties": order}
        an_hour_later = {"occurred_at": noon(deciding, 21).replace("T12", "T13")}
        assert deciding.post("track", {**said, "context": an_hour_later}).status_code == 200
        assert ask(deciding, user, 22).json()["reason"] == "after purchase"
    seen = {"event": "Product Viewed", "userId": "z", "properties": {"product_id": deciding.shop.item_ids[0]}}
    deciding.post("track", {**seen, "context": {"occurred_at": noon(deciding, 29)}})  # the goal's seven days are over
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("agents", ["spring"])
        resources = {"ring": Ring(home=str(space.root), at=noon(deciding, 30))}
        learnt = dg.materialize([agent_policy], instance=instance, partition_key="spring", resources=resources)
    assert learnt.success
    after = load_agent_model(space.agent_model("spring"))
    assert after.version != before
    answer = wait_for_version(deciding, 31, "policy_version", after.version)
    assert (answer["policy"], answer["degraded"]) == (after.policy_name, False)
    assert after.facts["decisions"] >= len(answers)
    assert after.actions.means[0] > max(after.actions.means[1:])  # news were followed by purchases, others by none


def wait_for_version(served: ServedShop, day: int, name: str, version: str) -> dict[str, Any]:
    """An answer of each worker's that has it; as many in a row as make it unlikely that one worker gave all."""
    found: list[dict[str, Any]] = []
    until = time.monotonic() + 20
    while len(found) < 2 * CALLERS and time.monotonic() < until:
        answer = ask(served, served.shop.user_ids[0], day).json()
        found = [*found, answer] if answer[name] == version else []
    assert found
    return found[-1]
