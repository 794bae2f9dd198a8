"""Agents that decide in the moment, without HTTP: the policy and the guardrails of a run, for one person at a time."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pytest
from scipy.stats import chi2

from orchestration.agents import decide_agent, open_agent, read_agent_decisions, run_agent
from recommender.agents.agent import NOTHING
from recommender.agents.agent_model import AgentModel, save_agent_model
from recommender.agents.beliefs import Beliefs
from recommender.agents.turns import alone
from recommender.errors import RequestError
from recommender.events import DAY_MS
from recommender.workspace import Workspace
from services.decide_request import DecideRequest
from services.decision_journal import DecisionJournal, DecisionJournalConfig
from services.group_commit import GroupCommit
from services.journal import Journal, export_journal
from services.online_agents import OnlineAgents
from services.wire import Refusal
from tests.agents.home import SPRING, START_MS, agents_home
from tests.services.test_agent_log import said

HOUR_MS = 3_600_000
NINE = START_MS + 7 * HOUR_MS  # 09:00 in Berlin in June
YES = [f"u{number:04}" for number in range(50, 300)]  # the first 50 said no to e-mail
PATIENCE = 30.0  # seconds: nothing here is about being late
ALWAYS = SPRING.replace("limit: 1, per: day", "limit: 1, per: week").replace("holdout: 0.2", "holdout: 0.0")


class Desk:
    """A worker's agents over a journal."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.writer, self.reader = GroupCommit(workspace.journal), Journal(workspace.journal)
        self.journal = DecisionJournal(self.reader, self.writer, DecisionJournalConfig())
        self.agents = OnlineAgents(workspace, self.journal, lambda: START_MS)

    def ask(self, user_id: str, at_ms: int = NINE, key: str = "", **body: Any) -> dict[str, Any]:
        asked = DecideRequest.parse({"agent": "spring", "user_id": user_id, **body}, key)
        return asyncio.run(self.agents.decide(asked, at_ms, time.monotonic() + PATIENCE))

    def look(self) -> None:
        """What the worker's thread does twice a second."""
        self.agents._shelf.refresh()
        self.agents._sends.refresh(START_MS)

    def say(self, body: dict[str, Any]) -> None:
        self.writer.submit(said(body, "2026-06-01")).result()

    def close(self) -> None:
        self.agents.close()
        self.writer.close()
        self.reader.close()


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return agents_home(tmp_path / "home")


@pytest.fixture
def desk(workspace: Workspace) -> Iterator[Desk]:
    """People whom the last run left alone: it was on a Monday, and the agent wrote on Sundays."""
    path = workspace.agents / "spring.yml"
    path.write_text(ALWAYS + "eligibility: {where: {plan: nobody}}\n")
    run_agent(workspace, open_agent(workspace, "spring"), START_MS)
    path.write_text(ALWAYS)
    opened = Desk(workspace)
    yield opened
    opened.close()


def test_a_decision_in_the_moment_is_sent_now_or_not_at_all(desk: Desk) -> None:
    row = desk.ask(YES[0])
    assert (row["send_at"], row["send_window"], row["channel"]) == (NINE, "09:00-12:00", "email")
    assert (row["arm"], row["degraded"], row["recorded"], row["window_propensity"]) == ("agent", False, True, 1.0)
    assert row["propensity"] == row["send_propensity"] * row["action_propensity"] * row["window_propensity"]
    before = desk.ask(YES[1], NINE - 1)
    assert (before["action"], before["reason"], before["send_at"]) == (NOTHING, "timing", None)
    ahead = desk.ask(YES[1], NINE - 1, within_hours=1)
    assert NINE <= ahead["send_at"] < NINE - 1 + HOUR_MS + 1
    assert desk.ask(YES[2], NINE + 3 * HOUR_MS)["reason"] == "timing"  # twelve o'clock is outside


def test_who_is_not_in_the_audience_or_said_no_gets_nothing(desk: Desk) -> None:
    assert desk.ask("stranger")["reason"] == "not in audience"
    assert desk.ask("u0000")["reason"] == "consent"
    assert desk.agents.found(desk.ask("u0000")["decision_id"]) is not None


