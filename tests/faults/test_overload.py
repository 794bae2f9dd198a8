"""More than the service can answer: it answers what it can, soon, refuses the rest at once, and its memory stays."""

from __future__ import annotations

import json
import socket
from contextlib import ExitStack
from typing import Any

from fault_size import is_whole, size
from guarded_shop import Guarded

from benchmarks.serving.load import Load, LoadResult, Request, run_load, start_load
from recommender.door_settings import DoorSettings
from services.event_routes import MAX_BATCH_BYTES

TIMES = 3
MOST_MEMORY = 1.10  # of what the worker held after a first load, when all that is lazily loaded is there


def load(guarded: Guarded, requests: list[Request], seconds: float, **more: Any) -> LoadResult:
    result = run_load(Load(guarded.served.server.url, {"request": requests}, seconds, **more))
    print(json.dumps({**result.summary(), **more}))
    return result


def memory(guarded: Guarded) -> int:
    """Bytes held by supervisor and worker together."""
    return sum(process.memory_info().rss for process in guarded.served.server.processes())


def milliseconds(log: str, status: int) -> list[float]:
    """How long each answer of this status took inside the service, by its log: a caller's own delays do not count."""
    lines = [json.loads(line) for line in log.splitlines() if '"answered"' in line]
    return sorted(line["ms"] for line in lines if line["status"] == status)


def test_three_times_the_capacity_is_answered_or_refused_at_once(guarded: Guarded):
    """And no event is kept out by a flood of questions; the moment after, everybody is answered."""
    users = guarded.served.shop.user_ids[:50]
    reads = [Request.json("/v1/recommend", {"user_id": user_id}, guarded.keys["read"]) for user_id in users]
    event = {"event": "Opened", "userId": "u", "messageId": "__uid__"}
    events = [Request.json("/v1/track", event, guarded.keys["write"])]
    capacity = load(guarded, reads, size(1.0, 15.0), connections=16).throughput
    held, begun = memory(guarded), len(guarded.log)
    asked, told = _flooded(guarded, reads, events, TIMES * capacity)
    if "429" not in asked.statuses:  # others had slowed the machine down while its capacity was measured
        asked, told = _flooded(guarded, reads, events, TIMES**2 * capacity)
    log = guarded.log[begun:]
    print(json.dumps({**asked.summary(), "capacity": round(capacity), "memory": memory(guarded) / held}))
    assert set(asked.statuses) == {"200", "429"}, asked.as_json()
    assert set(told.statuses) == {"200"}, told.as_json()
    assert memory(guarded) < MOST_MEMORY * held
    assert set(load(guarded, reads, size(0.5, 5.0), connections=2).statuses) == {"200"}
    accepted, refused = milliseconds(log, 200), milliseconds(log, 429)
    p99 = {"accepted": accepted[int(0.99 * len(accepted))], "refused": refused[int(0.99 * len(refused))]}
    print(json.dumps({f"p99_ms of {kind}, inside": value for kind, value in p99.items()}))
    if is_whole():
        assert p99["accepted"] < 1_000
        assert told.quantile_ms(0.99) < 2_000  # 24 s when connections were let in one a turn of the loop
        assert asked.statuses["200"] > 0.5 * capacity * asked.elapsed


def _flooded(
    guarded: Guarded, reads: list[Request], events: list[Request], rate: float
) -> tuple[LoadResult, LoadResult]:
    """So many questions a second, and what became of the events beside them."""
    flood = start_load(Load(guarded.served.server.url, {"read": reads}, size(3.0, 60.0), rate=rate))
    told = load(guarded, events, size(1.5, 50.0), rate=10.0)
    return flood.finish(), told


def test_bodies_beyond_the_memory_set_aside_wait_outside(guarded: Guarded):
    """Callers who announce the largest of batches and then send nothing hold what was set aside, and no more."""
    fit = DoorSettings().body_bytes_in_flight // MAX_BATCH_BYTES
    statuses = _announced(guarded, *[MAX_BATCH_BYTES] * 4 * fit)
    assert statuses.count(408) == fit  # were let in, and given up after `body_seconds`
    assert statuses.count(429) == 3 * fit
    assert _announced(guarded, MAX_BATCH_BYTES + 1) == [413]


def _announced(guarded: Guarded, *sizes: int) -> list[int]:
    """The statuses of batches of which only the announcement is sent, all of them at one moment."""
    host, _, port = guarded.served.server.url.removeprefix("http://").partition(":")
    head = f"POST /v1/batch HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {guarded.keys['write']}\r\n"
    with ExitStack() as opened:
        lines = [opened.enter_context(socket.create_connection((host, int(port)), timeout=30)) for _ in sizes]
        for line, size in zip(lines, sizes, strict=True):
            line.sendall(f"{head}content-type: application/json\r\ncontent-length: {size}\r\n\r\n{{".encode())
        return [int(line.recv(4_000).split()[1]) for line in lines]
