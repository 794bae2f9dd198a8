"""The door held against whoever knocks: keys, limits, errors, logs; on a running server with keys."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from guarded_shop import Guarded

from services.app import ROUTES
from services.routing import Route

pytestmark = pytest.mark.slow

GUARDED = [route for route in ROUTES if route.roles is not None]
JSON = {"content-type": "application/json"}


def name(route: Route) -> str:
    return f"{route.method} {route.path}"


@pytest.mark.parametrize("route", GUARDED, ids=name)
def test_no_route_answers_without_a_key_that_may(guarded: Guarded, route: Route):
    """A route that is added to the table is asked here as well."""
    strangers = [None, "nb_admin_wrong", guarded.keys["expired"], guarded.keys["revoked"], guarded.keys["admin"][:-1]]
    assert [guarded.ask(route.method, route.path, key).status_code for key in strangers] == [401] * 5
    for role in ("read", "write"):
        status = guarded.ask(route.method, route.path, guarded.keys[role]).status_code
        assert (status == 403) == (role not in (route.roles or ())), role
    assert guarded.ask(route.method, route.path, guarded.keys["admin"]).status_code not in (401, 403)
    basic = httpx.BasicAuth(guarded.keys["admin"], "")
    assert guarded.ask(route.method, route.path, auth=basic).status_code not in (401, 403)


@pytest.mark.parametrize(
    "path", ["/", "/docs.json", "/schema.json", "/static_content/index.html", "/healthz", "/openapi", "/v1", "/v1/x/y"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "TRACE"])
def test_nothing_of_the_framework_answers(guarded: Guarded, path: str, method: str):
    """BentoML's own documents and pages, open to everybody, are not to be had."""
    answer = guarded.ask(method, path, guarded.keys["admin"])
    assert (answer.status_code, list(answer.json())) == (404, ["error"])


@pytest.mark.parametrize("who", ["a%2Fb", "..%2F..%2Fetc", "two%0Alines", "%F0%9F%98%80", "100%25"])
def test_an_id_in_an_address_may_hold_anything(guarded: Guarded, who: str):
    """Who asks for an erasure and reads 404 would take it for done."""
    assert guarded.ask("DELETE", f"/v1/users/{who}", guarded.keys["admin"]).status_code == 202
    assert (
        guarded.ask("GET", f"/v1/decisions/{who}", guarded.keys["read"]).json()["error"] == "No decision has this id."
    )


def test_what_admins_alone_may_do_says_so_once(guarded: Guarded):
    told = guarded.ask("DELETE", "/v1/users/somebody", guarded.keys["read"]).json()["error"]
    assert told == "Found a key with the role read. Expected admin."


def test_probes_are_open_and_say_nothing(guarded: Guarded):
    answers = [guarded.ask("GET", path) for path in ("/livez", "/readyz")]
    assert [(answer.status_code, answer.text) for answer in answers] == [(200, "\n")] * 2


def test_another_method_is_told_which_one_is_expected(guarded: Guarded):
    for route in ROUTES:
        answer = guarded.ask("PATCH", route.path)
        assert answer.status_code == 405
        assert route.method in answer.headers["allow"].split(", ")
        assert f"Expected {route.method}" in answer.json()["error"]


@pytest.mark.parametrize("given", ["abc-1.2_3", "x" * 64])
def test_the_callers_request_id_comes_back_and_into_the_log(guarded: Guarded, given: str):
    body = {"user_id": "somebody"}
    answer = guarded.ask("POST", "/v1/recommend", guarded.keys["read"], json=body, headers={"x-request-id": given})
    assert (answer.status_code, answer.headers["x-request-id"]) == (200, given)
    lines = [json.loads(line) for line in guarded.log.splitlines() if line.startswith("{")]
    assert any(line.get("request_id") == given and line.get("route") == "/v1/recommend" for line in lines)


@pytest.mark.parametrize("given", ["", "a b", 'a"b', "x" * 65, "person@example.com"])
def test_any_other_request_id_is_replaced_whatever_the_answer(guarded: Guarded, given: str):
    for path in ("/livez", "/nowhere", "/v1/recommend"):
        made = guarded.ask("GET", path, headers={"x-request-id": given}).headers["x-request-id"]
        assert (len(made), made.isalnum()) == (32, True)


def test_headers_are_bounded(guarded: Guarded):
    for headers in ({f"x-{number}": "1" for number in range(101)}, {"x-long": "y" * 17_000}):
        answer = guarded.ask("POST", "/v1/recommend", guarded.keys["read"], headers=headers)
        assert (answer.status_code, list(answer.json())) == (431, ["error"])


def test_a_head_without_an_end_is_cut_off(guarded: Guarded):
    """Sent in small pieces, so that no single one of them is large."""
    with _connection(guarded) as line:
        line.sendall(b"POST /v1/recommend HTTP/1.1\r\nhost: x\r\nx-endless: ")
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            _send_slowly(line, b"y" * 1_000, 2_000)


