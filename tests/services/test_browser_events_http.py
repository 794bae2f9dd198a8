"""Events straight from web pages, as analytics.js and RudderStack's library send them; from a real browser too."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest
from browser import Browser, open_browser
from guarded_shop import Guarded

from services.callers import MAX_KEYLESS_BYTES
from services.event_routes import EVENT_ROUTES
from services.journal import export_journal

pytestmark = pytest.mark.slow

PLAIN = {"content-type": "text/plain;charset=UTF-8"}
SHOP = "https://shop.example"


class Pages(SimpleHTTPRequestHandler):
    """A shop's web server."""

    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a web server with an empty page."""
    folder = tmp_path_factory.mktemp("pages")
    (folder / "index.html").write_text("<!doctype html><title>shop</title>")
    (folder / "favicon.ico").write_bytes(b"")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Pages, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()


@pytest.fixture(scope="module")
def shop(guarded: Guarded, page: int) -> Iterator[Guarded]:
    """The guarded server while its operator names two pages."""
    configuration: Path = guarded.served.shop.workspace.configuration
    before = configuration.read_text()
    origins = [SHOP, f"http://127.0.0.1:{page}"]
    configuration.write_text(json.dumps({"service": {**json.loads(before)["service"], "browser_origins": origins}}))
    asked = {"origin": SHOP, "access-control-request-method": "POST"}
    until(lambda: guarded.ask("OPTIONS", "/v1/track", headers=asked).status_code == 204)
    yield guarded
    configuration.write_text(before)
    until(lambda: guarded.ask("OPTIONS", "/v1/track", headers=asked).status_code == 405)


def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.05)


def event(message_id: str, **more: Any) -> dict[str, Any]:
    return {"type": "track", "event": "Opened", "userId": "u", "messageId": message_id, **more}


def tell(shop: Guarded, path: str, body: Any, **headers: str) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return shop.ask("POST", path, headers={**PLAIN, **headers}, content=content)


def stored(shop: Guarded) -> set[str]:
    export_journal(shop.served.shop.workspace)
    return set(pq.read_table(shop.served.shop.workspace.journal_events)["event_id"].to_pylist())


def test_a_key_in_the_body_opens_every_route_of_events_and_no_other(shop: Guarded):
    for route in EVENT_ROUTES:
        for path in (route.path, *route.also):
            one = event(f"body{path}", previousId="before", groupId="g")
            body = {"batch": [one]} if route.endpoint is EVENT_ROUTES[0].endpoint else one
            assert tell(shop, path, {**body, "writeKey": shop.keys["write"]}).status_code == 200, path
    asked = {"user_id": "u", "writeKey": shop.keys["admin"]}
    assert shop.ask("POST", "/v1/recommend", json=asked).status_code == 401
    items = {"items": [], "writeKey": shop.keys["admin"]}
    assert shop.ask("POST", "/v1/items", json=items).status_code == 401
    assert "body/v1/t" in stored(shop)


def test_a_key_in_the_body_is_checked_as_one_in_the_header_is_and_counts_only_without_one(shop: Guarded):
    wrong = ["nb_write_wrong", shop.keys["expired"], shop.keys["revoked"], "", None, 7, [shop.keys["write"]]]
    assert [tell(shop, "/v1/track", event("no", writeKey=key)).status_code for key in wrong] == [401] * len(wrong)
    assert tell(shop, "/v1/track", event("no", writeKey=shop.keys["read"])).status_code == 403
    assert tell(shop, "/v1/track", event("no")).status_code == 401
    assert tell(shop, "/v1/track", [event("no", writeKey=shop.keys["write"])]).status_code == 400
    for given in (shop.keys["read"], "nb_write_wrong"):
        answer = tell(shop, "/v1/track", event("no", writeKey=shop.keys["write"]), authorization=f"Bearer {given}")
        assert answer.status_code in (401, 403)
    assert "no" not in stored(shop)


def test_a_body_that_brings_its_own_key_may_be_so_large(shop: Guarded):
    body = {"writeKey": shop.keys["write"], "batch": [event(f"large{number}") for number in range(100)]}
    room = MAX_KEYLESS_BYTES - len(json.dumps({**body, "filled": ""}))
    assert tell(shop, "/v1/batch", {**body, "filled": "x" * room}).status_code == 200
    assert tell(shop, "/v1/batch", {**body, "filled": "x" * (room + 1)}).status_code == 413


def test_only_the_operators_pages_may_send_and_read(shop: Guarded):
    body = event("page", writeKey=shop.keys["write"])
    own, other = (
        tell(shop, "/v1/track", body, origin=SHOP),
        tell(shop, "/v1/track", body, origin="https://evil.example"),
    )
    assert (own.status_code, own.headers["access-control-allow-origin"], own.headers["vary"]) == (200, SHOP, "origin")
    assert other.status_code == 403
    assert "access-control-allow-origin" not in other.headers
    refused = tell(shop, "/v1/track", event("page"), origin=SHOP)  # the page may read why
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, SHOP)
    asked = {"access-control-request-method": "POST"}
    assert shop.ask("OPTIONS", "/v1/batch", headers={**asked, "origin": "https://evil.example"}).status_code == 405
    assert shop.ask("OPTIONS", "/v1/recommend", headers={**asked, "origin": SHOP}).status_code == 405


FETCH = """
async ([url, type, body, headers]) => {
  try {
    headers = {'Content-Type': type, ...headers};
    return (await fetch(url, {method: 'POST', keepalive: true, headers, body: JSON.stringify(body)})).status;
  } catch (problem) { return String(problem); }
}
"""
BEACON = "([url, body]) => navigator.sendBeacon(url, JSON.stringify(body))"


def test_a_real_browser_tells_events_from_the_operators_page_and_from_no_other(shop: Guarded, page: int):
    """Plain text with the key inside (analytics.js), a beacon while leaving, JSON with the key in a header
    (RudderStack's, for which a browser asks first)."""
    url, key = shop.served.server.url, shop.keys["write"]
    basic = httpx.BasicAuth(key, "")._auth_header
    with open_browser() as opened:
        visit = _visit(opened, f"http://127.0.0.1:{page}/")
        assert visit(FETCH, [f"{url}/v1/t", "text/plain", event("fetched", writeKey=key), {}]) == 200
        assert visit(FETCH, [f"{url}/v1/track", "application/json", event("asked"), {"Authorization": basic}]) == 200
        assert visit(FETCH, [f"{url}/v1/t", "text/plain", event("unknown", writeKey="nb_write_wrong"), {}]) == 401
        assert visit(BEACON, [f"{url}/v1/b", {"batch": [event("beacon")], "writeKey": key}]) is True
        until(lambda: {"fetched", "asked", "beacon"} <= stored(shop))
        visit = _visit(opened, f"http://localhost:{page}/")  # the same server, another origin
        told = visit(FETCH, [f"{url}/v1/t", "text/plain", event("foreign", writeKey=key), {}])
        assert "TypeError" in told
        visit(BEACON, [f"{url}/v1/b", {"batch": [event("foreign beacon")], "writeKey": key}])
        told = visit(FETCH, [f"{url}/v1/track", "application/json", event("foreign"), {"Authorization": basic}])
        assert "TypeError" in told
    assert not {"unknown", "foreign", "foreign beacon"} & stored(shop)


def _visit(opened: Browser, url: str) -> Callable[[str, list[Any]], Any]:
    return opened.open(url).evaluate
