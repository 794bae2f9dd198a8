"""A worker killed again and again under load: the other answers, and a new one is there before the next dies."""

from __future__ import annotations

import contextlib
import json
import time
from typing import Any

import numpy as np
import psutil
import pytest
from asking import asking
from fault_size import is_whole, size

from benchmarks.serving.load import LoadResult, start_load


def workers(served: Any) -> list[psutil.Process]:
    """The processes that answer, the oldest first."""
    found = []
    for process in served.server.processes()[1:]:
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.ppid() == served.server.process.pid and process.status() != psutil.STATUS_ZOMBIE:
                found.append((process.create_time(), process))
    return [process for _, process in sorted(found, key=lambda pair: pair[0])]


def seconds_until_replaced(served: Any, gone: psutil.Process) -> float:
    """From a worker's death to a process in its place (which then takes some seconds to answer)."""
    began = time.monotonic()
    while len(now := workers(served)) < 2 or gone in now:
        assert time.monotonic() < began + 60, "no new worker was started"
        time.sleep(0.02)
    return time.monotonic() - began


def killed_every(seconds: float, times: int, served: Any, *, retries: int) -> LoadResult:
    """Recommendations are asked for while the oldest worker is killed so many times; prints the figures."""
    replaced = []
    running = start_load(asking(served, (times + 0.5) * seconds, rate=size(30, 50), retries=retries))
    began = time.monotonic() + 1.0
    for number in range(times):
        time.sleep(max(began + (number + 0.5) * seconds - time.monotonic(), 0))
        (oldest := workers(served)[0]).kill()
        replaced.append(round(seconds_until_replaced(served, oldest), 2))
    result = running.finish()
    told = {**result.summary(), "no_answer_once": dict(result.errors), "replaced_after_s": replaced, "retries": retries}
    print(f"\nworker killed every {seconds:g} s: {json.dumps(told)}")
    return result


@pytest.mark.parametrize("retries", [1, 0] if is_whole() else [1])
def test_killed_workers_cost_no_answer_to_who_asks_again(stored, retries):
    """Requests under way in a killed process are cut off, which only its caller can mend: by asking once more. The
    callers that never do (`retries` 0) are counted, and they are no more than were under way."""
    seconds, times = size((2.0, 1), (10.0, 12))
    result = killed_every(seconds, times, stored, retries=retries)
    failed = int(np.count_nonzero(result.status != 200))
    if retries:
        assert failed == 0, result.as_json()
    if is_whole():
        assert result.quantile_ms(0.99) < 250
    assert sum(result.errors.values()) <= 64 * times  # no more than could be under way: one on each connection
