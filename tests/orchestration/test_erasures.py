"""Erasing in a workspace: agents leave people alone at once, counts stay right, learning goes on without them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from orchestration.agents import decide_agent, open_agent, run_agent
from orchestration.cli import main
from orchestration.defs.erasures import erasures_asked_for
from orchestration.deliveries import Webhook, deliver
from orchestration.erased_files import People, parquet_without, training_without
from orchestration.erasures import erase_people, status_told, waiting_for
from orchestration.resources import Ring
from recommender.agents.agent import NOTHING
from recommender.agents.erased_sends import sent_to_erased
from recommender.agents.published_audience import PublishedAudience
from recommender.model.training_set import GROUP_SCHEMA, TrainingSet
from recommender.workspace import Workspace
from services.batch_sends import BatchSends
from services.erasure import ask_erasures, erase_from_journal, erasures_under_way
from tests.agents.home import PEOPLE, START_MS, agents_home
from tests.orchestration.test_deliveries import SECRET, receiver

NOON = START_MS + 6 * 3_600_000
INVENTORY = 20


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """300 people and the agent `spring`, whose 20 vouchers all go out in the first run."""
    return agents_home(tmp_path / "home")


def run(workspace: Workspace, at_ms: int = NOON) -> pa.Table:
    return run_agent(workspace, open_agent(workspace, "spring"), at_ms)[0]


def vouchers(records: pa.Table) -> list[str]:
    return list(records.filter(pc.equal(records["action"], "voucher"))["user_id"].to_pylist())


def test_what_erased_people_were_sent_stays_gone_from_the_stock(workspace: Workspace) -> None:
    given = vouchers(run(workspace))
    assert len(given) == INVENTORY
    ask_erasures(workspace, given[:3])
    erase_people(workspace, print)
    (path,) = workspace.agent_decisions("spring").glob("*.parquet")
    assert set(given[:3]).isdisjoint(pq.read_table(path)["user_id"].to_pylist())
    assert sent_to_erased(path) == {"voucher": 3}
    assert vouchers(run(workspace, NOON + 3 * 24 * 3_600_000)) == []  # no run has one left
    counted = BatchSends(workspace)
    counted.refresh(NOON)
    assert counted.held.given["spring", "voucher"] == INVENTORY  # nor has the service
    counted.close()


def test_an_agent_leaves_people_alone_from_the_moment_they_ask(workspace: Workspace) -> None:
    written = run(workspace)
    somebody = written.filter(pc.not_equal(written["action"], NOTHING))["user_id"][0].as_py()
    ask_erasures(workspace, [somebody])
    later = decide_agent(workspace, open_agent(workspace, "spring"), NOON + 24 * 3_600_000)
    assert len(later) == PEOPLE - 1
    assert somebody not in later["user_id"].to_pylist()


def test_messages_that_wait_for_people_who_ask_to_be_erased_are_not_sent(workspace: Workspace) -> None:
    now_ms = round(datetime.now(UTC).timestamp() * 1000)
    records = run(workspace, now_ms)
    sent = records.filter(pc.not_equal(records["action"], NOTHING))["user_id"].to_pylist()
    with receiver(lambda number: 503) as refuses:  # all are put into the outbox
        deliver(workspace, open_agent(workspace, "spring"), Webhook(refuses.url, SECRET, ahead_ms=72 * 3_600_000))
    ask_erasures(workspace, sent[:5])
    with receiver() as takes:
        webhook = Webhook(takes.url, SECRET, ahead_ms=72 * 3_600_000, first_wait_ms=1)
        deliver(workspace, open_agent(workspace, "spring"), webhook, wait_s=5)
    told = {str(message["user_id"]) for message in takes.taken.values()}
    assert told.isdisjoint(sent[:5])
    erase_people(workspace, print)
    outbox = b"".join(path.read_bytes() for path in workspace.agent_deliveries("spring").iterdir())
    assert [who for who in sent[:5] if f'"{who}"'.encode() in outbox] == []


def test_a_run_that_is_killed_half_way_is_taken_up(workspace: Workspace) -> None:
    """Whatever had been cleared by then is cleared once more, and nothing is counted twice."""
    given = vouchers(run(workspace))
    ask_erasures(workspace, given[:3])
    erase_from_journal(workspace, erasures_under_way(workspace))
    people = People(given[:3], given[:3])
    parquet_without(workspace.mart("users"), people)
    (path,) = workspace.agent_decisions("spring").glob("*.parquet")
    assert erase_people(workspace, print)["erasures"] == 3
    assert sent_to_erased(path) == {"voucher": 3}
    assert erase_people(workspace, print) == {"erasures": 0}
    assert pq.read_metadata(workspace.mart("users")).num_rows == PEOPLE - 3
    published = PublishedAudience.open(workspace.agent_audience("spring"))
    assert published is not None
    assert [published.person(who) for who in given[:3]] == [None] * 3


def test_a_file_that_names_nobody_of_them_is_not_written(workspace: Workspace) -> None:
    before = workspace.mart("events").stat().st_mtime_ns
    assert parquet_without(workspace.mart("events"), People(["nobody"], ["nobody"])) == 0
    assert workspace.mart("events").stat().st_mtime_ns == before


def test_rejected_rows_that_name_people_go_whatever_they_are_written_in(tmp_path: Path) -> None:
    rows = ['{"userId": "ann", "event": 1}', "ann,view,2026", '{"userId": "anna"}', '{"text": "for ann only"}', "bob;1"]
    path = tmp_path / "dead_letters.parquet"
    pq.write_table(pa.table({"raw_row": rows}), path)
    assert parquet_without(path, People([], ["ann", "bob"])) == 4
    assert pq.read_table(path)["raw_row"].to_pylist() == ['{"userId": "anna"}']


def test_a_training_set_goes_on_without_their_slates(tmp_path: Path) -> None:
    sizes, users = [2, 3, 1], ["ann", "bob", "ann"]
    groups = {"kind": ["served"] * 3, "at_ms": [1] * 3, "labelled_until_ms": [2] * 3, "decision_id": ["a", "b", "c"],
              "user_id": users, "weight": [1.0] * 3, "size": sizes}  # fmt: skip
    rows = sum(sizes)
    numbers, ones = np.arange(rows), np.ones(rows)
    items = pa.array([f"item{row}" for row in range(rows)])
    TrainingSet(
        ("price",), numbers[:, None].astype(np.float32), ones.astype(np.float32), items, numbers, ones, ones, numbers,
        pa.table(groups, schema=GROUP_SCHEMA),
    ).save(tmp_path / "training")  # fmt: skip
    assert training_without(tmp_path / "training", People(["ann"], ["ann"])) == 2
    left = TrainingSet.load(tmp_path / "training")
    assert left.groups["user_id"].to_pylist() == ["bob"]
    assert left.item_id.to_pylist() == ["item2", "item3", "item4"]
    assert left.features[:, 0].tolist() == [2, 3, 4]


def test_dagster_asks_for_one_run_for_those_who_wait(workspace: Workspace) -> None:
    def tick() -> dg.RunRequest | dg.SkipReason:
        with dg.build_sensor_context(resources={"ring": Ring(home=str(workspace.root))}) as context:
            found = erasures_asked_for(context)
            assert isinstance(found, dg.RunRequest | dg.SkipReason)
            return found

    assert isinstance(tick(), dg.SkipReason)
    ask_erasures(workspace, ["u0001"])
    first, again = tick(), tick()
    assert isinstance(first, dg.RunRequest)
    assert isinstance(again, dg.RunRequest)
    assert first.run_key == again.run_key
    assert "u0001" not in str(first)
    waited = waiting_for(workspace)
    ask_erasures(workspace, ["u0002"])
    assert waiting_for(workspace) != waited


@pytest.fixture
def at_home(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("NEXTBEST_HOME", str(workspace.root))
    return workspace


def test_the_command_tells_how_far_each_erasure_is(at_home: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    ask_erasures(at_home, ["u0001"])
    assert main(["erase", "--status", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {"erasures": status_told(at_home)}
    assert [(one["state"], one["done_at"]) for one in told["erasures"]] == [("under way", None)]
    assert main(["erase"]) == 1
    assert "nobody to erase" in capsys.readouterr().err
    assert main(["erase", "--file", str(at_home.root / "none.txt")]) == 1