def test_a_body_that_drips_in_is_given_up(guarded: Guarded):
    head = f"POST /v1/recommend HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {guarded.keys['read']}\r\n"
    with _connection(guarded) as line:
        line.sendall(f"{head}content-type: application/json\r\ncontent-length: 1000\r\n\r\n{{".encode())
        assert b"408" in line.recv(4_000).splitlines()[0]


def test_a_web_socket_is_refused(guarded: Guarded):
    upgrade = {"connection": "upgrade", "upgrade": "websocket", "sec-websocket-version": "13"}
    headers = {**upgrade, "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ=="}
    assert guarded.ask("GET", "/v1/recommend", headers=headers).status_code in (400, 403)


def test_the_log_holds_no_secret_and_no_person(guarded: Guarded):
    """Every route is driven with marked ids and keys, well and badly, and a failing one on top."""
    mark = "Marked7"
    message = {
        "type": "track",
        "event": mark,
        "userId": f"{mark}-user",
        "anonymousId": f"{mark}-anon",
        "messageId": mark,
    }
    bodies: list[Any] = [
        {"user_id": f"{mark}-user", "context": {"device": mark}, "exclude": [mark]},
        {"user_id": mark, "placement": mark},
        message,
        {**message, "properties": mark},
        {"batch": [message, mark, {mark: mark}]},
        {"items": [{"item_id": mark, "title": mark}, {"item_id": mark, "price": mark}]},
        [mark],
        {mark: mark},
    ]
    keys = [guarded.keys["admin"], guarded.keys["read"], f"nb_read_{mark}", None]
    for route in ROUTES:
        path = re.sub(r"\{\w+\}", f"{mark}-id", route.path) + f"?who={mark}"
        for key in keys:
            headers = {**JSON, "cookie": mark, "x-request-id": f"{mark}@", "user-agent": mark}
            for content in [json.dumps(body) for body in bodies] + [f'{{"{mark}": '] if route.has_body else [None]:
                guarded.ask(route.method, path, key, headers=headers, content=content)
    log = guarded.log
    assert mark not in log
    assert not [role for role, key in guarded.keys.items() if key[8:] in log]
    assert "/v1/decisions/{decision_id}" in log
    assert "/v1/users/{id}" in log


def test_the_page_and_the_document_are_for_callers_with_a_key(guarded: Guarded):
    page = guarded.ask("GET", "/docs", guarded.keys["write"])
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    document = guarded.ask("GET", "/openapi.json", guarded.keys["read"]).json()
    assert set(document["paths"]) == {route.path for route in ROUTES}


@pytest.fixture
def opened(guarded: Guarded) -> Iterator[Guarded]:
    """The same server under other settings, taken up while it runs, and put back afterwards."""
    configuration = guarded.served.shop.workspace.configuration
    before = configuration.read_text()
    limits = {"open_reads": True, "open_metrics": True, "requests_per_second": 0.1, "burst": 6}
    configuration.write_text(json.dumps({"service": limits}))
    _until(lambda: guarded.ask("GET", "/metrics").status_code == 200)
    yield guarded
    configuration.write_text(before)
    _until(lambda: guarded.ask("GET", "/metrics").status_code == 401)


def test_the_operator_may_open_reads_and_the_rates_hold_for_each_key(opened: Guarded):
    def ask(key: str | None = None) -> httpx.Response:
        return opened.ask("POST", "/v1/recommend", key, json={"user_id": "u"})

    before = _refused_for_rate(opened)
    assert ask().status_code == 200
    closed = [("GET", "/v1/decisions/x"), ("POST", "/v1/track"), ("GET", "/docs"), ("GET", "/openapi.json")]
    assert [opened.ask(method, path).status_code for method, path in closed] == [401] * 4
    assert [ask(opened.keys["read"]).status_code for _ in range(7)] == [200] * 6 + [429]
    refused = ask(opened.keys["read"])
    assert 1 <= int(refused.headers["retry-after"]) <= 1 / 0.1
    assert ask(opened.keys["admin"]).status_code == 200  # another key has tokens of its own
    assert _refused_for_rate(opened) - before == 2


def _refused_for_rate(guarded: Guarded) -> float:
    """How many the service says it refused since it started; 0 before the first, when the line is not there."""
    told = guarded.ask("GET", "/metrics", guarded.keys["admin"]).text
    return sum(map(float, re.findall(r'^nextbest_rejections_total\{reason="rate"\} (\S+)', told, re.MULTILINE)))


def _until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < deadline, "the settings were not taken up"
        time.sleep(0.05)


def _send_slowly(line: socket.socket, piece: bytes, times: int) -> None:
    for _ in range(times):
        line.sendall(piece)
        time.sleep(0.0005)


def _connection(guarded: Guarded) -> socket.socket:
    host, _, port = guarded.served.server.url.removeprefix("http://").partition(":")
    return socket.create_connection((host, int(port)), timeout=10)
