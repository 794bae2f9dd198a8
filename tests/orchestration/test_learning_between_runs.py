"""Agents that learn between runs of the ring: from what the service recorded, where all outcomes come by it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from orchestration.agent_facts import agent_status, due_learning
from orchestration.agent_learning import (
    Horizon,
    closed_count,
    horizon_of,
    learn_agent,
    learnt_count,
    learnt_from,
    refusal_of,
)
from orchestration.agent_outcomes import write_outcomes
from orchestration.agents import AgentAtWork, open_agent, run_agent
from orchestration.cli import main
from orchestration.defs.agents import agents_learn
from orchestration.resources import Ring
from recommender.agents.agent_model import FACTS, load_agent_model
from recommender.events import DAY_MS
from recommender.workspace import Workspace
from services.journal import export_journal
from services.journal_archive import archive_journal
from services.journal_tail import heard_until_ms, journal_events, unlanded_agent_decisions, unlanded_count
from tests.agents.home import PEOPLE, START_MS, agents_home, times
from tests.services.test_agent_log import said
from tests.services.test_online_agents import ALWAYS, YES, Desk, bought

END_MS = START_MS + 5 * DAY_MS  # of the marts: Saturday 2026-06-06
NINE = END_MS + 7 * 3_600_000  # 09:00 in Berlin that day
LATE = 4_000_000_000_000  # whatever the clock says: what is not known is not learnt from


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """An agent that ran when the marts ended, and wrote to nobody then; its goal's window is two days."""
    monkeypatch.setenv("NEXTBEST_HOME", str(tmp_path / "home"))
    workspace = agents_home(tmp_path / "home")
    workspace.configuration.write_text("agents: {daily: [spring], learn_every_minutes: 10}")
    path = workspace.agents / "spring.yml"
    path.write_text(ALWAYS + "eligibility: {where: {plan: nobody}}\n")
    run_agent(workspace, open_agent(workspace, "spring"), END_MS)
    path.write_text(ALWAYS.replace(", inventory: 20", ""))
    opened = Desk(workspace)
    yield opened
    opened.close()


def work_of(desk: Desk) -> AgentAtWork:
    return open_agent(desk.workspace, "spring")


def tell(desk: Desk, user_id: str, at: str) -> None:
    desk.writer.submit(said(bought(userId=user_id), at)).result()


def a_day_of(desk: Desk, people: list[str], at: str = "2026-06-06T08:00", until: str = "2026-06-09") -> None:
    """These people are decided for at nine; whoever got the voucher buys an hour later, and days pass."""
    for user in people:
        if desk.ask(user, NINE)["action"] == "voucher":
            tell(desk, user, at)
    viewed = {"type": "track", "event": "Product Viewed", "userId": "z", "properties": {"product_id": "p"}}
    desk.writer.submit(said(viewed, until)).result()


def test_what_came_by_track_is_learnt_from_before_the_marts_know_it(desk: Desk) -> None:
    before = learn_agent(desk.workspace, work_of(desk), LATE)
    assert (before["decisions"], before["is_new"]) == (0, True)
    a_day_of(desk, YES[:60])
    found = learn_agent(desk.workspace, work_of(desk), LATE)
    assert (found["decisions"], found["is_new"], found["refused"]) == (60 + PEOPLE, True, "")
    outcomes = write_outcomes(desk.workspace, work_of(desk), LATE)
    records, _, _ = learnt_from(desk.workspace, work_of(desk).agent)
    in_the_moment = set(unlanded_agent_decisions(desk.workspace, "spring")["decision_id"].to_pylist())
    vouchers = {row["decision_id"] for row in records.to_pylist() if row["action"] == "voucher"}
    followed = {row["decision_id"] for row in outcomes.to_pylist() if row["is_wanted"]}
    assert vouchers
    assert followed & in_the_moment == vouchers  # the run's decisions of the day count as well
    desk.look()
    row = desk.ask(YES[61], NINE + 2 * DAY_MS)
    assert row["policy_version"] == found["version"]
    news, voucher = load_agent_model(desk.workspace.agent_model("spring")).actions.means
    assert news < 0.1
    assert voucher > 0.9


def test_a_window_that_is_open_is_waited_for(desk: Desk) -> None:
    a_day_of(desk, YES[:20], until="2026-06-08T06:59:59")
    assert learn_agent(desk.workspace, work_of(desk), LATE)["decisions"] == PEOPLE  # of the run at midnight
    tell(desk, "z", "2026-06-08T07:00:00")
    assert learn_agent(desk.workspace, work_of(desk), LATE)["decisions"] == PEOPLE + 20
    assert learn_agent(desk.workspace, work_of(desk), NINE + 2 * DAY_MS - 1)["decisions"] == PEOPLE


def test_the_same_facts_give_the_same_version_wherever_they_lie(desk: Desk) -> None:
    """In the journal, half landed, landed and archived, in the marts: nothing is served anew."""
    a_day_of(desk, YES[:30], until="2026-06-06T09:00")
    export_journal(desk.workspace)
    a_day_of(desk, YES[30:60])
    first = learn_agent(desk.workspace, work_of(desk), LATE)
    file = desk.workspace.agent_model("spring") / FACTS
    written = file.stat()
    assert unlanded_agent_decisions(desk.workspace, "spring").num_rows == 30
    assert unlanded_count(desk.workspace, "spring", LATE) == 30

    export_journal(desk.workspace)
    assert unlanded_count(desk.workspace, "spring", LATE) == 0
    again = [learn_agent(desk.workspace, work_of(desk), LATE)]
    archive_journal(desk.workspace, 0.0, START_MS + 30 * DAY_MS)
    assert journal_events(desk.workspace, ["purchase"], ["event_id"]).num_rows > 0
    assert heard_until_ms(desk.workspace) is None  # the service's own file is empty: it has heard of nothing since
    _build(desk.workspace, START_MS + 8 * DAY_MS)
    again.append(learn_agent(desk.workspace, work_of(desk), LATE))
    assert [(one["version"], one["is_new"]) for one in again] == [(first["version"], False)] * 2
    assert file.stat().st_mtime_ns == written.st_mtime_ns


