"""The load generator against a small server whose answers, refusals and stalls are known."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import ClassVar

import pytest

from benchmarks.serving.load import Load, Request, run_load

pytestmark = pytest.mark.slow


class Answers(BaseHTTPRequestHandler):
    """/full is refused, everything else is not; a body may ask to be answered no earlier than at a moment."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    bodies: ClassVar[list[dict]] = []

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.bodies.append(body)
        if body.get("stall_until", 0) > time.monotonic():
            time.sleep(body["stall_until"] - time.monotonic())
        told = b'{"degraded":true}'
        self.send_response(429 if self.path == "/full" else 200)
        self.send_header("content-length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)

    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[SimpleNamespace]:
    Answers.bodies = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield SimpleNamespace(url=f"http://127.0.0.1:{listening.server_port}", bodies=Answers.bodies)
        listening.shutdown()


def test_every_request_is_counted_by_status_and_bears_an_id_of_its_own(server):
    requests = {"good": [Request.json("/track", {"id": "__uid__"})], "refused": [Request.json("/full", {"id": "x"})]}
    load = Load(server.url, requests, 0.5, connections=3, shares={"good": 3, "refused": 1}, keep_ids=True, processes=2)
    result = run_load(load)
    stored = [body["id"] for body in server.bodies if body["id"] != "x"]
    assert set(result.acknowledged) <= set(stored)
    assert len(set(stored)) == len(stored)
    assert sum(result.statuses.values()) == len(result.due)
    assert result.statuses["200"] == result.summary("good")["requests"] == len(result.acknowledged)
    assert result.refusals == {"429": '{"degraded":true}'}
    assert result.as_json()["degraded"] == len(result.due)
    assert result.summary("good")["requests"] > result.summary("refused")["requests"]


def test_an_open_load_counts_from_the_moment_a_request_was_due(server):
    """One connection, and its server stalls for 0.6 s from the start: whoever was due meanwhile waited as well."""
    stall = Request.json("/track", {"stall_until": time.monotonic() + 1.6 + 0.6})
    result = run_load(Load(server.url, {"all": [stall]}, 1.5, connections=1, rate=100))
    waited = result.seconds[result.due < 0.3]
    assert len(waited) > 10
    assert (waited > 0.2).all()


def test_a_server_that_is_gone_is_a_count_not_an_exception(server):
    result = run_load(Load("http://127.0.0.1:9", {"all": [Request.json("/track", {})]}, 0.5, rate=50))
    assert set(result.statuses) == {"0"}
    assert result.throughput == 0
    assert sum(result.errors.values()) == len(result.due)
