"""Requests that nobody should send, made by chance from ones that somebody would, and how each was answered."""

from __future__ import annotations

import asyncio
import gzip
import json
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from services.app import ROUTES

__all__ = ["answers", "fuzzed"]

Chance = random.Random

_MESSAGE = {
    "type": "track",
    "event": "Product Viewed",
    "messageId": "m",
    "userId": "u",
    "properties": {"product_id": "i"},
}
_GOOD: dict[str, Any] = {
    "/v1/recommend": {"user_id": "u", "k": 3, "filter": {"price": {"max": 5}}, "context": {"device": "phone"}},
    "/v1/decide": {"agent": "spring", "user_id": "u", "context": {"cart": 5}, "within_hours": 24},
    "/v1/batch": {
        "batch": [_MESSAGE, {**_MESSAGE, "type": "identify", "traits": {"a": 1}}],
        "sentAt": "2026-01-01T00:00:00Z",
    },
    "/v1/items": {"items": [{"item_id": "i", "title": "t", "price": 2.5, "tags": ["a"], "available": True}]},
}
_ODD: Sequence[Any] = (
    None, True, 0, -1, 10**18, 10**400, 1e308, -0.0, "", " ", "\x00", "\ud800", "a" * 5_000, "💥" * 200, "NaN",
    "1969-12-31T23:59:59Z", "9999-12-31T23:59:59.999999+14:00", "0001-01-01", [], {}, [[]], {"": {}}, [None] * 300,
)  # fmt: skip
_TEXTS = (
    b"NaN",
    b"Infinity",
    b"1e999",
    b"-",
    b"{",
    b"]",
    b'"\\ud800"',
    b'"\\u0000"',
    b"0" * 400,
    b"\xff\xfe",
    b"\xef\xbb\xbf",
)
_METHODS = ("GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD", "PATCH", "TRACE", "get", "BREW", "P" * 300)
_HEADERS = (
    "content-type: text/plain", "content-type: multipart/form-data", "content-type: application/json; charset=utf-16",
    "content-encoding: br", "content-encoding: gzip", "content-encoding: gzip, gzip", "accept: nothing/*;q=x",
    "authorization: Bearer", "authorization: Basic ====", "authorization: Basic gICA", "authorization: Bearer \xe4",
    "x-request-id: ../../etc/passwd", "expect: 100-continue", "upgrade: h2c", "connection: close", "host: evil",
    "cookie: " + "c" * 3_000, "range: bytes=0-", "if-none-match: *", "forwarded: for=127.0.0.1", "x: \t",
)  # fmt: skip
_QUERIES = ("?explain=true", "?item_id=i&explain=1", "?item_id=%00", "?explain=%ff&=&", "?" + "item_id=x&" * 500)
_PATHS = ("/", "//", "/v1", "/v1/", "/v1/../v1/recommend", "/v1/%2e%2e/keys", "/%00", "/%ff", "/v1/recommend/", "*",
          "/v1/decisions/%F0%9F%92%A5", "/v1/decisions/" + "d" * 4_000, "/v1/decisions/'%20or%201=1--", "http://x/v1/track",
          "/docs.json", "/v1/decisions/?a=%", "/livez?x=" + "y" * 2_000)  # fmt: skip


