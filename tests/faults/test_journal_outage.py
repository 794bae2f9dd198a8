"""The journal stuck and its disk full under load: lists are still answered and say so, events are not acknowledged."""

from __future__ import annotations

import fcntl
import resource
from contextlib import ExitStack
from typing import Any

import httpx
import psutil
import pytest
from asking import Outage, ask_during, asking
from fault_size import is_whole, size, whole_only

from services.journal import Journal


def event(message_id: str) -> dict[str, Any]:
    told = {"event": "Product Viewed", "userId": "somebody", "properties": {"product_id": "p"}}
    return {"type": "track", "messageId": message_id, **told}


def on_disk(stored: Any) -> set[str]:
    """The messages on disk, by the journal's own file."""
    journal = Journal(stored.shop.workspace.journal)
    try:
        return {event.event_id for event in journal.live_events(["somebody"], 0).events}
    finally:
        journal.close()


def survives(name: str, stored: Any, fault: Any, mend: Any) -> Outage:
    """0 failed answers, degraded while it lasts, recorded again afterwards."""
    seconds, broken, mended = size((3.0, 0.5, 1.8), (30.0, 5.0, 18.0))
    load = asking(stored, seconds, rate=size(30, 100))
    outage = ask_during(load, fault, mend, broken=broken, mended=mended, name=name)
    assert outage.failed == 0, outage.result.as_json()
    assert outage.degraded_during > 0
    if is_whole():  # an idle machine: elsewhere a stall of 0.4 s degrades an answer by itself
        assert outage.degraded_before == 0
        assert outage.recovery_seconds < 5
        assert outage.result.quantile_ms(0.99) < 600  # the deadline of 400 ms, for those who found out
    return outage


@whole_only
def test_a_writer_that_is_stuck(stored):
    """Another process holds the turn at the journal and does not come to its end, for longer than any caller waits."""
    with ExitStack() as held:

        def fault() -> None:
            lock = held.enter_context(stored.shop.workspace.journal.with_suffix(".lock").open("w"))
            fcntl.flock(lock, fcntl.LOCK_EX)
            with pytest.raises(httpx.ReadTimeout):  # no acknowledgement without a commit
                stored.http.post("/v1/track", json=event("stuck"), timeout=0.3)
            answer = stored.post("recommend", {"user_id": stored.shop.user_ids[0]}).json()
            assert (answer["recorded"], answer["degraded"]) == (False, True)

        survives("journal, writer stuck", stored, fault, held.close)
    assert stored.post("track", event("after")).status_code == 200
    assert "after" in on_disk(stored)


def test_a_disk_that_is_full(stored):
    """No file may grow any more: the kernel refuses each write of the workers, as it does when nothing is left."""
    workers = [psutil.Process(process.pid) for process in stored.server.processes()[1:]]
    refused: list[int] = []

    def limit(size: int) -> None:
        for worker in workers:
            resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    def fault() -> None:
        limit(1)
        refused.extend(stored.post("track", event(f"full-{number}")).status_code for number in range(4))

    survives("journal, disk full", stored, fault, lambda: limit(resource.RLIM_INFINITY))
    assert refused == [503] * 4
    assert stored.post("track", event("emptied")).status_code == 200
    assert "emptied" in (kept := on_disk(stored))
    assert not [message_id for message_id in kept if message_id.startswith("full-")]