def test_what_a_person_says_counts_at_once(desk: Desk) -> None:
    desk.say({"type": "track", "event": "Unsubscribed", "userId": YES[0]})
    desk.say({"type": "identify", "userId": YES[1], "traits": {"consent_email": False}})
    desk.say({"type": "identify", "userId": "u0000", "anonymousId": "x", "traits": {"consent_email": True}})
    assert [desk.ask(user)["reason"] for user in (YES[0], YES[1])] == ["consent"] * 2
    # An earlier yes does not overrule what the data say; a later one, after their end, does.
    assert desk.ask("u0000")["reason"] == "consent"
    late = said({"type": "identify", "userId": "u0000", "traits": {"consent_email": True}}, "2026-06-06")
    desk.writer.submit(late).result()
    assert desk.ask("u0000")["channel"] == "email"
    # The same person by another id: the cap of one a week is theirs.
    by_device = {"agent": "spring", "user_id": None, "anonymous_id": "x"}
    again = asyncio.run(desk.agents.decide(DecideRequest.parse(by_device), NINE, time.monotonic() + PATIENCE))
    assert (again["user_id"], again["reason"]) == ("u0000", "cap 1 a week")


def test_runs_heed_what_was_said_too(desk: Desk) -> None:
    desk.say({"type": "track", "event": "Unsubscribed", "userId": YES[0]})
    records = decide_agent(desk.workspace, open_agent(desk.workspace, "spring"), START_MS + DAY_MS)
    reasons = dict(zip(records["user_id"].to_pylist(), records["reason"].to_pylist(), strict=True))
    assert (reasons[YES[0]], reasons[YES[1]]) == ("consent", "")


def test_caps_hold_across_runs_and_moments(desk: Desk) -> None:
    assert desk.ask(YES[0])["action"] != NOTHING
    assert desk.ask(YES[0], NINE + HOUR_MS)["reason"] == "cap 1 a week"
    records, _ = run_agent(desk.workspace, open_agent(desk.workspace, "spring"), START_MS + HOUR_MS)
    of_run = {row["user_id"]: row for row in records.to_pylist()}
    assert of_run[YES[0]]["reason"] == "cap 1 a week"
    assert of_run[YES[1]]["action"] != NOTHING
    # The worker reads what the run sent before it says anything else.
    assert desk.ask(YES[1])["reason"] == "cap 1 a week"


def test_while_a_run_decides_nobody_else_does(desk: Desk) -> None:
    with alone(desk.workspace.agents):
        row = desk.ask(YES[0], key="k")
    assert (row["action"], row["reason"], row["degraded"]) == (NOTHING, "a run is at work", True)
    desk.look()
    assert desk.ask(YES[0], key="k")["action"] != NOTHING  # asked again, it is decided


def test_stock_is_one_for_runs_and_moments(desk: Desk) -> None:
    path = desk.workspace.agents / "spring.yml"
    path.write_text(ALWAYS.replace("  - {name: news, channel: email}\n", "").replace("per: week", "per: day"))
    desk.look()
    assert [desk.ask(user)["action"] for user in YES[:15]] == ["voucher"] * 15
    records, _ = run_agent(desk.workspace, open_agent(desk.workspace, "spring"), START_MS + DAY_MS)
    assert pc.sum(pc.equal(records["action"], "voucher")).as_py() == 20 - 15
    desk.look()
    assert desk.ask(YES[20], NINE + 2 * DAY_MS)["reason"] == "inventory"


def test_asking_again_by_the_same_key_is_not_asking_twice(desk: Desk) -> None:
    first = desk.ask(YES[0], key="basket-7")
    assert desk.ask(YES[0], NINE + 5, key="basket-7") == first
    assert desk.ask(YES[0], NINE + 5)["reason"] == "cap 1 a week"
    other = desk.ask(YES[1], key="basket-7")
    assert other["decision_id"] != first["decision_id"]


def test_many_at_once_for_one_person_send_one_message(desk: Desk) -> None:
    asked = DecideRequest.parse({"agent": "spring", "user_id": YES[0]})

    async def everybody() -> list[dict[str, Any]]:
        until = time.monotonic() + PATIENCE
        return await asyncio.gather(*(desk.agents.decide(asked, NINE, until) for _ in range(16)))

    rows = asyncio.run(everybody())
    assert sum(row["action"] != NOTHING for row in rows) == 1
    assert {row["reason"] for row in rows} == {"", "cap 1 a week"}


