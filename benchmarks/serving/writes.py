"""What is told to the service: acknowledged events a second, reads beside writes, and one's own write read back."""

from __future__ import annotations

import http.client
import json
import time
import uuid
from typing import Any

import numpy as np
import psutil

from benchmarks.serving.load import Request
from benchmarks.serving.shop import Shop
from benchmarks.serving.stations import Asked, Station

__all__ = ["acknowledgements", "mixed", "own_write"]


def acknowledgements(real: Station, asked: Asked, seconds: float) -> dict[str, Any]:
    """Durable acknowledgements in batches of 50 by 8 callers, and one by one by 16."""
    batches, single = real.ask(asked.batches(50), seconds, 8), real.ask(asked.views(), seconds, 16)
    return {
        "events_per_second_in_batches_of_50": round(50 * batches.result.throughput),
        "batch_p50_ms": round(batches.p50, 3),
        "batch_p99_ms": round(batches.p99, 3),
        "events_per_second_singly": round(single.result.throughput),
        "single_p50_ms": round(single.p50, 3),
        "single_p99_ms": round(single.p99, 3),
    }


def mixed(real: Station, asked: Asked, seconds: float) -> dict[str, Any]:
    """Four reads to one write (a batch of 10 events), 8 callers."""
    requests = {"recommend": asked.slates(), "batch of 10": asked.batches(10)}
    figures = real.mix(requests, {"recommend": 0.8, "batch of 10": 0.2}, seconds, 8)
    return {kind: figures.result.summary(kind) for kind in requests}


def own_write(real: Station, shop: Shop, asked: Asked, people: int = 60) -> dict[str, Any]:
    """Tell one worker of a view, and ask another until the list is a different one.

    `unchanged without event`: of as many pairs of requests without an event in between, those that gave one list.
    """
    told, asks = _connections_to_two_workers(real)
    items, users = shop.item_ids, shop.user_ids[-people:]
    waits, tries, calm = [], [], 0
    for place, user in enumerate(users):
        before = _slate(asks, asked, user)
        calm += _slate(asks, asked, user) == before
        _send(told, asked.view(user, items[place * 7 % len(items)]))
        acknowledged = time.perf_counter()
        for count in range(1, 200):
            if _slate(asks, asked, user) != before:
                waits.append(time.perf_counter() - acknowledged)
                tries.append(count)
                break
    return {
        "people": people,
        "changed": len(waits),
        "by_the_next_request": sum(count == 1 for count in tries),
        "unchanged_without_event": calm,
        "p50_ms": round(1000 * float(np.median(waits)), 3),
        "max_ms": round(1000 * max(waits), 3),
    }


def _slate(connection: http.client.HTTPConnection, asked: Asked, user: str) -> dict[str, float]:
    """Item → score; scores tell lists apart whose items stayed the same."""
    answer = json.loads(_send(connection, asked.slate(user)))
    return {item["item_id"]: item["score"] for item in answer["items"]}


def _send(connection: http.client.HTTPConnection, request: Request) -> bytes:
    body = request.body.replace("__uid__", uuid.uuid4().hex)
    connection.request(request.method, request.path, body, dict(request.headers))
    answer = connection.getresponse()
    text = answer.read()
    if answer.status != 200:
        raise RuntimeError(f"Expected 200, found {answer.status}: {text[:200]!r}")
    return text


def _connections_to_two_workers(real: Station) -> tuple[http.client.HTTPConnection, http.client.HTTPConnection]:
    """A connection stays with the worker that took it; who that is shows in the worker's open sockets."""
    address = real.handle.url.removeprefix("http://")
    taken: dict[int, http.client.HTTPConnection] = {}
    for _ in range(200):
        connection = http.client.HTTPConnection(address, timeout=20)
        connection.request("GET", "/livez")
        connection.getresponse().read()
        port = connection.sock.getsockname()[1]
        for worker in real.handle.processes()[1:]:
            if any(opened.raddr and opened.raddr.port == port for opened in _sockets(worker)):
                taken.setdefault(worker.pid, connection)
        if len(taken) == 2:
            first, second = taken.values()
            return first, second
    raise RuntimeError(f"Expected two workers that take connections, found {len(taken)}.")


def _sockets(worker: psutil.Process) -> list[Any]:
    return list(worker.net_connections("tcp4"))
