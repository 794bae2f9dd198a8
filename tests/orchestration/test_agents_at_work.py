"""`nextbest agent` on marts: an audience that can only read them, runs that happen once, caps across agents."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from orchestration.agent_report import check_agent
from orchestration.agents import open_agent, read_agent_decisions, run_agent
from orchestration.audience_query import query_audience
from orchestration.cli import main
from recommender.agents.agent import NOTHING
from recommender.errors import ConfigurationError, InputError
from recommender.events import DAY_MS
from recommender.workspace import Workspace
from tests.agents.home import PEOPLE, SPRING, START_MS, agents_home


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """300 people and the agent `spring`."""
    monkeypatch.setenv("NEXTBEST_HOME", str(tmp_path / "home"))
    return agents_home(tmp_path / "home")


def test_an_audience_reads_the_marts_and_the_keys_of_attributes(workspace: Workspace) -> None:
    sql = "select *, getvariable('decided_at') as decided from users where user_id < 'u0100'"
    audience = query_audience(workspace.marts, sql, START_MS)
    assert len(audience) == 100
    assert audience.consents("email").tolist() == [False] * 50 + [True] * 50
    assert audience.table["decided"].cast(pa.timestamp("ms")).cast(pa.int64()).to_pylist() == [START_MS] * 100


@pytest.mark.parametrize(
    "sql",
    [
        "select content as user_id from read_text('{root}/agents/spring.yml')",
        "select file as user_id from glob('{root}/*')",
        "select user_id from read_parquet('https://example.org/users.parquet')",
        "select * from secret",
        "select user_id from users; select user_id from users",
        "copy (select 1) to '{root}/out.csv'",
        "attach '{root}/warehouse.db'",
        "install httpfs",
        "set lock_configuration = false",
        "create table t as select 1 as user_id",
        "drop view users",
        "",
    ],
)
def test_an_audience_can_do_nothing_else(workspace: Workspace, sql: str) -> None:
    secret = pa.table({"user_id": ["what this program holds"]})
    with pytest.raises(InputError, match=r"an audience (of|that cannot be asked for)"):
        query_audience(workspace.marts, sql.format(root=workspace.root), START_MS)
    assert sorted(path.name for path in workspace.root.iterdir()) == ["agents", "marts"]
    assert secret.num_rows == 1


def test_a_run_is_written_once_for_each_moment(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["agent", "dry-run", "spring", "--at", "2026-06-01"]) == 0
    assert not (workspace.agents / "spring").exists()
    dry = capsys.readouterr().out
    assert main(["agent", "run", "spring", "--at", "2026-06-01", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert f"messages: {told['messages']}" in dry
    path = workspace.agent_decisions("spring") / "20260601T000000000Z.parquet"
    written = path.read_bytes()
    (workspace.agents / "spring.yml").write_text(SPRING.replace("0.5", "0.1"))
    assert main(["agent", "run", "spring", "--at", "2026-06-01", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["is_new"] is False
    assert path.read_bytes() == written
    assert told["is_new"] is True
    assert told["people"] == PEOPLE
    assert told["actions"]["voucher"] <= 20
    # Of the people outside of the holdout everybody but those who said no gets a message.
    assert told["why nothing"].keys() == {"holdout", "consent"}
    assert told["messages"] == PEOPLE - sum(told["why nothing"].values())


def test_caps_and_stock_hold_across_runs_and_agents(workspace: Workspace) -> None:
    (workspace.agents / "autumn.yml").write_text(SPRING.replace("voucher", "rebate"))
    for name in ("spring", "autumn"):
        for hour in (0, 1):
            run_agent(workspace, open_agent(workspace, name), START_MS + hour * 3_600_000)
    run_agent(workspace, open_agent(workspace, "spring"), START_MS + DAY_MS)
    spring, autumn = (read_agent_decisions(workspace, name) for name in ("spring", "autumn"))
    both = pa.concat_tables([spring, autumn])
    sent = both.filter(pc.not_equal(both["action"], NOTHING))
    days = (sent["send_at"].cast(pa.int64()).to_numpy() + 2 * 3_600_000) // DAY_MS  # summer in Berlin
    pairs = list(zip(sent["user_id"].to_pylist(), days.tolist(), strict=True))
    assert len(pairs) == len(set(pairs))
    assert pc.sum(pc.equal(spring["action"], "voucher")).as_py() == 20
    assert set(np.unique(days)) >= {START_MS // DAY_MS, START_MS // DAY_MS + 1}


def test_learning_waits_for_what_the_marts_do_not_know_yet(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    for day in (0, 3, 4):  # the marts end on day 5: the window of the last of these is open
        run_agent(workspace, open_agent(workspace, "spring"), START_MS + day * DAY_MS)
    assert main(["agent", "learn", "spring", "--at", "2030-01-01", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["decisions"] == 2 * PEOPLE
    assert main(["agent", "dry-run", "spring", "--at", "2026-06-08", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["policy"] == {"best": PEOPLE}


def test_check_names_what_the_data_do_not_have(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    path = workspace.agents / "spring.yml"
    wrong = SPRING.replace("purchase: 1", "purchases: 1").replace(
        "{name: news, channel: email}", "{name: news, channel: emails}"
    )
    wrong += "eligibility: {stop_after: {order: 24, purchase: 24}}\n"
    path.write_text(wrong.replace("inventory: 20", "when: {ages: {min: 3}}"))
    assert main(["agent", "check", "--json"]) == 0
    (report,) = json.loads(capsys.readouterr().out)["agents"]
    assert report["people"] == PEOPLE
    assert report["warnings"] == [
        "action voucher asks for ages, which the audience does not have; did you mean age?",
        "nobody can get emails: the audience has no consent_emails; did you mean consent_email?",
        "the goal counts purchases, which has not come so far; did you mean purchase?",
        "messages stop after order, which has not come so far",
    ]
    path.write_text(SPRING.replace("inventory", "inventori"))
    assert main(["agent", "check"]) == 1
    assert "spring.yml, line 5, key actions[1].inventori" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("right", "wrong", "told"),
    [
        ("limit: 1", "limit: 0", "the cap of 0 a day lets nothing through: leave it out, or raise it"),
        ("inventory: 20", "inventory: 0", "action voucher has an inventory of 0: nobody gets it"),
        ("from users", "from users where false", "the audience is of nobody"),
        (
            "*, 40 as age",
            "* replace (if(user_id < 'u0003', 'Berlin', timezone) as timezone)",
            "3 people have no IANA zone such as Europe/Berlin ('Berlin' most often): they get UTC",
        ),
    ],
)
def test_check_tells_of_what_reaches_nobody_or_at_the_wrong_hour(
    workspace: Workspace, right: str, wrong: str, told: str
) -> None:
    path = workspace.agents / "spring.yml"
    path.write_text(SPRING.replace(right, wrong))
    assert check_agent(workspace, path, START_MS)["warnings"] == [told]


@pytest.mark.parametrize("share", ["20", "20%", "'20 %'"])
def test_who_writes_percents_is_told_the_share(workspace: Workspace, share: str) -> None:
    path = workspace.agents / "spring.yml"
    path.write_text(SPRING.replace("holdout: 0.2", f"holdout: {share}"))
    with pytest.raises(ConfigurationError, match=r"spring\.yml, line 8, key shares\.holdout: .* 20 % is 0\.2\."):
        check_agent(workspace, path, START_MS)


@pytest.mark.parametrize("audience", ["select nothing from users", "drop view users", "select timezone from users"])
def test_check_names_the_line_of_an_audience_that_cannot_be_asked_for(workspace: Workspace, audience: str) -> None:
    path = workspace.agents / "spring.yml"
    path.write_text("# in the second line\n" + SPRING.replace("select *, 40 as age from users", audience))
    with pytest.raises(ConfigurationError, match=r"spring\.yml, line 2, key audience: "):
        check_agent(workspace, path, START_MS)


def test_an_unknown_agent_is_answered_with_its_neighbour(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["agent", "run", "Spring"]) == 1
    assert "Did you mean spring?" in capsys.readouterr().err
