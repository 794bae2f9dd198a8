"""Two policies of one agent: what `nextbest agent` says of them, from the file to the readout."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from orchestration.agents import open_agent, read_agent_decisions, run_agent
from orchestration.cli import main
from recommender.events import DAY_MS
from recommender.workspace import Workspace
from tests.agents.home import PEOPLE, SPRING, START_MS, agents_home

SEVERAL = SPRING.replace(", inventory: 20", "") + "policies:\n  lints: 0.5\n  steady: {share: 0.5, policy: fixed}\n"


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """300 people and the agent `spring`, which tries two policies."""
    monkeypatch.setenv("NEXTBEST_HOME", str(tmp_path / "home"))
    workspace = agents_home(tmp_path / "home")
    (workspace.agents / "spring.yml").write_text(SEVERAL)
    return workspace


def decide(workspace: Workspace, *days: int) -> pa.Table:
    for day in days:
        run_agent(workspace, open_agent(workspace, "spring"), START_MS + day * DAY_MS)
    return read_agent_decisions(workspace, "spring")


def test_check_and_run_tell_of_the_policies(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["agent", "check", "--json"]) == 0
    (report,) = json.loads(capsys.readouterr().out)["agents"]
    same = {"share": 0.5, "exploration": 0.5, "suppressed_share": 0.0}
    assert report["policies"] == {"lints": {"policy": "lints", **same}, "steady": {"policy": "fixed", **same}}
    assert main(["agent", "dry-run", "spring", "--at", "2026-06-01", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["variants"]
    assert told.keys() == {"lints", "steady"}
    assert sum(told.values()) == PEOPLE


def test_a_readout_compares_arms_and_policies(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    records = decide(workspace, 0, 1)
    assert main(["agent", "readout", "spring", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["control"], report["compares"]) == ("holdout", "arms")
    own = report["policies"]
    assert own["control"] == "lints"  # the first of the file
    (compared,) = own["comparisons"]
    assert compared["arm"] == "steady"
    entered = records.filter(pc.and_(pc.equal(records["arm"], "agent"), pc.is_valid(records["send_share"])))
    assert own["people"] == pc.count_distinct(entered["user_id"]).as_py()
    assert own["verdict"] == "not_enough_evidence"
    assert "steady and lints are not told apart yet" in own["sentence"]
    assert compared["people_needed"] == round(own["people"] * (compared["detectable"] / compared["difference"]) ** 2)
    page = (workspace.agent_reports("spring") / "experiment.html").read_text()
    assert "Its policies beside each other" in page
    assert own["sentence"].split(":")[0] in page
    assert main(["agent", "readout", "spring", "--control", "steady", "--peeking"]) == 0
    said = capsys.readouterr().out
    assert main(["agent", "insights", "spring"]) == 0
    insights = (workspace.agent_reports("spring") / "insights.html").read_text()
    assert "Which policy does better</h2><p>steady and lints are not told apart yet" in insights
    assert "purchases per 100 people, beside lints" in insights
    assert "lints and steady are not told apart yet" in said
    assert ", however often one looks)" in said
    assert "agent and holdout differ by" in said


def test_an_agent_without_a_holdout_can_still_compare_its_policies(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    (workspace.agents / "spring.yml").write_text(SEVERAL.replace("shares: {holdout: 0.2}", "shares: {holdout: 0}"))
    decide(workspace, 0, 1)
    assert main(["agent", "readout", "spring", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["control"], report["compares"]) == ("lints", "policies")
    assert (
        "What the policies of the agent spring bring"
        in (workspace.agent_reports("spring") / "experiment.html").read_text()
    )
    assert main(["agent", "insights", "spring", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["readout"] is None


def test_people_who_got_lost_on_one_side_are_noticed_before_anything_is_read(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    decide(workspace, 0)
    (path,) = workspace.agent_decisions("spring").glob("*.parquet")
    records = pq.read_table(path)
    lost = pc.and_(pc.equal(records["variant"], "steady"), pc.less(records["user_id"], "u0200"))
    pq.write_table(records.filter(pc.invert(lost)), path)
    assert main(["agent", "readout", "spring"]) == 1
    said = capsys.readouterr()
    assert "nextbest: " in said.err
    assert "agent" in said.out  # the arms are sound, and are read


def test_decisions_of_before_there_were_several_policies_are_read_and_learnt_from(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    (workspace.agents / "spring.yml").write_text(SPRING)
    decide(workspace, 0)
    (path,) = workspace.agent_decisions("spring").glob("*.parquet")
    pq.write_table(pq.read_table(path).drop_columns(["variant", "variant_share"]), path)
    assert main(["agent", "learn", "spring", "--at", "2026-06-04"]) == 0
    (workspace.agents / "spring.yml").write_text(SEVERAL)
    capsys.readouterr()
    assert main(["agent", "readout", "spring", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert "policies" not in report
    assert "The policies cannot be compared yet: no decision so far." in report["cautions"]
    assert main(["agent", "learn", "spring", "--at", "2026-06-04", "--json"]) == 0
    learnt = json.loads(capsys.readouterr().out)
    assert learnt["decisions"] == PEOPLE
    assert {name: own["decisions"] for name, own in learnt["variants"].items()} == {"lints": PEOPLE, "steady": PEOPLE}
