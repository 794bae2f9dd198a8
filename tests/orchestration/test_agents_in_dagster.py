"""Agents in Dagster: a partition for each file, a run a day on fresh marts, checks that stop what is forbidden."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from monitoring.slack_messages import agent_stopped, messages_refused
from orchestration.agent_facts import agent_status, due_agents
from orchestration.defs.agents import AGENTS, agent_assets, daily_agents
from orchestration.resources import Ring
from recommender.agent_settings import SECRET_VARIABLE
from recommender.workspace import Workspace
from tests.agents.home import PEOPLE, SPRING, START_MS, agents_home
from tests.orchestration.test_deliveries import SECRET, receiver

MORNING = "2026-06-01T06:00"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """300 people and the agent `spring`, which works daily."""
    workspace = agents_home(tmp_path / "home")
    workspace.configuration.write_text("agents: {daily: [spring]}")
    return workspace


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("agents", ["spring"])
        yield instance


def run(workspace: Workspace, instance: dg.DagsterInstance, at: str = MORNING, **more: Any) -> Any:
    ring = Ring(home=str(workspace.root), at=at)
    options = {"partition_key": "spring", "resources": {"ring": ring}, "raise_on_error": False, **more}
    return dg.materialize(agent_assets(), instance=instance, **options)


def checks(result: Any) -> dict[str, bool]:
    return {one.check_name: one.passed for one in result.get_asset_check_evaluations()}


def metadata(result: Any, name: str) -> dict[str, Any]:
    (made,) = result.asset_materializations_for_node(name)
    return {key: value.value for key, value in made.metadata.items()}


def test_a_run_learns_decides_and_is_read_out(workspace: Workspace, instance: dg.DagsterInstance) -> None:
    for day in (1, 4):
        result = run(workspace, instance, f"2026-06-0{day}T06:00")
        assert result.success
        assert checks(result) == {
            "what_was_learnt_is_sound": True, "guardrails": True, "exploration": True, "earlier_guardrails": True,
            "taken_by_the_receiver": True, "sample_ratio": True,
        }  # fmt: skip
    learnt, told = metadata(result, "agent_policy"), metadata(result, "agent_messages")
    assert learnt["decisions"] == PEOPLE  # those of the first day, whose two days are over
    outcomes = pq.read_table(workspace.agent_outcomes("spring"))
    assert learnt["reward per decision"] == pytest.approx(pc.mean(outcomes["reward"]).as_py()) == 100 / PEOPLE
    assert told["people"] == PEOPLE
    assert told["messages"] + sum(told["why nothing"].values()) == PEOPLE
    assert told["picture"].startswith("![figure](data:image/png;base64,")
    assert metadata(result, "agent_deliveries")["verdict"].startswith("no webhook")
    read = metadata(result, "agent_readout")
    assert read["people"] == PEOPLE  # where stock is limited everybody counts
    assert read["agent against holdout"].keys() >= {"difference", "low", "high", "always_low", "always_high"}
    assert (workspace.agent_reports("spring") / "experiment.html").exists()
    assert metadata(result, "agent_insights")["what it says"].count("- ") >= 3


@pytest.mark.slow
def test_two_policies_learn_and_are_compared(workspace: Workspace, instance: dg.DagsterInstance) -> None:
    several = SPRING.replace(", inventory: 20", "") + "policies: {lints: 0.5, fixed: 0.5}\n"
    (workspace.agents / "spring.yml").write_text(several)
    for day in (1, 4):
        result = run(workspace, instance, f"2026-06-0{day}T06:00")
        assert result.success
        assert checks(result)["sample_ratio"]
    learnt, read = metadata(result, "agent_policy"), metadata(result, "agent_readout")
    assert learnt.keys() >= {"messages, lints", "timing, lints", "sending, lints", "messages, fixed"}
    assert "fixed and lints are not told apart yet" in read["policies"]
    assert ", however often one looks)" in read["policies"]  # which is each day
    assert read["fixed against lints"].keys() >= {"difference", "low", "high", "always_low", "always_high"}
    assert read["fixed against lints, by day"].startswith("![figure](data:image/png;base64,")
    assert agent_status(workspace)["spring"]["policies"] == read["policies"]


def test_a_moment_is_decided_once_however_often_it_is_run(workspace: Workspace, instance: dg.DagsterInstance) -> None:
    first, again = (metadata(run(workspace, instance), "agent_messages") for _ in range(2))
    assert (first["is new"], again["is new"]) == (True, False)
    assert first["actions"] == again["actions"]
    assert len(list(workspace.agent_decisions("spring").glob("*"))) == 1


def test_decisions_that_break_a_guardrail_are_not_handed_over(
    workspace: Workspace, instance: dg.DagsterInstance
) -> None:
    run(workspace, instance)
    (path,) = workspace.agent_decisions("spring").glob("*.parquet")
    records = pq.read_table(path)
    late = pc.add(records["send_at"].cast(pa.int64()), 14 * 3_600_000).cast(pa.timestamp("ms"))  # into the night
    pq.write_table(records.set_column(records.schema.get_field_index("send_at"), "send_at", late), path)
    result = run(workspace, instance)
    assert not result.success
    assert checks(result)["guardrails"] is False
    assert result.asset_materializations_for_node("agent_deliveries") == []
    (found,) = [one for one in result.get_asset_check_evaluations() if one.check_name == "guardrails"]
    assert found.description.startswith("timing: ")


def test_what_an_earlier_run_broke_is_told_and_holds_nothing_back(
    workspace: Workspace, instance: dg.DagsterInstance
) -> None:
    run(workspace, instance)
    (path,) = workspace.agent_decisions("spring").glob("*.parquet")
    records = pq.read_table(path)
    place = records.schema.get_field_index("propensity")
    pq.write_table(records.set_column(place, "propensity", pc.multiply(records["propensity"], 0.9)), path)
    result = run(workspace, instance, "2026-06-02T06:00")
    assert result.success
    assert (checks(result)["guardrails"], checks(result)["earlier_guardrails"]) == (True, False)
    (found,) = [one for one in result.get_asset_check_evaluations() if one.check_name == "earlier_guardrails"]
    assert found.description.startswith("propensity: ")


def test_what_a_receiver_refuses_is_told(
    workspace: Workspace, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SECRET_VARIABLE, SECRET)
    now = datetime.now(UTC).isoformat()  # messages of the past are over, and not handed over any more
    with receiver(lambda number: 400 if number % 2 else 200) as found:
        workspace.configuration.write_text(f"agents: {{webhook: '{found.url}'}}")
        result = run(workspace, instance, now)
    sent = metadata(result, "agent_messages")["messages"]
    told = metadata(result, "agent_deliveries")
    assert (told["delivered"], told["refused"]) == (sent // 2, sent - sent // 2)
    assert checks(result)["taken_by_the_receiver"] is False
    assert result.success  # the other messages are on their way
    body = messages_refused("spring", 3, 1_000, "run-1").body()
    assert body["text"] == "Agent spring: 3 messages refused"
    assert "took 1,000 and refused 3" in body["blocks"][1]["text"]["text"]
    stopped = agent_stopped("spring", "holdout: 2 people, such as <ann>", "run-1")
    assert stopped.text == "Agent spring stopped: its decisions broke a guardrail"
    assert "&lt;ann&gt;" in str(stopped.body())


def tick(workspace: Workspace, instance: dg.DagsterInstance) -> dg.SensorResult:
    resources = {"ring": Ring(home=str(workspace.root))}
    with dg.build_sensor_context(instance=instance, resources=resources) as context:
        return daily_agents(context)  # type: ignore[return-value]


def test_partitions_follow_the_files(workspace: Workspace, instance: dg.DagsterInstance) -> None:
    (workspace.agents / "autumn.yml").write_text(SPRING)
    (workspace.agents / "broken.yml").write_text("audience: [")
    found = tick(workspace, instance)
    assert found.dynamic_partitions_requests == [AGENTS.build_add_request(["autumn"])]
    for name in ("spring", "broken"):
        (workspace.agents / f"{name}.yml").unlink()
    instance.add_dynamic_partitions("agents", ["autumn"])
    assert tick(workspace, instance).dynamic_partitions_requests == [AGENTS.build_delete_request(["spring"])]


def test_a_run_is_asked_for_once_for_each_day_on_which_the_marts_were_built(
    workspace: Workspace, instance: dg.DagsterInstance
) -> None:
    assert tick(workspace, instance).run_requests == []
    instance.report_runless_asset_event(dg.AssetMaterialization("user_states"))
    first, again = (tick(workspace, instance).run_requests for _ in range(2))
    assert first is not None
    assert again is not None
    assert [one.partition_key for one in first] == ["spring"]
    assert [one.run_key for one in first] == [one.run_key for one in again]  # Dagster starts one run for one key
    # These data ended long ago, and nobody in an archive can be written to today.
    assert first[0].run_config["resources"]["ring"]["config"]["at"] == "2026-06-06 00:00:00Z"


def test_status_tells_of_each_agent(workspace: Workspace, instance: dg.DagsterInstance) -> None:
    (workspace.agents / "autumn.yml").write_text(SPRING)
    (workspace.agents / "broken.yml").write_text("audience: [")
    result = run(workspace, instance)
    told = agent_status(workspace)
    assert told["autumn"] == {"works": "when told", "last run": "none so far"}
    assert told["broken"]["problem"].startswith("broken.yml, line 1")
    spring = told["spring"]
    assert (spring["works"], spring["last run"]) == ("daily", "2026-06-01 06:00:00Z")
    assert spring["messages"] == metadata(result, "agent_messages")["messages"]
    assert spring["lift"]


def test_only_agents_that_are_named_run_and_only_on_fresh_marts(workspace: Workspace) -> None:
    noon = datetime(2026, 6, 3, 12, tzinfo=UTC).timestamp()
    (workspace.agents / "autumn.yml").write_text(SPRING)
    due = due_agents(workspace, noon - 3_600, noon)
    assert (due.names, due.wanted, due.day) == (("autumn", "spring"), ("spring",), "2026-06-03")
    assert due_agents(workspace, noon - 25 * 3_600, noon).wanted == ()
    assert "not built within a day" in due_agents(workspace, None, noon).reason
    workspace.configuration.write_text("agents: {daily: [sprin]}")
    assert due_agents(workspace, noon, noon).reason == "no agent sprin."
    workspace.configuration.write_text("agents: {dayly: [spring]}")
    assert "unknown key 'dayly'" in due_agents(workspace, noon, noon).reason
    assert datetime(2026, 6, 1, tzinfo=UTC).timestamp() * 1000 == START_MS
