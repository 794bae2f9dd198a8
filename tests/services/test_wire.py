"""Bodies: how deep they are nested is counted before they are parsed, whatever stands in their texts."""

from __future__ import annotations

import asyncio
import gzip
import json
import random
from typing import Any

import orjson
import pytest
from starlette.requests import Request

from services import wire
from services.wire import MAX_DEPTH, Refusal, read_json, receive_body


def read(raw: bytes, *parts: bytes, seconds: float = 5.0, stall: bool = False, **headers: str) -> dict[str, Any]:
    """Receive a body in parts and read it; with `stall` the last part never comes."""
    given = {"content-type": "application/json", **{name.replace("_", "-"): text for name, text in headers.items()}}
    scope = {"type": "http", "headers": [(name.encode(), text.encode()) for name, text in given.items()]}
    waiting = [raw, *parts]

    async def receive() -> dict[str, Any]:
        if stall and len(waiting) == 1:
            await asyncio.sleep(60)
        return {"type": "http.request", "body": waiting.pop(0), "more_body": bool(waiting)}

    async def whole() -> dict[str, Any]:
        request = Request(scope, receive)
        await receive_body(request, seconds)
        return await read_json(request)

    return asyncio.run(whole())


def nested(levels: int, begin: str = '{"a":', end: str = "}") -> bytes:
    return (begin * levels + "1" + end * levels).encode()


def test_a_body_may_be_nested_to_the_limit_and_no_deeper():
    assert read(nested(MAX_DEPTH))
    for bomb in (nested(MAX_DEPTH + 1), nested(100_000), b'{"a":' + nested(500_000, "[", "]") + b"}", b"[" * 1_000_000):
        with pytest.raises(Refusal, match="nested") as refused:
            read(bomb)
        assert refused.value.status == 400


def test_brackets_inside_of_texts_are_no_levels():
    text = '"\\[{"' * 200
    assert read(json.dumps({"note": text, text: ["]}"] * 100}).encode()) == {"note": text, text: ["]}"] * 100}


def test_the_depth_is_that_of_the_parsed_value(monkeypatch: pytest.MonkeyPatch):
    """5,000 random values full of quotes, backslashes and brackets, each written in two ways, against a recursion."""
    monkeypatch.setattr(wire, "MAX_DEPTH", 0)  # so that everything is counted
    chance = random.Random(1)
    for _ in range(5_000):
        value = _value(chance, 5)
        assert wire._depth(orjson.dumps(value)) == wire._depth(json.dumps(value, indent=1).encode()) == _levels(value)


def _value(chance: random.Random, depth: int) -> Any:
    text = "".join(chance.choice('"\\[]{}na\n') for _ in range(chance.randint(0, 6)))
    kind = chance.random()
    if depth == 0 or kind < 0.3:
        return text
    if kind < 0.6:
        return [_value(chance, depth - 1) for _ in range(chance.randint(0, 3))]
    return {text[:place]: _value(chance, depth - 1) for place in range(chance.randint(0, 3))}


def _levels(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(_levels, inner), default=0)


def test_a_body_that_does_not_arrive_is_not_waited_for():
    with pytest.raises(Refusal) as refused:
        read(b'{"a":', b"1}", seconds=0.05, stall=True)
    assert refused.value.status == 408


def test_an_announced_size_is_refused_before_a_byte_is_read():
    for announced in ("1048577", "9" * 4_000):
        with pytest.raises(Refusal) as refused:
            read(b"", content_length=announced, stall=True)
        assert refused.value.status == 413


def test_parts_and_gzip_are_put_together():
    body = json.dumps({"a": list(range(1_000))}).encode()
    packed = gzip.compress(body)
    assert read(packed[:50], packed[50:], content_encoding="gzip") == read(body[:7], body[7:]) == orjson.loads(body)


@pytest.mark.parametrize(
    "raw",
    [b'{"a":NaN}', b'{"a":1e999}', b'{"a":"\\ud800"}', b'{"a":"\xed\xa0\x80"}', b"\xff\xfe{\x00}\x00", b"{,}", b""],
)
def test_what_is_no_json_in_utf_8_is_told_so(raw: bytes):
    with pytest.raises(Refusal, match="JSON"):
        read(raw)


def test_a_route_may_take_more_than_others_and_packed_bodies_are_given_room_by_their_size():
    def room(most: int, **headers: str) -> int:
        given = [(name.replace("_", "-").encode(), text.encode()) for name, text in headers.items()]
        return wire.expected_size(Request({"type": "http", "headers": given}), most)

    most = 8 * wire.MAX_BODY_BYTES
    assert room(most) == room(most, content_length="abc") == room(most, content_length="9" * 30) == most
    assert room(most, content_length="700") == 700
    assert room(most, content_length="700", content_encoding="gzip") == wire.MAX_BODY_BYTES
    assert room(most, content_length="100000", content_encoding="gzip") == 50 * 100_000
