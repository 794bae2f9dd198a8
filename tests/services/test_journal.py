"""The journal: acknowledged means stored once, and what is stored leaves as canonical Parquet."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recommender.errors import InputError
from recommender.events import DAY_MS, DEAD_LETTER_SCHEMA, DECISION_SCHEMA, EVENT_SCHEMA
from recommender.workspace import Workspace
from services.clock import Clock
from services.group_commit import GroupCommit
from services.journal import Journal, export_journal, export_table
from services.journal_keeper import MOST_LOG_BYTES, JournalKeeper
from services.journal_retention import trim_journal
from services.records import Entry
from services.segment import parse_message, parse_messages

CLOCK = Clock("replay", 0)
DAY = ["2026-01-01", "2026-01-02", "2026-01-03", "2026-01-04"]


def click(message_id: str, day: str = DAY[0], **rest: Any) -> dict[str, Any]:
    person = {} if "anonymousId" in rest else {"userId": "u1"}
    body = {"type": "track", "event": "Product Clicked", "properties": {"product_id": "p1", "price": 0.1}}
    return {**body, "messageId": message_id, "context": {"occurred_at": day}, **person, **rest}


def entry(*bodies: Any) -> Entry:
    return parse_messages(list(bodies), None, CLOCK)


def decision(decision_id: str, n_candidates: int = 3) -> dict[str, Any]:
    items = [f"p{n}" for n in range(n_candidates)]
    scores = np.linspace(0.1, 0.7, n_candidates, dtype=np.float32)
    return {
        "decision_id": decision_id,
        "user_id": "u1",
        "anonymous_id": None,
        "placement": "home",
        "decided_at": 1_800_000_000_123,
        "state_as_of": None,
        "journal_seq": 4,
        "context": "{}",
        "filter": "{}",
        "slate_item_ids": items[:2],
        "slate_scores": scores[:2].tolist(),
        "slate_sources": ["popular", "history"],
        "slate_propensities": [1.0, 1 / 3],
        "slate_features": scores.tobytes(),
        "candidate_item_ids": items,
        "candidate_scores": scores.tolist(),
        "candidate_sources": ["popular"] * n_candidates,
        "verdicts": "{}",
        "trace": "{}",
        "policy": "greedy",
        "variant": "champion",
        "seed": 2**62,
        "model_version": "v",
        "feature_version": "f",
        "tier": "full",
        "is_degraded": False,
    }


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


@pytest.fixture
def journal(workspace: Workspace) -> Journal:
    return Journal(workspace.journal)


def exported(workspace: Workspace) -> pa.Table:
    export_journal(workspace)
    return pq.read_table(workspace.journal_events)


def test_a_message_sent_three_times_is_stored_once(workspace: Workspace, journal: Journal) -> None:
    receipts = [journal.append([entry(click("a"), click("b"))])[0] for _ in range(3)]
    assert [(receipt.stored, receipt.duplicates) for receipt in receipts] == [(2, 0), (0, 2), (0, 2)]
    assert exported(workspace)["event_id"].to_pylist() == ["a", "b"]


def test_duplicates_inside_one_batch_are_stored_once(workspace: Workspace, journal: Journal) -> None:
    (receipt,) = journal.append([entry(click("a"), click("a"))])
    assert (receipt.stored, receipt.duplicates) == (1, 1)
    assert exported(workspace).num_rows == 1


def test_events_leave_in_canonical_columns(workspace: Workspace, journal: Journal) -> None:
    journal.append([entry(click("a", DAY[1]))])
    table = exported(workspace)
    assert table.schema.equals(EVENT_SCHEMA)
    row = table.to_pylist()[0]
    assert (row["event_type"], row["item_id"], row["price_micros"], row["origin"]) == (
        "click",
        "p1",
        100_000,
        "journal",
    )
    assert row["occurred_at"].isoformat() == row["recorded_at"].isoformat() == f"{DAY[1]}T00:00:00"


def test_live_events_are_those_recorded_at_or_after_the_cut(journal: Journal) -> None:
    journal.append([entry(*(click(day, day) for day in DAY)), entry(click("other", DAY[3], userId="u2"))])
    cut_ms = CLOCK.request_moment({"occurred_at": DAY[2]})
    live = journal.live_events(["u1"], cut_ms)
    assert [event.event_id for event in live.events] == DAY[2:]
    assert live.journal_seq == 4
    assert journal.live_events(["nobody"], 0).journal_seq == 0


def test_anonymous_events_become_the_persons_once_identified(workspace: Workspace, journal: Journal) -> None:
    journal.append([entry(click("a", anonymousId="x"), click("b"))])
    assert exported(workspace)["user_id"].to_pylist() == ["anon:x", "u1"]
    assert journal.identified("x") is None
    journal.append([entry({"type": "identify", "messageId": "i", "userId": "u1", "anonymousId": "x"})])
    assert journal.identified("x") == "u1"
    live = journal.live_events(["u1"], 0)
    assert [(event.event_id, event.user_id) for event in live.events] == [("a", "u1"), ("b", "u1"), ("i", "u1")]
    assert set(exported(workspace)["user_id"].to_pylist()) == {"u1"}


def alias(message_id: str, earlier: str, user_id: str) -> dict[str, Any]:
    return {"type": "alias", "messageId": message_id, "previousId": earlier, "userId": user_id}


def test_a_merge_of_two_users_takes_along_whoever_was_the_first(workspace: Workspace, journal: Journal) -> None:
    journal.append([entry(click("a", anonymousId="x"), click("b", userId="old"), click("c", userId="new"))])
    journal.append([entry({"type": "identify", "messageId": "i", "userId": "old", "anonymousId": "x"})])
    journal.append([entry(alias("m", "old", "new"))])
    assert journal.identified("x") == "new"
    assert {event.event_id for event in journal.live_events(["new"], 0).events} == {"a", "b", "c", "i"}
    assert set(exported(workspace)["user_id"].to_pylist()) == {"new"}
    # A device that still says "old" speaks of the same person; the merge told the other way round holds from then on.
    journal.append([entry(click("d", userId="old", anonymousId="y"))])
    assert journal.identified("y") == "new"
    journal.append([entry(alias("n", "new", "old"))])
    assert set(exported(workspace)["user_id"].to_pylist()) == {"old"}


def test_a_decision_comes_back_bit_for_bit(workspace: Workspace, journal: Journal) -> None:
    kept = [decision(f"d{n}", n_candidates=n + 3) for n in range(4)]
    journal.append([Entry(decision=row) for row in kept])
    assert journal.decision("d2") == kept[2]
    assert journal.decision("missing") is None
    export_journal(workspace)
    table = pq.read_table(workspace.journal_decisions)
    times = {"decided_at", "state_as_of"}
    expected = pa.Table.from_pylist(kept, schema=DECISION_SCHEMA)
    assert table.equals(expected), [name for name in set(table.column_names) - times if table[name] != expected[name]]


def test_rejected_messages_are_letters_with_reasons_and_never_twice(workspace: Workspace, journal: Journal) -> None:
    bad = {"type": "track", "userId": "u"}
    for _ in range(2):
        (receipt,) = journal.append([entry(bad, click("a"))])
    assert len(receipt.rejected) == 1
    counts = export_journal(workspace)
    assert (counts["events"], counts["dead_letters"]) == (1, 1)
    (letter,) = pq.read_table(workspace.journal_dead_letters).to_pylist()
    assert letter["raw_row"] == '{"type":"track","userId":"u"}'
    assert "name its event" in letter["reason"]


def test_a_journal_that_does_not_exist_yet_exports_empty_tables(workspace: Workspace) -> None:
    assert set(export_journal(workspace).values()) == {0}
    for path, schema in (
        (workspace.journal_events, EVENT_SCHEMA),
        (workspace.journal_decisions, DECISION_SCHEMA),
        (workspace.journal_dead_letters, DEAD_LETTER_SCHEMA),
    ):
        assert pq.read_table(path).schema.equals(schema)
    assert not workspace.journal.exists()


def test_the_same_journal_exports_the_same_bytes(workspace: Workspace, journal: Journal, tmp_path: Path) -> None:
    journal.append([entry(*(click(str(n)) for n in range(500))), Entry(decision=decision("d"))])
    for name in ("events", "decisions"):
        paths = [tmp_path / f"{name}{n}.parquet" for n in range(2)]
        assert {export_table(workspace, name, path) for path in paths} == {500 if name == "events" else 1}
        assert paths[0].read_bytes() == paths[1].read_bytes()
    with pytest.raises(InputError, match="called 'users'"):
        export_table(workspace, "users", tmp_path / "users.parquet")


def test_raw_messages_are_forgotten_after_a_while_and_still_count_once(workspace: Workspace, journal: Journal) -> None:
    now = Clock().now_ms()
    for received, name in ((now - 40 * DAY_MS, "old"), (now - 20 * DAY_MS, "new")):
        messages = [parse_message(click(f"{name}{n}"), None, Clock(), received) for n in range(3)]
        journal.append([Entry(messages=tuple(messages))])
    assert trim_journal(workspace, keep_days=30) == 3
    assert trim_journal(workspace, keep_days=30) == 0
    assert journal.append([entry(click("old0"), click("new0"))])[0].duplicates == 2
    assert exported(workspace).num_rows == 6
    with sqlite3.connect(workspace.journal) as reader:
        kept = reader.execute("select message_id, raw from raw_messages").fetchall()
    assert [name for name, _ in kept] == ["new0", "new1", "new2"]
    assert json.loads(kept[0][1]) == click("new0")
    assert trim_journal(workspace, keep_days=0) == 3


def test_two_writers_and_many_waiting_requests_lose_and_double_nothing(workspace: Workspace) -> None:
    writers = [GroupCommit(workspace.journal), GroupCommit(workspace.journal)]
    receipts = []

    def send(worker: int) -> None:
        # Both writers are handed the same messages: each must be stored by exactly one of them.
        futures = [writers[worker].submit(entry(click(str(n)))) for n in range(200)]
        receipts.extend(future.result() for future in futures)

    threads = [threading.Thread(target=send, args=(worker,)) for worker in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for writer in writers:
        writer.close()
    assert sum(receipt.stored for receipt in receipts) == sum(receipt.duplicates for receipt in receipts) == 200
    assert sorted(exported(workspace)["event_id"].to_pylist(), key=int) == [str(n) for n in range(200)]


def test_many_may_open_a_fresh_journal_at_once(workspace: Workspace) -> None:
    start, opened = threading.Barrier(8), []

    def open_it() -> None:
        start.wait()
        opened.append(Journal(workspace.journal))

    threads = [threading.Thread(target=open_it) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [one.counts()["events"] for one in opened] == [0] * 8


def test_an_entry_that_cannot_be_stored_fails_alone(workspace: Workspace) -> None:
    writer = GroupCommit(workspace.journal)
    poisoned = Entry(decision={**decision("d"), "seed": object()})
    futures = [writer.submit(item) for item in (entry(click("a")), poisoned, entry(click("b")))]
    assert futures[0].result().stored == futures[2].result().stored == 1
    with pytest.raises(TypeError):
        futures[1].result()
    writer.close()


def test_events_are_synced_when_acknowledged_and_decisions_soon_after(tmp_path):
    journal = Journal(tmp_path / "journal.db", is_kept=True)
    keeper = JournalKeeper(tmp_path / "journal.db", journal)
    with journal.turn():
        journal.append([Entry(decision=decision("d1"))])
    assert journal.has_unsynced
    with journal.turn():
        journal.append([Entry(decision=decision("d2")), entry(click("m1"))])
    assert not journal.has_unsynced
    with journal.turn():
        journal.append([Entry(decision=decision("d3"))])
    keeper.keep()
    assert not journal.has_unsynced
    keeper.close()
    journal.close()


def test_moving_the_log_holds_nobody_up_unless_too_much_of_it_is_left(tmp_path):
    """A reader in the middle of its look keeps what came after it from being moved; a writer has its turn meanwhile."""
    path = tmp_path / "journal.db"
    with closing(Journal(path)) as journal, closing(sqlite3.connect(path, isolation_level=None)) as reader:
        journal.append([Entry(decision=decision("before"))])
        reader.execute("begin")
        assert reader.execute("select count(*) from decisions").fetchone() == (1,)
        journal.append([Entry(decision=decision("after"))])
        with closing(Journal(path)) as other, other.turn():
            journal.checkpoint(most_bytes=1 << 20)  # does not wait for the turn to end
            waiting = threading.Thread(target=journal.checkpoint, args=(0,))
            waiting.start()
            waiting.join(0.2)
            assert waiting.is_alive()
        waiting.join(10)
        assert not waiting.is_alive()


@pytest.mark.slow
def test_the_log_is_emptied_beside_a_writer_that_never_rests(tmp_path):
    """5,000 decisions of 10 kB are 50 MB; the log stays a fraction of that, and everything is in the journal."""
    path = tmp_path / "journal.db"
    writer = GroupCommit(path)
    sizes = []
    for number in range(5_000):
        writer.submit(Entry(decision=decision(f"d{number}", n_candidates=400))).result(10)
        sizes.append(path.with_name("journal.db-wal").stat().st_size)
        if number % 500 == 499:
            writer._keeper.keep()
    assert max(sizes) > MOST_LOG_BYTES
    assert sizes[-1] <= max(sizes[:2_500])  # it began anew instead of growing on
    writer.close()
    with closing(Journal(path)) as journal:
        assert journal.counts()["decisions"] == 5_000


KILLED = """
import os, signal, sys
from pathlib import Path
from services.group_commit import GroupCommit
from tests.services.test_journal import click, decision, entry
from services.records import Entry

writer = GroupCommit(Path(sys.argv[1]))
for number in range(200):
    told = entry(click(f"m{number}")) if number % 3 == 0 else Entry(decision=decision(f"d{number}"))
    writer.submit(told).result()
    print(number, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
def test_a_killed_writer_has_lost_nothing_that_it_answered_for_decisions_included(tmp_path):
    path = tmp_path / "journal.db"
    project = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], cwd=project, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL
    answered = [int(line) for line in done.stdout.split()]
    assert len(answered) == 200
    journal = Journal(path)
    assert all(journal.decision(f"d{number}") for number in answered if number % 3)
    assert journal.counts()["events"] == sum(number % 3 == 0 for number in answered)
    journal.close()
