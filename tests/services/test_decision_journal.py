"""The journal as a recommendation meets it: locked, stuck and well again, and what the answer then says."""

from __future__ import annotations

import asyncio
import fcntl
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from recommender.decision.record import Decision
from recommender.decision.request import DecisionRequest
from services.circuit_breaker import BreakerConfig
from services.decision_journal import DecisionJournal, DecisionJournalConfig
from services.group_commit import GroupCommit
from services.journal import Journal

# Patient with a free journal, so that nothing here depends on how busy the machine is.
QUICK = DecisionJournalConfig(
    soon_seconds=60.0, least_record_seconds=0.05, breaker=BreakerConfig(failures=2, pause_seconds=1.0)
)


def a_decision(decision_id: str) -> Decision:
    request = DecisionRequest.parse({"user_id": "u"}, decision_id, 1_000)
    slate = {"slate_item_ids": ["a"], "slate_titles": ["A"], "slate_scores": [0.5], "slate_sources": ["popular"]}
    return Decision(
        request=request, state_as_of_ms=None, journal_seq=0, **slate, slate_propensities=[1.0], slate_features=b"",
        candidate_item_ids=["a"], candidate_scores=[0.5], candidate_sources=["popular"], slate_reasons=None,
        verdicts={}, trace={}, policy="exploit", variant="champion", seed=1, model_version="m", feature_version="f",
        tier="full", is_degraded=False,
    )  # fmt: skip


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "journal.db"


@pytest.fixture
def journal(path) -> Iterator[DecisionJournal]:
    writer, reader = GroupCommit(path), Journal(path, busy_seconds=0.01)
    yield DecisionJournal(reader, writer, QUICK)
    writer.close()
    reader.close()


@contextmanager
def turn_held(path: Path) -> Iterator[None]:
    """Another process is in the middle of its commit and does not come to its end."""
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def unreadable(path: Path) -> Iterator[None]:
    """Reads fail, as on a damaged file. (To lock readers out is beyond any process: they hold the log open.)"""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("alter table events rename to mislaid")
        yield
        other.execute("alter table mislaid rename to events")


def decide(journal: DecisionJournal, *decision_ids: str, seconds: float = 0.05) -> list[Decision]:
    async def all_of_them() -> list[Decision]:
        until = time.monotonic() + seconds
        return [await journal.recorded(a_decision(decision_id), until) for decision_id in decision_ids]

    return asyncio.run(all_of_them())


def test_a_decision_is_on_disk_before_anybody_hears_of_it(journal, path):
    (made,) = decide(journal, "d1")
    assert (made.answer()["recorded"], made.answer()["degraded"]) == (True, False)
    with closing(Journal(path)) as reader:
        assert reader.decision("d1")["model_version"] == "m"


def decide_together(journal: DecisionJournal, *decision_ids: str) -> tuple[list[bool], list[Decision]]:
    """Which records of a turn were on disk when they had been handed over, and what became of each."""

    async def one_turn() -> tuple[list[bool], list[Decision]]:
        decisions, until = [a_decision(decision_id) for decision_id in decision_ids], time.monotonic() + 0.05
        written = journal.handed_over(decisions)
        done = [one is not None and one.done() for one in written]
        pairs = zip(decisions, written, strict=True)
        return done, [await journal.recorded(decision, until, one) for decision, one in pairs]

    return asyncio.run(one_turn())


def test_the_records_of_a_turn_are_written_together_and_at_once(journal, path):
    done, made = decide_together(journal, "d1", "d2", "d3")
    assert (done, [one.is_recorded for one in made]) == ([True] * 3, [True] * 3)
    with closing(Journal(path)) as reader:
        assert all(reader.decision(decision_id) for decision_id in ("d1", "d2", "d3"))


def test_nobody_stands_still_for_a_record_that_another_process_holds_up(journal, path):
    """However long the worker would wait where nobody else writes."""
    with turn_held(path):
        done, made = decide_together(journal, "d1", "d2")
        assert (done, [one.is_recorded for one in made]) == ([False] * 2, [False] * 2)
        assert journal.records.state == "open"
        assert journal.handed_over(made) == [None] * 2  # left alone: nothing piles up behind it


def test_a_writer_that_is_stuck_costs_a_decision_its_record_and_not_its_answer(journal, path):
    with turn_held(path):
        answers = [made.answer() for made in decide(journal, "d1", "d2", "d3")]
    assert [(answer["recorded"], answer["degraded"]) for answer in answers] == [(False, True)] * 3
    assert (journal.records.state, journal.records.opened) == ("open", 1)
    assert journal.live_events("u", 0) is not None  # what is on disk can still be read


def test_once_it_is_well_again_decisions_are_recorded_and_the_given_up_ones_are_not(journal, path):
    with turn_held(path):
        decide(journal, "stuck", "queued")
    time.sleep(QUICK.breaker.pause_seconds)
    assert journal.records.state == "half-open"
    assert [made.is_recorded for made in decide(journal, "d3", "d4")] == [True, True]
    with closing(Journal(path)) as reader:
        assert reader.decision("queued") is None
        assert reader.decision("d4") is not None


def test_a_journal_that_cannot_be_read_is_done_without_and_tried_again_later(journal, path):
    assert journal.live_events("u", 0) is not None
    with unreadable(path):
        assert [journal.live_events("u", 0) for _ in range(3)] == [None] * 3
        assert (journal.reads.state, journal.reads.opened) == ("open", 1)
        assert journal.identified("cookie") is None
    time.sleep(QUICK.breaker.pause_seconds)
    assert journal.live_events("u", 0) is not None
    assert journal.reads.state == "closed"
