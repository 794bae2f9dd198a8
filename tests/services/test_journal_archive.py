"""Old events and decisions leave the service's file and nothing else changes: the export is the same byte by byte."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from recommender.events import DAY_MS
from recommender.workspace import Workspace
from services.clock import Clock
from services.journal import Journal, export_journal
from services.journal_archive import archive_journal
from services.journal_export import unlanded_events
from services.records import Entry
from services.segment import parse_message

PROJECT = Path(__file__).resolve().parents[2]
NOW = Clock().now_ms()
TODAY = NOW + DAY_MS  # a cut of the states that holds nothing back


def message(name: str, days_ago: float, **person: str) -> Entry:
    received = NOW - round(days_ago * DAY_MS)
    body = {"type": "track", "event": "Opened", "messageId": name, **(person or {"userId": f"u{name}"})}
    return Entry(messages=(parse_message(body, None, Clock(), received),))


def decision(name: str, days_ago: float, **more: Any) -> Entry:
    row: dict[str, Any] = {"decision_id": name, "user_id": "u", "decided_at": NOW - round(days_ago * DAY_MS)}
    return Entry(decision={**row, "slate_features": b"\1\2", "policy": "greedy", **more})


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Ten days of events and decisions, the oldest first."""
    workspace = Workspace(tmp_path)
    journal = Journal(workspace.journal)
    for days_ago in range(9, -1, -1):
        journal.append([message(f"{days_ago}-{n}", days_ago) for n in range(30)])
        journal.append([decision(f"d{days_ago}", days_ago)])
    journal.close()
    return workspace


def exported(workspace: Workspace) -> tuple[bytes, bytes]:
    export_journal(workspace)
    return workspace.journal_events.read_bytes(), workspace.journal_decisions.read_bytes()


def held(workspace: Workspace) -> list[str]:
    """The events that the service's own file still holds."""
    journal = Journal(workspace.journal)
    found = [row for (row,) in journal._connection.execute("select event_id from events order by seq")]
    journal.close()
    return found


def test_what_is_old_leaves_the_file_and_the_export_stays_the_same(workspace: Workspace):
    before = exported(workspace)
    # Days 9 to 4 are older than three and a half days: six times 30 events and one decision.
    assert archive_journal(workspace, 3.5, TODAY) == {"events": 180, "decisions": 6}
    assert exported(workspace) == before
    assert len(held(workspace)) == 300 - 180
    assert archive_journal(workspace, 3.5, TODAY) == {"events": 0, "decisions": 0}
    assert archive_journal(workspace, 2.5, TODAY) == {"events": 30, "decisions": 1}
    assert exported(workspace) == before


def test_what_states_do_not_hold_yet_stays(workspace: Workspace):
    assert archive_journal(workspace, 1.0, None) == {"events": 0, "decisions": 0}
    assert archive_journal(workspace, 1.0, NOW - 8 * DAY_MS) == {"events": 30, "decisions": 1}
    assert held(workspace)[0] == "8-0"


def test_a_message_counts_once_and_a_visitor_keeps_the_history_when_it_is_archived(workspace: Workspace):
    journal = Journal(workspace.journal)
    journal.append([message("visit", 0.0, anonymousId="a")])
    assert archive_journal(workspace, 1.0, TODAY)["events"] == 270
    (again,) = journal.append([message("9-0", 0.0)])
    assert (again.stored, again.duplicates) == (0, 1)
    journal.append([message("who", 0.0, anonymousId="a", userId="known"), message("who else", 0.0)])
    known = message("merged", 0.0).messages[0]
    journal.append([Entry(messages=(known.__class__("merge", b"", NOW, (), (("u9-0", "known"),)),))])
    journal.close()
    export_journal(workspace)
    table = pq.read_table(workspace.journal_events, columns=["event_id", "user_id"]).to_pylist()
    people = {row["event_id"]: row["user_id"] for row in table}
    assert (people["9-0"], people["visit"], people["9-1"]) == ("known", "known", "u9-1")


def test_what_came_since_the_last_export_is_known_beside_an_archive(workspace: Workspace):
    export_journal(workspace)
    archive_journal(workspace, 3.5, TODAY)
    journal = Journal(workspace.journal)
    journal.append([message("new", 0.0)])
    journal.close()
    assert unlanded_events(workspace, 10)["event_id"].to_pylist() == ["new"]


def test_the_file_does_not_grow_by_what_is_archived(tmp_path: Path):
    """As many decisions of 10 kB every day, two days of them kept: the new ones take the pages of the old ones."""
    workspace = Workspace(tmp_path)
    journal, sizes = Journal(workspace.journal), []
    for day in range(20, 5, -1):
        journal.append([decision(f"{day}-{n}", day, context="x" * 10_000) for n in range(40)])
        archive_journal(workspace, day + 1.5, TODAY)
        journal.checkpoint()
        sizes.append(workspace.journal.stat().st_size)
    journal.close()
    assert sizes[0] > 40 * 10_000
    assert sizes[-1] <= 1.05 * sizes[2]


KILLED = """
import sys
from pathlib import Path
from recommender.workspace import Workspace
from services import journal_archive
journal_archive._AT_ONCE = 3
print("begins", flush=True)
journal_archive.archive_journal(Workspace(Path(sys.argv[1])), 0.5, 10**15)
"""


@pytest.mark.slow
def test_nothing_is_lost_and_nothing_counts_twice_when_it_is_killed_in_between(workspace: Workspace):
    before, chance, killed = exported(workspace), random.Random(3), 0
    for _ in range(6):
        command = [sys.executable, "-c", KILLED, str(workspace.root)]
        with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE) as running:
            assert running.stdout is not None
            running.stdout.readline()
            time.sleep(chance.uniform(0.0, 0.1))
            running.kill()
            killed += running.wait() != 0
        assert exported(workspace) == before
    assert killed
    archive_journal(workspace, 0.5, TODAY)
    assert exported(workspace) == before
    assert held(workspace) == [f"0-{n}" for n in range(30)]