def test_the_context_is_read_where_the_agent_knows_it(desk: Desk) -> None:
    path = desk.workspace.agents / "spring.yml"
    path.write_text(ALWAYS + "eligibility: {where: {cart: {min: 50}, age: {max: 30}}}\n")
    desk.look()
    assert desk.ask(YES[0], context={"cart": 60})["reason"] == "eligibility"
    row = desk.ask(YES[0], context={"cart": 60.5, "age": 20, "page": "/checkout"})
    assert row["action"] != NOTHING
    features = json.loads(row["features"])
    assert (features["cart"], features["age"], "page" in features) == (60.5, 20, False)
    for context in ({"consent_email": True}, {"timezone": "Asia/Tokyo"}, {"age": "old"}, {"cart": [1]}):
        with pytest.raises(RequestError):
            desk.ask(YES[1], context=context)


def test_an_agent_is_found_by_its_name_and_taken_up_when_it_changes(desk: Desk) -> None:
    with pytest.raises(Refusal, match="Did you mean spring"):
        desk.ask(YES[0], agent="sprint")
    path = desk.workspace.agents / "spring.yml"
    before = desk.ask(YES[0])["agent_version"]
    path.write_text("goal: broken")
    desk.look()
    assert desk.ask(YES[1])["agent_version"] == before
    path.write_text(ALWAYS.replace("0.5", "0.4"))
    desk.look()
    assert desk.ask(YES[2])["agent_version"] != before


def test_what_was_learnt_is_taken_up_and_done_without_where_it_is_broken(desk: Desk) -> None:
    folder = desk.workspace.agent_model("spring")
    assert desk.ask(YES[0])["policy"] == "prior"
    version = save_agent_model(AgentModel(Beliefs(("news", "voucher"), (0.9, 0.1), (0.01, 0.01))), folder)
    desk.look()
    row = desk.ask(YES[1])
    assert (row["policy"], row["policy_version"], row["degraded"]) == ("best", version, False)
    (folder / "agent.json").write_text("{}")
    desk.look()
    assert desk.ask(YES[2])["policy_version"] == version  # the last good one stays
    fresh = Desk(desk.workspace)
    row = fresh.ask(YES[3])
    assert (row["policy"], row["degraded"], row["action"] != NOTHING) == ("prior", True, True)
    fresh.close()


def test_a_person_has_the_same_policy_in_the_moment_as_in_runs(desk: Desk) -> None:
    """Two that have learnt the opposite: whoever is asked for gets what their own one thinks."""
    several = ALWAYS.replace("exploration: 0.5", "exploration: 0").replace(", inventory: 20", "")
    (desk.workspace.agents / "spring.yml").write_text(several + "policies: {lints: 0.5, fixed: 0.5}\n")
    own = {
        name: AgentModel(Beliefs(("news", "voucher"), means, (1e-9, 1e-9)))
        for name, means in (("lints", (0.9, 0.1)), ("fixed", (0.1, 0.9)))
    }
    folder = desk.workspace.agent_model("spring")
    version = save_agent_model(AgentModel(variants=own), folder)
    desk.look()
    batch = decide_agent(desk.workspace, open_agent(desk.workspace, "spring"), START_MS)
    known = dict(zip(batch["user_id"].to_pylist(), batch["variant"].to_pylist(), strict=True))
    rows = [desk.ask(user) for user in YES[:30]]
    assert [row["variant"] for row in rows] == [known[user] for user in YES[:30]]
    assert {(row["variant"], row["action"]) for row in rows} == {("lints", "news"), ("fixed", "voucher")}
    assert len({version, *(row["policy_version"] for row in rows)}) == 3
    assert desk.ask("stranger")["variant"] in own
    export_journal(desk.workspace)
    landed = read_agent_decisions(desk.workspace, "spring", since_ms=START_MS + 1).slice(0, 30)
    assert landed["variant"].to_pylist() == [row["variant"] for row in rows]
    assert set(landed["variant_share"].to_pylist()) == {0.5}
    (folder / "variants" / "fixed" / "agent.json").write_text("{}")
    fresh = Desk(desk.workspace)
    alike = [fresh.ask(user) for user in YES[40:50]]
    assert {(row["variant"], row["degraded"]) for row in alike} == {("lints", True), ("fixed", True)}
    fresh.close()


def test_without_a_journal_nothing_is_sent(desk: Desk) -> None:
    desk.writer._journal._connection.execute("drop table agent_decisions")
    row = desk.ask(YES[0])
    assert (row["action"], row["reason"], row["recorded"], row["degraded"]) == (NOTHING, "journal away", False, True)


