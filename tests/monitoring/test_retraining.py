"""Causes and the ledger: one run for each cause, whatever the order, the repeats and the crashes."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitoring.drift import ColumnDrift, DriftResult
from monitoring.performance import PerformanceFall
from monitoring.retraining import (
    Evidence,
    RetrainConfig,
    RetrainLedger,
    causes,
    read_ledger,
    update_ledger,
)
from recommender.errors import IntegrityError
from recommender.events import DAY_MS

HOUR = 3_600_000
UNTIMED = settings(deadline=None)
CONFIG = RetrainConfig(max_age_days=7, cool_down_hours=12)
Level = Literal["high", "low", "unknown"]


def drift(level: Level) -> DriftResult:
    column = ColumnDrift("events_28d", "wasserstein", 0.4 if level == "high" else 0.01, 0.1, 0.001, level == "high")
    if level == "unknown":
        return DriftResult("not enough data", (), (), 5_000, 20, 500)
    return DriftResult("drift" if level == "high" else "no drift", (column,), (), 5_000, 1_000, 500)


def fall(level: Level) -> PerformanceFall:
    verdict: Literal["fell", "held", "not enough data"]
    verdict = "fell" if level == "high" else "held" if level == "low" else "not enough data"
    return PerformanceFall(verdict, "click_rate", 0.2, 0.1, -0.1, -0.12, -0.08)


def window(
    day: int, drifted: Level = "low", fell: Level = "low", champion: str = "m1", trained_day: int | None = None
) -> Evidence:
    """Evidence of one day; by default the champion is always fresh, so that staleness stays out of the way."""
    trained_ms = (day if trained_day is None else trained_day) * DAY_MS
    return Evidence(champion, trained_ms, f"day{day}", day * DAY_MS, drift(drifted), fall(fell))


def noted(*windows: Evidence, ledger: RetrainLedger | None = None) -> RetrainLedger:
    ledger = ledger or RetrainLedger()
    for evidence in windows:
        ledger = ledger.note(evidence, CONFIG)
    return ledger


def keys(ledger: RetrainLedger) -> list[str]:
    return [entry.cause.key for entry in ledger.entries]


def test_causes_say_why_with_figures() -> None:
    found = causes(window(9, "high", "high", trained_day=1), CONFIG)
    assert [cause.key for cause in found] == ["drift:m1:day9", "performance:m1:day9", "staleness:m1:age1"]
    assert found[0].figures == {"events_28d": 0.4}
    assert "events_28d with 0.400 where 0.100 is the limit" in found[0].sentence
    assert found[1].figures["difference"] == -0.1
    assert found[2].figures == {"age_days": 8.0}


def test_a_healthy_fresh_champion_gives_no_cause() -> None:
    assert causes(window(6, trained_day=0), CONFIG) == []
    assert causes(window(6, "unknown", "unknown"), CONFIG) == []


def test_a_level_that_stays_high_is_one_cause() -> None:
    ledger = noted(*(window(day, "high") for day in range(1, 30)))
    assert keys(ledger) == ["drift:m1:day1"]


def test_too_little_data_neither_raises_nor_lowers() -> None:
    ledger = noted(window(1, "high"), window(2, "unknown"), window(3, "high"))
    assert keys(ledger) == ["drift:m1:day1"]


def test_a_level_that_falls_and_rises_again_is_a_second_cause() -> None:
    ledger = noted(window(1, "high"), window(2, "low"), window(3, "high"))
    assert keys(ledger) == ["drift:m1:day1", "drift:m1:day3"]


def test_a_new_champion_starts_from_low_levels() -> None:
    ledger = noted(window(1, "high"), window(2, "high", champion="m2"), window(3, "high", champion="m2"))
    assert keys(ledger) == ["drift:m1:day1", "drift:m2:day2"]
    assert [entry.outcome for entry in ledger.entries] == ["superseded", None]


def test_a_late_word_about_the_old_champion_changes_nothing() -> None:
    ledger = noted(window(1), window(5, champion="m2"))
    assert noted(window(3, "high"), window(5, "high"), ledger=ledger) == ledger


def test_a_rollback_puts_the_old_champion_in_charge_again() -> None:
    ledger = noted(window(1), window(2, champion="m2"), window(3, "high", champion="m1"))
    assert ledger.champion_version == "m1"
    assert keys(ledger) == ["drift:m1:day3"]


def test_staleness_comes_back_once_per_age_and_not_per_window() -> None:
    ledger = noted(*(window(day, trained_day=0) for day in range(22)))
    assert keys(ledger) == ["staleness:m1:age1", "staleness:m1:age2", "staleness:m1:age3"]


def test_one_run_answers_all_that_is_pending() -> None:
    ledger = noted(window(9, "high", "high", trained_day=1))
    request = ledger.due(9 * DAY_MS, CONFIG)
    assert request is not None
    assert (request.key, len(request.causes)) == ("drift:m1:day9", 3)
    ledger = ledger.started("run-1", 9 * DAY_MS)
    assert ledger.due(30 * DAY_MS, CONFIG) is None
    assert len(ledger.of_run("run-1")) == 3


def test_the_rest_between_two_runs() -> None:
    ledger = noted(window(1, "high")).started("run-1", 0)
    ledger = noted(window(1, "high", "high"), ledger=ledger)
    assert ledger.due(12 * HOUR - 1, CONFIG) is None
    request = ledger.due(12 * HOUR, CONFIG)
    assert request is not None
    assert request.key == "performance:m1:day1"


def test_asking_again_before_the_start_gives_the_same_key() -> None:
    """The sensor may crash between asking and starting; Dagster drops a run_key that it knows."""
    ledger = noted(window(1, "high"))
    first = ledger.due(DAY_MS, CONFIG)
    later = noted(window(2, "high", "high"), ledger=ledger).due(2 * DAY_MS, CONFIG)
    assert first is not None
    assert later is not None
    assert first.key == later.key


@pytest.mark.parametrize("outcome", ["promoted", "refused", "failed"])
def test_a_settled_cause_is_spent(outcome: Literal["promoted", "refused", "failed"]) -> None:
    ledger = noted(window(1, "high")).started("run-1", DAY_MS).settled("run-1", outcome, "why")
    ledger = noted(window(2, "high"), ledger=ledger)
    assert ledger.due(30 * DAY_MS, CONFIG) is None
    assert [(entry.outcome, entry.detail) for entry in ledger.of_run("run-1")] == [(outcome, "why")]


def test_a_run_that_dies_before_it_starts_does_not_block_the_causes_behind_it() -> None:
    """Bad data may stop a retrain at its first step; Dagster will not start the same run_key twice."""
    ledger = noted(window(1, "high", "high")).failed_early("drift:m1:day1", "run-1", DAY_MS, "data stopped")
    assert ledger.due(DAY_MS + 12 * HOUR - 1, CONFIG) is None
    request = ledger.due(DAY_MS + 12 * HOUR, CONFIG)
    assert request is not None
    assert request.key == "performance:m1:day1"
    assert [entry.outcome for entry in ledger.entries] == ["failed", None]


def test_a_late_failure_of_a_started_run_takes_no_newer_cause_with_it() -> None:
    ledger = noted(window(1, "high")).started("run-1", DAY_MS)
    ledger = noted(window(2, "high", "high"), ledger=ledger)
    assert ledger.failed_early("drift:m1:day1", "run-1", 2 * DAY_MS) == ledger


def test_settling_an_unknown_run_changes_nothing() -> None:
    ledger = noted(window(1, "high"))
    assert ledger.settled("run-0", "failed") == ledger


@dataclass(frozen=True)
class Tick:
    """A day in a life: what the window shows, and what goes wrong."""

    drifted: Level
    fell: Level
    is_missed: bool  # the sensor does not look on this day; the window waits
    is_repeated: bool
    crashes: bool  # between asking and the run's start
    dies: bool  # the run ends before it can tell that it started
    promotes: bool  # if a run ends on this day, its bundle becomes champion


LEVELS: st.SearchStrategy[Level] = st.sampled_from(["high", "low", "unknown"])
FLAGS = st.booleans()
LIVES = st.lists(st.builds(Tick, LEVELS, LEVELS, FLAGS, FLAGS, FLAGS, FLAGS, FLAGS), min_size=1, max_size=40)


@dataclass(frozen=True)
class Life:
    ledger: RetrainLedger
    starts: list[tuple[str, int, tuple[str, ...]]]  # run_key, day, causes that the run answers


def live(ticks: list[Tick], config: RetrainConfig) -> Life:
    """Drive the ledger as the sensor does: note what waits, ask, start (or crash), settle a day later."""
    ledger, starts = RetrainLedger(), []
    champion, trained, waiting, running = "m0", 0, [], None
    for day, tick in enumerate(ticks):
        if running:
            outcome: Literal["promoted", "refused"] = "promoted" if tick.promotes else "refused"
            ledger = ledger.settled(running, outcome)
            champion, trained = (f"m{day}", day) if tick.promotes else (champion, trained)
            running = None
        waiting.append(window(day, tick.drifted, tick.fell, champion, trained))
        if tick.is_missed:
            continue
        for evidence in waiting * (2 if tick.is_repeated else 1):
            ledger = ledger.note(evidence, config)
        waiting = []
        request = ledger.due(day * DAY_MS, config)
        if request and tick.dies:
            starts.append((request.key, day, (request.key,)))
            ledger = ledger.failed_early(request.key, f"run-{day}", day * DAY_MS)
        elif request and not tick.crashes:
            starts.append((request.key, day, tuple(cause.key for cause in request.causes)))
            running = f"run-{day}"
            ledger = ledger.started(running, day * DAY_MS)
    return Life(ledger, starts)


@given(LIVES)
@UNTIMED
def test_no_cause_is_answered_twice(ticks: list[Tick]) -> None:
    life = live(ticks, CONFIG)
    answered = [key for _, _, asked in life.starts for key in asked]
    launched = [key for key, _, _ in life.starts]
    assert len(launched) == len(set(launched))  # Dagster would drop the second
    assert len(answered) == len(set(answered))
    assert len(keys(life.ledger)) == len(set(keys(life.ledger)))


@given(LIVES, st.integers(12, 24 * 9))
@UNTIMED
def test_runs_keep_their_distance(ticks: list[Tick], hours: int) -> None:
    days = [day for _, day, _ in live(ticks, replace(CONFIG, cool_down_hours=hours)).starts]
    assert all((later - earlier) * 24 >= hours for earlier, later in pairwise(days))


@given(LIVES)
@UNTIMED
def test_no_cause_is_lost(ticks: list[Tick]) -> None:
    """Whatever was noted is answered by a run, superseded by a new champion, or due as soon as the rest is over."""
    life = live(ticks, CONFIG)
    answered = {key for _, _, asked in life.starts for key in asked}
    request = life.ledger.due((len(ticks) + 30) * DAY_MS, CONFIG)
    due = {cause.key for cause in request.causes} if request else set()
    superseded = {entry.cause.key for entry in life.ledger.entries if entry.outcome == "superseded"}
    assert set(keys(life.ledger)) == answered | due | superseded


@given(LIVES)
@UNTIMED
def test_missed_ticks_find_the_same_causes(ticks: list[Tick]) -> None:
    """Without runs in between, noting late and twice finds what noting daily finds."""
    calm = [replace(tick, crashes=True, dies=False, promotes=False) for tick in ticks]
    daily = live([replace(tick, is_missed=False, is_repeated=False) for tick in calm], CONFIG)
    late = live([*calm[:-1], replace(calm[-1], is_missed=False)], CONFIG)
    assert keys(late.ledger) == keys(daily.ledger)


@given(LIVES)
@UNTIMED
def test_rises_are_counted_right(ticks: list[Tick]) -> None:
    """One champion that is never replaced: a cause for each low-to-high edge, gaps in knowledge left out."""
    calm = [replace(tick, promotes=False) for tick in ticks]
    for kind, levels in {"drift": [t.drifted for t in calm], "performance": [t.fell for t in calm]}.items():
        told = [level for level in levels if level != "unknown"]
        rises = sum(now == "high" and before != "high" for before, now in zip([None, *told], told, strict=False))
        last_seen = live([*calm[:-1], replace(calm[-1], is_missed=False)], CONFIG).ledger
        assert sum(key.startswith(kind) for key in keys(last_seen)) == rises


@given(LIVES, st.randoms(use_true_random=False))
@UNTIMED
def test_any_order_of_windows_keeps_at_least_one_cause_for_a_high_level(ticks: list[Tick], order: object) -> None:
    windows = [window(day, tick.drifted) for day, tick in enumerate(ticks)]
    order.shuffle(windows)  # type: ignore[attr-defined]
    found = keys(noted(*windows))
    assert bool(found) == any(tick.drifted == "high" for tick in ticks)
    assert len(found) == len(set(found))


@given(LIVES)
@UNTIMED
def test_the_ledger_survives_storage(tmp_path_factory: pytest.TempPathFactory, ticks: list[Tick]) -> None:
    path = tmp_path_factory.mktemp("ledger") / "ledger.json"
    ledger = live(ticks, CONFIG).ledger
    update_ledger(path, lambda _: ledger)
    assert read_ledger(path) == ledger


def test_no_file_is_an_empty_ledger_and_a_broken_one_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "ledger.json"
    assert read_ledger(path) == RetrainLedger()
    path.write_text('{"entries": [{}]}')
    with pytest.raises(IntegrityError, match=r"ledger\.json"):
        read_ledger(path)


def test_two_writers_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "ledger.json"

    def write(champion_day: int) -> None:
        for number in range(10):
            update_ledger(path, lambda ledger, n=number: ledger.note(window(champion_day, trained_day=-7 * n), CONFIG))

    threads = [threading.Thread(target=write, args=(1,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(keys(read_ledger(path))) == [f"staleness:m1:age{age}" for age in range(1, 10)]
