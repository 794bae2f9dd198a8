"""Thousands of requests that nobody should send: none makes the service fail, none learns anything of its inside."""

from __future__ import annotations

import re
from collections import Counter

from fault_size import size
from fuzzed_requests import answers
from guarded_shop import Guarded

INSIDE = re.compile(rb"Traceback|site-packages|\.py\b|/home/|sqlite|orjson|KeyError|TypeError|ValueError|object at 0x")


def test_no_request_makes_the_service_fail(guarded: Guarded) -> None:
    count = size(400, 10_000)
    host, _, port = guarded.served.server.url.removeprefix("http://").partition(":")
    workers = [process.pid for process in guarded.served.server.processes()]
    made = guarded.ask("POST", "/v1/recommend", guarded.keys["read"], json={"user_id": "u", "k": 3}).json()
    given = answers(host, int(port), guarded.keys["admin"], count, 20_261_123, made["decision_id"])
    assert len(given) == count
    statuses = Counter(_status(answer) for _, answer in given)
    print(f"{count:,} fuzzed requests: {dict(sorted(statuses.items()))}")
    assert [(request[:200], answer[:400]) for request, answer in given if _status(answer) >= 500] == []
    assert [(request[:200], answer[:400]) for request, answer in given if INSIDE.search(answer)] == []
    assert {200, 400, 401, 404, 405, 413, 415} <= set(statuses)  # everything that can be refused was tried
    assert [process.pid for process in guarded.served.server.processes()] == workers
    assert guarded.ask("POST", "/v1/recommend", guarded.keys["read"], json={"user_id": "u"}).status_code == 200
    assert "a request failed" not in guarded.log


def _status(answer: bytes) -> int:
    """0 where the connection ended without an answer, as it does for what is no HTTP."""
    found = re.match(rb"HTTP/1\.1 (?:100 Continue\r\n\r\nHTTP/1\.1 )?([0-9]{3}) ", answer)
    return int(found[1]) if found else 0