def test_records_come_back_to_those_who_learn(desk: Desk) -> None:
    rows = [desk.ask(user) for user in YES[:10]]
    export_journal(desk.workspace)
    landed = read_agent_decisions(desk.workspace, "spring", since_ms=START_MS + 1)
    assert landed["decision_id"].to_pylist() == [row["decision_id"] for row in rows]
    assert landed["propensity"].to_pylist() == [row["propensity"] for row in rows]
    assert read_agent_decisions(desk.workspace, "spring", since_ms=START_MS + 1, of_runs=True).num_rows == 0


def test_decisions_in_the_moment_are_drawn_as_they_say(desk: Desk) -> None:
    """How often each action came to 400 people who were asked once each, against the probabilities in the records."""
    path = desk.workspace.agents / "spring.yml"
    path.write_text(ALWAYS.replace("caps: [{limit: 1, per: week}]", "caps: []").replace(", inventory: 20", ""))
    save_agent_model(
        AgentModel(Beliefs(("news", "voucher"), (0.1, 0.11), (0.02, 0.02))), desk.workspace.agent_model("spring")
    )
    desk.look()
    rows = [desk.ask(user, NINE + place) for place in range(2) for user in YES[:200]]
    offered = Counter[str]()
    for row in rows:
        offered.update(dict(zip(row["offered_actions"], row["offered_propensities"], strict=True)))
    seen = Counter(row["action"] for row in rows)
    statistic = sum((seen[name] - share) ** 2 / share for name, share in offered.items())
    assert len(offered) == 2
    assert chi2.sf(statistic, len(offered) - 1) > 0.001


STOPS = ALWAYS + "eligibility: {stop_after: {purchase: 24}}\n"


def bought(**user: str) -> dict[str, Any]:
    order = {"order_id": "".join(user.values()), "products": [{"product_id": "p", "price": 1}]}
    return {"type": "track", "event": "Order Completed", "properties": order, **user}


def test_who_has_just_bought_is_left_alone_from_the_next_request_on(desk: Desk) -> None:
    (desk.workspace.agents / "spring.yml").write_text(STOPS)
    desk.look()
    desk.say({"type": "identify", "userId": YES[1], "anonymousId": "x"})
    for user in ({"userId": YES[0]}, {"anonymousId": "x"}):
        desk.writer.submit(said(bought(**user), "2026-06-01T06:30:00")).result()  # half past eight in Berlin
    assert [desk.ask(user)["reason"] for user in YES[:3]] == ["after purchase", "after purchase", ""]
    # A day after the purchase it is over.
    done_ms = NINE - HOUR_MS // 2
    assert desk.ask(YES[0], done_ms + DAY_MS + HOUR_MS // 2)["action"] != NOTHING  # nine o'clock


def test_runs_know_of_purchases_that_the_marts_do_not_hold(desk: Desk) -> None:
    path = desk.workspace.agents / "spring.yml"
    path.write_text(STOPS.replace("purchase: 24", "purchase: 12"))
    desk.writer.submit(said(bought(userId=YES[0]), "2026-06-02T06:30:00")).result()
    export_journal(desk.workspace)
    desk.writer.submit(said(bought(userId=YES[1]), "2026-06-02T06:30:00")).result()
    at_ms = START_MS + DAY_MS + 7 * HOUR_MS
    records, _ = run_agent(desk.workspace, open_agent(desk.workspace, "spring"), at_ms)
    rows = {row["user_id"]: row for row in records.to_pylist()}
    # The marts hold purchases of midnight, 02:00 in Berlin, of every third person: twelve hours later it is two.
    by_mart = {user for place, user in enumerate(sorted(rows)) if place % 3 == 0}
    stopped_ms = at_ms - HOUR_MS // 2 + 12 * HOUR_MS
    for user in (YES[0], YES[1]):
        assert rows[user]["send_at"] is None or rows[user]["send_at"].timestamp() * 1000 >= stopped_ms
    evening = {rows[user]["send_window"] for user in by_mart if rows[user]["action"] != NOTHING}
    assert evening == {"17:00-20:00"}
    # The service knows what the run knew, also where its journal has forgotten it.
    desk.look()
    asked = next(user for user in sorted(by_mart) if user in YES and rows[user]["action"] == NOTHING)
    assert desk.ask(asked, at_ms)["reason"] == "after purchase"
