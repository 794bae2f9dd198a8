"""The order in which a request is let in, and what is told of one that fails; without a server."""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response

from recommender.errors import NoChampionError
from recommender.workspace import Workspace
from services.app import Application
from services.front import Front
from services.keys import Keyring, create_key
from services.logs import JsonLines
from services.operator_file import OperatorFile
from services.routing import Route
from services.wire import Refusal, json_response, read_json


@dataclass
class Doorway:
    """The parts of a door that letting in needs."""

    keyring: Keyring
    operator: OperatorFile


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


def ask(workspace: Workspace, endpoint: Any, *requests: dict[str, Any], **settings: Any) -> list[httpx.Response]:
    """All requests at once to a route of this endpoint."""
    workspace.configuration.write_text(json.dumps({"service": settings}))
    doorway = Doorway(Keyring(workspace.keys), OperatorFile(workspace))
    doorway.operator.refresh()
    route = Route("POST", "/v1/try", ("read",), endpoint, "read", "open_reads")
    application = Application(lambda: doorway, [route])  # type: ignore[arg-type,return-value]
    transport = httpx.ASGITransport(Front(application, application), raise_app_exceptions=True)

    async def everybody() -> list[httpx.Response]:
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as http:
            sent = ({"json": {}, **request} for request in requests or ({},))
            return await asyncio.gather(*(http.post("/v1/try", **one) for one in sent))

    return asyncio.run(everybody())


def failing(problem: Exception) -> Callable[[Request, Any], Any]:
    async def endpoint(request: Request, door: Any) -> Response:
        raise problem

    return endpoint


async def echo(request: Request, door: Any) -> Response:
    return json_response(await read_json(request))


@pytest.mark.parametrize(
    ("problem", "status", "told"),
    [
        (KeyError("Person7"), 500, "The service failed on this request; its log says why."),
        (RecursionError("Person7"), 500, "The service failed on this request; its log says why."),
        (sqlite3.OperationalError("disk I/O error"), 503, "The journal cannot be written now"),
        (NoChampionError("no champion.", "one.", "run it."), 503, "no champion"),
        (Refusal(418, "Found a teapot."), 418, "Found a teapot."),
    ],
)
def test_a_failure_is_one_sentence_with_a_request_id(workspace, caplog, problem, status, told):
    with caplog.at_level(logging.INFO):
        (answer,) = ask(workspace, failing(problem))
    assert answer.status_code == status
    assert told in answer.json()["error"]
    assert len(answer.headers["x-request-id"]) == 32
    assert "Person7" not in answer.text


def test_the_log_of_a_failure_says_where_and_of_what_kind_and_no_more(workspace, caplog):
    lines: list[str] = []

    class Collecting(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(JsonLines().format(record))

    logger, handler = logging.getLogger("nextbest.app"), Collecting()
    logger.addHandler(handler)
    try:
        ask(workspace, failing(KeyError("Person7")), {"headers": {"x-request-id": "given-1"}})
    finally:
        logger.removeHandler(handler)
    (line,) = [json.loads(text) for text in lines]
    assert line["request_id"] == "given-1"
    assert line["trace"].endswith("KeyError")
    assert "test_app.py" in line["trace"]
    assert "Person7" not in line["trace"]


def test_an_answer_that_is_not_ready_in_time_is_given_up(workspace):
    async def endless(request: Request, door: Any) -> Response:
        await asyncio.sleep(60)
        raise AssertionError

    (answer,) = ask(workspace, endless, request_seconds=0.1)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


def test_a_timeout_of_the_inside_is_not_mistaken_for_that(workspace):
    (answer,) = ask(workspace, failing(TimeoutError()))
    assert answer.status_code == 500


def test_what_would_wait_too_long_is_refused_and_the_places_are_given_back(workspace):
    async def slow(request: Request, door: Any) -> Response:
        await asyncio.sleep(0.05)
        return json_response({})

    answers = ask(workspace, slow, *[{}] * 30, most_in_flight=10)
    assert sorted({answer.status_code for answer in answers}) == [200, 429]
    assert sum(answer.status_code == 200 for answer in answers) == 10
    assert all(answer.headers["retry-after"] == "1" for answer in answers if answer.status_code == 429)


def test_nothing_is_read_of_a_caller_who_may_not_ask(workspace):
    """A body that would be refused for its type is refused for its key; the key comes first."""
    create_key(workspace, "read")
    (answer,) = ask(workspace, echo, {"content": b"\xff", "headers": {"content-type": "text/plain"}})
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, 'Bearer, Basic realm="nextbest"')


def test_a_setting_opens_its_route_to_everybody(workspace):
    create_key(workspace, "read")
    (answer,) = ask(workspace, echo, {"json": {"a": 1}}, open_reads=True)
    assert (answer.status_code, answer.json()) == (200, {"a": 1})


def test_everybody_without_a_key_shares_one_rate(workspace):
    answers = ask(workspace, echo, *[{}] * 5, requests_per_second=0.1, burst=3)
    assert sorted(answer.status_code for answer in answers) == [200] * 3 + [429] * 2
