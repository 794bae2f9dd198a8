"""What runs have sent, as a worker holds it: every message found by its person, old ones counted alone."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recommender.agents.agent import NOTHING
from recommender.agents.run_files import name_of_run
from recommender.agents.turns import alone
from recommender.events import DAY_MS
from recommender.workspace import Workspace
from services.batch_sends import REMEMBERED_MS, BatchSends

NOW = 1_780_272_000_000


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


def run(workspace: Workspace, agent: str, at_ms: int, sent: dict[str, str]) -> None:
    """A run of an agent: person → action."""
    folder = workspace.agent_decisions(agent)
    folder.mkdir(parents=True, exist_ok=True)
    at = [None if action == NOTHING else at_ms for action in sent.values()]
    columns = {
        "user_id": pa.array(list(sent), pa.string()),
        "send_at": pa.array(at, pa.int64()).cast(pa.timestamp("ms")),
        "action": pa.array(list(sent.values()), pa.string()),
        "channel": pa.array([None if action == NOTHING else f"by {action}" for action in sent.values()], pa.string()),
    }
    with alone(workspace.agents):
        pq.write_table(pa.table(columns), folder / name_of_run(at_ms))


def test_every_message_is_found_by_its_person(workspace: Workspace) -> None:
    sends = BatchSends(workspace)
    people = [f"u{number}" for number in range(70_000)]  # more than are read at a time
    run(workspace, "spring", NOW, {user: "news" if place % 2 else NOTHING for place, user in enumerate(people)})
    run(workspace, "autumn", NOW - DAY_MS, dict.fromkeys(people[:3], "rebate"))
    sends.refresh(NOW)
    held = sends.held
    assert held.to(["u1"]) == [(NOW - DAY_MS, "autumn", "rebate", "by rebate"), (NOW, "spring", "news", "by news")]
    assert held.to(["u2"]) == [(NOW - DAY_MS, "autumn", "rebate", "by rebate")]
    assert held.to(["u69999", "u4", "stranger"]) == [(NOW, "spring", "news", "by news")]
    assert held.given == {("spring", "news"): 35_000, ("autumn", "rebate"): 3}
    sends.close()


def test_what_is_new_is_added_and_what_is_old_is_counted_alone(workspace: Workspace) -> None:
    sends = BatchSends(workspace)
    run(workspace, "spring", NOW - REMEMBERED_MS - 1, {"u1": "news"})
    sends.refresh(NOW)
    first = sends.held
    assert (first.to(["u1"]), first.given) == ([], {("spring", "news"): 1})
    sends.refresh(NOW)
    assert sends.held is first
    run(workspace, "spring", NOW, {"u1": "voucher"})
    sends.refresh(NOW)
    assert sends.held.to(["u1"]) == [(NOW, "spring", "voucher", "by voucher")]
    assert sends.held.given == {("spring", "news"): 1, ("spring", "voucher"): 1}
    sends.close()


def test_nothing_is_read_while_a_run_is_at_work(workspace: Workspace) -> None:
    sends = BatchSends(workspace)
    with alone(workspace.agents):
        sends.refresh(NOW)
        assert sends.held.turns == -1
    sends.refresh(NOW)
    assert sends.held.turns == 1
    sends.close()