def fuzzed(chance: Chance, key: str, decision_id: str) -> bytes:
    """One request as its bytes: now and then sound, mostly not; `decision_id` is one that exists."""
    route = chance.choice(ROUTES)
    method, path = route.method, route.path.replace("{decision_id}", chance.choice((decision_id, "%20", "a" * 300)))
    body = _body(chance, path, decision_id) if method == "POST" or chance.random() < 0.1 else b""
    if chance.random() < 0.2:
        path += chance.choice(_QUERIES)
    headers = ["host: x", "connection: close", "content-type: application/json"]
    if chance.random() < 0.9:
        headers.append(f"authorization: Bearer {key}")
    if chance.random() < 0.1:
        method = chance.choice(_METHODS)
    if chance.random() < 0.15:
        path = chance.choice(_PATHS)
    if chance.random() < 0.15:
        headers += chance.sample(_HEADERS, chance.randint(1, 4))
    if chance.random() < 0.03:
        headers += [f"x-{number}: {number}" for number in range(chance.choice((50, 150)))]
    if chance.random() < 0.1:
        body, headers = _packed(chance, body), [*headers, "content-encoding: gzip"]
    if chance.random() < 0.1:
        return _head(method, path, [*headers, "transfer-encoding: chunked"]) + _chunks(chance, body)
    length = len(body) if chance.random() < 0.98 else chance.choice((10**7, 10**30, len(body) // 2))
    return _head(method, path, [*headers, f"content-length: {length}"]) + body


def _head(method: str, path: str, headers: Sequence[str]) -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", *headers, "", ""]).encode("latin-1", "replace")


def _body(chance: Chance, path: str, decision_id: str) -> bytes:
    further = {"decision_id": decision_id, "page": chance.randint(1, 4), "fields": ["title"], "explain": True}
    value = further if path == "/v1/recommend" and chance.random() < 0.3 else _GOOD.get(path, _MESSAGE)
    for _ in range(chance.randint(0, 3)):
        value = _changed(chance, value)
    kind = chance.random()
    if kind < 0.03:
        depth = chance.choice((65, 300, 2_000, 100_000))
        value_text = b'{"a":' * depth + b"1" + b"}" * depth
    elif kind < 0.05:
        value_text = json.dumps({"batch": [_MESSAGE] * chance.choice((2_000, 20_000)), "k": "x" * 1_000}).encode()
    else:
        value_text = json.dumps(value).encode(chance.choice(("utf-8",) * 9 + ("utf-16",)))
    return _spoilt(chance, value_text) if chance.random() < 0.3 else value_text


def _changed(chance: Chance, value: Any) -> Any:
    """The value with one thing in it exchanged, doubled, dropped or added."""
    if isinstance(value, dict) and value and chance.random() < 0.9:
        name = chance.choice(list(value))
        kind = chance.random()
        if kind < 0.15:
            return {other: inner for other, inner in value.items() if other != name}
        if kind < 0.3:
            return {
                **value,
                chance.choice(("", "\x00", "__proto__", "explain", "userId", "n" * 300)): chance.choice(_ODD),
            }
        return {**value, name: _changed(chance, value[name])}
    if isinstance(value, list) and value and chance.random() < 0.9:
        place = chance.randrange(len(value))
        return [*value[:place], _changed(chance, value[place]), *value[place:]]
    return chance.choice(_ODD)


def _spoilt(chance: Chance, text: bytes) -> bytes:
    """The text with some of its bytes exchanged, cut off, repeated, or with what is no JSON put in."""
    place = chance.randrange(len(text) + 1)
    kind = chance.randrange(5)
    if kind == 0:
        return text[:place]
    if kind == 1:
        return text[:place] + chance.choice(_TEXTS) + text[place:]
    if kind == 2:
        return text[:place] + chance.randbytes(chance.randint(1, 8)) + text[place + 1 :]
    if kind == 3:
        return text + text
    return text[:1] + b'"k": 1, "k": [2], "user_id": "a", "user_id": null, ' + text[1:]


def _packed(chance: Chance, body: bytes) -> bytes:
    bombs: Sequence[Callable[[], bytes]] = (
        lambda: gzip.compress(body),
        lambda: gzip.compress(b" " * 30_000_000),
        lambda: gzip.compress(gzip.compress(body)),
        lambda: gzip.compress(body)[:-5],
        lambda: b"\x1f\x8b" + chance.randbytes(40),
    )
    return chance.choices(bombs, (6, 1, 1, 1, 1))[0]()


def _chunks(chance: Chance, body: bytes) -> bytes:
    size = chance.choice((1, 7, 1_000)) if len(body) < 10_000 else 50_000
    parts = [body[start : start + size] for start in range(0, len(body), size)]
    text = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)
    return text + (b"0\r\n\r\n" if chance.random() < 0.9 else b"zz\r\n")


def answers(
    host: str, port: int, key: str, count: int, seed: int, decision_id: str = "d", callers: int = 8
) -> list[tuple[bytes, bytes]]:
    """Send so many requests, each over a connection of its own, and collect each with what came back ("": nothing)."""
    chance = random.Random(seed)
    requests: Iterator[bytes] = (fuzzed(chance, key, decision_id) for _ in range(count))
    collected: list[tuple[bytes, bytes]] = []

    async def caller() -> None:
        for request in requests:
            collected.append((request, await _answer(host, port, request)))

    async def everybody() -> None:
        await asyncio.gather(*(caller() for _ in range(callers)))

    asyncio.run(everybody())
    return collected


async def _answer(host: str, port: int, request: bytes) -> bytes:
    """All that came back until the service closed the connection, which it does after an answer, or its patience."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(request)
        await writer.drain()
        return await asyncio.wait_for(reader.read(), 30)
    except (ConnectionError, BrokenPipeError):
        return b""
    finally:
        writer.close()