def _build(workspace: Workspace, end_ms: int) -> None:
    """What dbt makes of landing: the journal's events in the mart, and a later end."""
    mart = pq.read_table(workspace.mart("events"))
    landed = pq.read_table(workspace.journal_events, columns=mart.column_names).cast(mart.schema)
    pq.write_table(pa.concat_tables([mart, landed]), workspace.mart("events"))
    pq.write_table(pa.table({"cut_at": times([end_ms]), "is_serving": [True]}), workspace.mart("feature_cuts"))


def test_outcomes_that_also_come_in_files_are_waited_for(desk: Desk) -> None:
    agent = work_of(desk).agent
    assert horizon_of(desk.workspace, agent).why == "nothing that the goal wants has come by /v1/track"
    a_day_of(desk, YES[:20])
    assert horizon_of(desk.workspace, agent) == Horizon(START_MS + 8 * DAY_MS)
    tell(desk, "z", "2026-06-01")  # the service has run since before the marts' last purchase, of 2 June
    found = horizon_of(desk.workspace, agent)
    assert (found.until_ms, found.why) == (END_MS, "purchase also comes by other ways than /v1/track")
    assert learn_agent(desk.workspace, work_of(desk), LATE)["decisions"] == 0


@pytest.mark.slow
def test_what_is_not_sound_is_not_served_and_told(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    for place in range(4):
        a_day_of(desk, YES[60 * place : 60 * place + 60])
    good = learn_agent(desk.workspace, work_of(desk), LATE)
    for user in YES[:240]:  # a week later nobody's purchase is told
        desk.ask(user, NINE + 8 * DAY_MS)
    tell(desk, "z", "2026-06-20")
    found = learn_agent(desk.workspace, work_of(desk), LATE)
    assert (found["version"], found["is_new"]) == (good["version"], False)
    assert found["refused"].endswith("are outcomes still told?")
    assert (found["again"], learn_agent(desk.workspace, work_of(desk), LATE)["again"]) == (False, True)
    assert refusal_of(desk.workspace, "spring") == found["refused"]
    assert agent_status(desk.workspace)["spring"]["not served"].endswith(found["refused"])
    assert load_agent_model(desk.workspace.agent_model("spring")).version == good["version"]
    assert {path.name for path in (desk.workspace.agents / "spring").iterdir()} >= {"model", "refused.json"}
    assert not (desk.workspace.agents / "spring" / "learnt").exists()

    assert main(["agent", "learn", "spring", "--at", "2026-06-30", "--anyway", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["is_new"], told["refused"], refusal_of(desk.workspace, "spring")) == (True, "", "")


def test_agents_are_looked_at_in_their_minutes_and_learn_where_something_is_new(desk: Desk) -> None:
    first = due_learning(desk.workspace, {}, 1_000.0, LATE)
    assert first.wanted == ()
    assert first.reason.startswith("spring: nothing that the goal wants has come by /v1/track")
    a_day_of(desk, YES[:20])
    assert due_learning(desk.workspace, first.asked, 1_599.0, LATE).wanted == ()  # ten minutes are not over
    due = due_learning(desk.workspace, first.asked, 1_600.0, LATE)
    assert (due.wanted, due.asked) == (("spring",), {"spring": 1_600.0})
    learn_agent(desk.workspace, work_of(desk), LATE)
    closed = closed_count(desk.workspace, work_of(desk).agent, START_MS + 8 * DAY_MS)
    assert learnt_count(desk.workspace, "spring") == closed == PEOPLE + 20
    assert "learnt from" in due_learning(desk.workspace, {}, 9_000.0, LATE).reason
    desk.workspace.configuration.write_text("agents: {daily: [spring], learn_every_minutes: 0}")
    assert due_learning(desk.workspace, {}, 9_000.0, LATE).wanted == ()


def tick(workspace: Workspace, instance: dg.DagsterInstance, cursor: str | None = None) -> Any:
    resources = {"ring": Ring(home=str(workspace.root))}
    with dg.build_sensor_context(instance=instance, resources=resources, cursor=cursor) as context:
        return agents_learn(context)


def test_the_sensor_asks_for_one_run_and_not_while_one_waits(desk: Desk) -> None:
    a_day_of(desk, YES[:20])
    with dg.DagsterInstance.ephemeral() as instance:
        assert tick(desk.workspace, instance).run_requests == []  # the partition comes with its file
        instance.add_dynamic_partitions("agents", ["spring"])
        found = tick(desk.workspace, instance)
        (request,) = found.run_requests
        assert (request.partition_key, request.tags["nextbest/agent"]) == ("spring", "spring")
        assert tick(desk.workspace, instance, found.cursor).run_requests == []
        job = dg.define_asset_job("agents_learn", "x")
        defs = dg.Definitions([dg.asset(name="x")(lambda: None)], jobs=[job])
        instance.create_run_for_job(defs.resolve_job_def("agents_learn"), status=dg.DagsterRunStatus.STARTED)
        assert tick(desk.workspace, instance).skip_reason.skip_message == "the last runs are not over yet"
