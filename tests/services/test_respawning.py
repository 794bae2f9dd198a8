"""Workers that end unasked: the first is replaced at once, those that never serve more and more slowly."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from pathlib import Path

import httpx
import psutil
import pytest
from served_shop import free_port

from recommender.workspace import Workspace
from services.respawning import RespawnConfig, Respawning, crash_facts
from services.server import start_background


class Trial:
    """A supervisor's count with a clock that the test moves."""

    def __init__(self, folder: Path) -> None:
        self.now = 0.0
        self.workspace = Workspace(folder)
        self.counted = Respawning(self.workspace, RespawnConfig(10.0, 1.0, 6.0), lambda: self.now)

    def rests_after(self, lived_seconds: float, code: int = 1) -> float:
        """How long the next worker waits, to a quarter of a second."""
        self.counted.ended(lived_seconds, code)
        began = self.now
        while self.counted.rests:
            self.now += 0.25
        return self.now - began


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    return Trial(tmp_path)


def test_workers_that_served_are_replaced_at_once_however_often_they_end(trial: Trial):
    assert [trial.rests_after(10.0, -signal.SIGKILL) for _ in range(5)] == [0, 0, 0, 0, 0]
    assert crash_facts(trial.workspace) is None


def test_workers_that_end_before_they_serve_are_replaced_after_rests_that_double(trial: Trial):
    assert [trial.rests_after(2.0) for _ in range(6)] == [0, 1, 2, 4, 6, 6]


def test_one_that_served_in_between_begins_the_count_anew(trial: Trial):
    assert [trial.rests_after(lived) for lived in (2.0, 2.0, 60.0, 2.0, 2.0)] == [0, 1, 0, 0, 1]


def test_the_trouble_is_noted_with_its_cause_and_the_note_taken_back_once_all_serve(trial: Trial):
    trial.counted.ended(2.0, 1)
    assert crash_facts(trial.workspace) is None  # once is no trouble
    trial.counted.ended(3.04, -signal.SIGSEGV)
    facts = crash_facts(trial.workspace)
    assert facts is not None
    assert (facts["in_a_row"], facts["last_end"], facts["lived_seconds"]) == (2, "signal SIGSEGV", 3.0)
    assert facts["next_start_in_seconds"] == 1.0
    trial.counted.lived(9.9)
    assert crash_facts(trial.workspace) == facts
    trial.counted.lived(10.0)
    assert crash_facts(trial.workspace) is None
    assert trial.rests_after(2.0) == 0


def test_a_note_of_a_supervisor_that_is_gone_counts_for_nothing(trial: Trial):
    trial.workspace.crashes.parent.mkdir(parents=True, exist_ok=True)
    gone = {"supervisor": 2**22 + os.getpid(), "in_a_row": 3}
    trial.workspace.crashes.write_text(json.dumps(gone))
    assert crash_facts(trial.workspace) is None
    Respawning(trial.workspace)
    assert not trial.workspace.crashes.exists()


@pytest.mark.slow
def test_a_server_whose_workers_crash_is_there_still_says_so_and_comes_back(own_shop):
    """Killed as soon as they exist, as by a bundle that crashes while it loads; then left alone."""
    server, killed = start_background(own_shop.workspace, free_port(), workers=1), 0
    try:
        while killed < 3:
            for worker in server.processes()[1:]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    worker.kill()
                    worker.wait(30)
                    killed += 1
            time.sleep(0.02)
        server.wait_ready()  # circus by itself would have ended when no process was left
        assert server.log is not None
        assert "the next one starts in 2 s" in server.log.read_text()
        with httpx.Client(base_url=server.url, timeout=20) as http:
            assert http.get("/readyz").text == "workers end soon after their start\n"
            assert 'nextbest_crashes_in_a_row{ended="before they served"} 3.0' in http.get("/metrics").text
        facts = crash_facts(own_shop.workspace)
        assert facts is not None
        assert (facts["in_a_row"], facts["last_end"]) == (3, "signal SIGKILL")
    finally:
        server.stop()
