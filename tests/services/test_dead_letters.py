"""Dead letters wait, are replayed by the parser that refused them, and count once."""

from __future__ import annotations

import json
from datetime import UTC
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from orchestration.cli import main
from recommender.workspace import Workspace
from services.clock import Clock
from services.dead_letters import ReplayReport, list_letters, replay_letters, waiting_reasons
from services.journal import Journal, export_journal
from services.records import DeadLetter, Entry
from services.segment import parse_messages

GOOD = {"type": "track", "event": "Product Viewed", "userId": "u", "messageId": "m1", "properties": {"product_id": "p"}}
BAD = {**GOOD, "messageId": "m2", "properties": {}}
HOUR_MS = 3_600_000


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


def journal_of(workspace: Workspace, *letters: tuple[dict[str, Any], str], sent_at: str | None = None) -> Journal:
    """A journal with letters as an earlier parser left them."""
    journal = Journal(workspace.journal)
    kept = tuple(DeadLetter(reason, json.dumps(body).encode(), 10 * HOUR_MS, sent_at) for body, reason in letters)
    journal.append([Entry(dead_letters=kept)])
    return journal


def stored(workspace: Workspace) -> list[dict[str, Any]]:
    export_journal(workspace)
    return pq.read_table(workspace.journal_events).to_pylist()


def test_a_letter_that_passes_now_is_stored_once_and_marked(workspace: Workspace) -> None:
    journal_of(workspace, (GOOD, "the parser of old did not know it"))
    assert replay_letters(workspace) == ReplayReport(stored=1, duplicates=0, failed={})
    assert [row["event_id"] for row in stored(workspace)] == ["m1"]
    assert pq.read_table(workspace.journal_dead_letters).num_rows == 0
    assert (waiting_reasons(workspace), list_letters(workspace, 10)) == ({}, [])
    assert replay_letters(workspace) == ReplayReport(0, 0, {})


def test_one_that_fails_again_waits_on_with_its_new_reason(workspace: Workspace) -> None:
    journal_of(workspace, (BAD, "an old reason"), (GOOD, "another"))
    report = replay_letters(workspace)
    assert (report.stored, list(report.failed.values())) == (1, [1])
    assert waiting_reasons(workspace) == {"'Product Viewed' needs properties.product_id": 1}
    assert [json.loads(letter.raw) for letter in list_letters(workspace, 10)] == [BAD]
    assert export_journal(workspace)["dead_letters"] == 1


def test_what_was_sent_again_meanwhile_is_a_duplicate(workspace: Workspace) -> None:
    journal = journal_of(workspace, (GOOD, "an old reason"))
    journal.append([parse_messages([GOOD], None, Clock())])
    assert replay_letters(workspace) == ReplayReport(0, 1, {})
    assert len(stored(workspace)) == 1


def test_letters_without_an_id_are_told_apart_and_found_again(workspace: Workspace) -> None:
    nameless = [{"type": "track", "event": event, "userId": "u"} for event in ("Open", "Close")]
    journal_of(workspace, *((body, "an old reason") for body in nameless))
    assert replay_letters(workspace).stored == 2
    assert len({row["event_id"] for row in stored(workspace)}) == 2


def test_it_happened_when_it_was_sent_and_is_known_since_the_replay(workspace: Workspace) -> None:
    """The device is 5 h ahead: 40 minutes before sending at 15:00 by its clock is 09:20 by ours."""
    late = {**GOOD, "timestamp": "1970-01-01T14:20:00Z"}
    journal_of(workspace, (late, "an old reason"), sent_at="1970-01-01T15:00:00Z")
    before = Clock().now_ms()
    replay_letters(workspace)
    (row,) = stored(workspace)
    assert row["occurred_at"].isoformat() == "1970-01-01T09:20:00"
    assert row["recorded_at"].replace(tzinfo=UTC).timestamp() * 1000 >= before


def test_many_letters_are_replayed_in_several_commits(workspace: Workspace) -> None:
    bodies = [({**GOOD, "messageId": f"m{n}"}, "an old reason") for n in range(1_201)]
    journal_of(workspace, *bodies)
    assert replay_letters(workspace).stored == 1_201
    assert len(stored(workspace)) == 1_201


def test_a_person_may_correct_a_letter_by_hand(
    workspace: Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEXTBEST_HOME", str(workspace.root))
    journal_of(workspace, (BAD, "needs properties.product_id"), ({**BAD, "messageId": "m3"}, "needs it as well"))
    assert main(["dead-letters", "list", "--json", "--limit", "1"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert (listed["waiting"], len(listed["letters"])) == (2, 1)
    listed["letters"][0]["message"]["properties"]["product_id"] = "p9"
    file = workspace.root / "corrected.json"
    file.write_text(json.dumps(listed))
    assert main(["dead-letters", "replay", "--from", str(file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"stored": 1, "duplicates": 0, "failed": 0, "reasons": {}}
    assert [(row["event_id"], row["item_id"]) for row in stored(workspace)] == [("m2", "p9")]
    assert main(["dead-letters", "list"]) == 0
    assert "m3" in capsys.readouterr().out
    file.write_text("[1]")
    assert main(["dead-letters", "replay", "--from", str(file)]) == 1
    assert "list --json" in capsys.readouterr().err


def test_an_empty_workspace_has_no_letters_and_gets_no_journal(workspace: Workspace) -> None:
    assert (list_letters(workspace, 5), waiting_reasons(workspace)) == ([], {})
    assert replay_letters(workspace) == ReplayReport(0, 0, {})
    assert not workspace.journal.exists()
