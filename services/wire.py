"""Bodies on the wire: bounded in bytes, time and depth, JSON alone; errors as one sentence. No route is known here."""

from __future__ import annotations

import asyncio
import re
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import orjson
from starlette.requests import Request
from starlette.responses import Response

__all__ = [
    "MAX_BODY_BYTES",
    "MAX_DEPTH",
    "Refusal",
    "content_type",
    "expected_size",
    "json_response",
    "read_json",
    "receive_body",
]

MAX_BODY_BYTES = 1 << 20  # Segment's own clients stay below 500 kB a batch
MAX_DEPTH = 64  # orjson writes at most 254 levels and reads 1,024: what is read must be storable
_RECEIVED, _READ = "nextbest.body", "nextbest.read"
_MOST_UNPACKED = 50  # times the packed size, above MAX_BODY_BYTES: batches of events shrink to a tenth
_LARGE = 1 << 16  # from here on a body is read in a thread: 1 MB of JSON takes the event loop 10 ms
_OTHER_BYTES = bytes(set(range(256)) - set(b'"[]{}'))
_ESCAPED = re.compile(rb"\\.", re.DOTALL)
_STRING = re.compile(rb'"[^"]*"?')


class Refusal(Exception):  # noqa: N818 (an answer, not a failure of ours)
    """A request that is answered with a status and a sentence instead of being carried out.

    `retry_after`: seconds, for the header of a 429. `reason`: one of few words, counted in the metrics.
    """

    def __init__(self, status: int, sentence: str, *, retry_after: int | None = None, reason: str = "") -> None:
        self.status, self.reason = status, reason
        self.headers: dict[str, str] = {} if retry_after is None else {"retry-after": str(retry_after)}
        if status == 401:
            self.headers["www-authenticate"] = 'Bearer, Basic realm="nextbest"'
        if status == 408:
            self.headers["connection"] = "close"  # what still drips in belongs to no request
        super().__init__(sentence)


def json_response(body: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(body), status, media_type="application/json")


def expected_size(request: Request, most: int) -> int:
    """What a body may take of the memory: what it announces, or the route's limit where it announces nothing."""
    announced = request.headers.get("content-length", "")
    if not announced.isdecimal():
        return most
    size = int(announced[:12])
    return min(most, max(MAX_BODY_BYTES, _MOST_UNPACKED * size) if _is_packed(request) else size)


def content_type(request: Request) -> str:
    """What the body is said to be, without parameters."""
    told: str = request.headers.get("content-type", "")
    return told.partition(";")[0].strip().lower()


async def receive_body(
    request: Request, seconds: float, most: int = MAX_BODY_BYTES, types: Sequence[str] = ("application/json",)
) -> int:
    """Read the body into the request, at most so many bytes of it within so many seconds; its size.

    Refuses other types than `types` (415), other encodings than gzip (415), larger bodies (413; a length announced too
    large before a byte is read) and slow ones (408).
    """
    _refuse_other_types(request, types)
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and (len(announced) > 12 or int(announced) > most):
        raise _too_large(most)
    try:
        async with asyncio.timeout(seconds):
            raw = await _bounded(request, most)
    except TimeoutError:
        raise Refusal(408, f"The body did not arrive within {seconds:g} s.", reason="slow_body") from None
    request.scope[_RECEIVED] = raw, expected_size(request, most)
    return len(raw)


async def read_json(request: Request, loads: Callable[[bytes], Any] = orjson.loads) -> dict[str, Any]:
    """The received body as a JSON object. Refuses bad JSON, and what is nested deeper than MAX_DEPTH (400)."""
    if _READ in request.scope:  # for its key
        known: dict[str, Any] = request.scope[_READ]
        return known
    raw, most = request.scope[_RECEIVED]
    is_packed = _is_packed(request)
    if len(raw) * (8 if is_packed else 1) > _LARGE:
        body = await asyncio.to_thread(_parsed, raw, is_packed, most, loads)
    else:
        body = _parsed(raw, is_packed, most, loads)
    request.scope[_READ] = body
    return body


def _parsed(raw: bytes, is_packed: bool, most: int, loads: Callable[[bytes], Any]) -> dict[str, Any]:
    if is_packed:
        raw = _inflated(raw, most)
    if _depth(raw) > MAX_DEPTH:
        raise Refusal(400, f"The body is nested more than {MAX_DEPTH} levels deep.", reason="depth")
    try:
        body = loads(raw)
    except orjson.JSONDecodeError as error:
        raise Refusal(400, f"The body is not JSON in UTF-8: {str(error)[:120]}.") from None
    if not isinstance(body, dict):
        raise Refusal(400, f"Found a body of type {type(body).__name__}. Expected a JSON object.")
    return body


def _is_packed(request: Request) -> bool:
    return bool(request.headers.get("content-encoding", "identity").lower() == "gzip")


def _refuse_other_types(request: Request, types: Sequence[str]) -> None:
    if (kind := content_type(request)) not in types:
        raise Refusal(415, f"Found content type {kind[:80]!r}. Expected {' or '.join(types)}.", reason="type")
    encoding = request.headers.get("content-encoding", "identity").lower()
    if encoding not in ("identity", "gzip"):
        raise Refusal(415, f"Found content encoding {encoding[:80]!r}. Expected gzip or none.", reason="type")


async def _bounded(request: Request, most: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > most:
            raise _too_large(most)
        parts.append(part)
    return b"".join(parts)


def _depth(raw: bytes) -> int:
    """How deep the brackets outside of strings are nested; counted before anything is parsed.

    Fewer brackets than levels allowed (nearly every request) cost one look; otherwise all but quotes and brackets
    is dropped first, which takes 0.5 ms for 250 kB. `""` is a string without brackets, or the end of one and the
    beginning of the next: either way it can go.
    """
    if raw.count(b"{") + raw.count(b"[") <= MAX_DEPTH:
        return 0
    plain = _ESCAPED.sub(b"", raw) if b"\\" in raw else raw
    marks = _STRING.sub(b"", plain.translate(None, _OTHER_BYTES).replace(b'""', b""))
    codes = np.frombuffer(marks, dtype=np.uint8)
    steps = np.where((codes == ord("{")) | (codes == ord("[")), 1, -1)
    return int(np.cumsum(steps, dtype=np.int64).max(initial=0))


def _inflated(raw: bytes, most: int) -> bytes:
    """Unpack at most the limit: a kilobyte of gzip can hold a megabyte of zeros."""
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        data = unpacker.decompress(raw, most + 1)
    except zlib.error as error:
        raise Refusal(400, f"The body is not gzip: {error}.") from None
    if len(data) > most:
        raise _too_large(most)
    if not unpacker.eof:
        raise Refusal(400, "The gzip body is cut short.")
    return data


def _too_large(most: int) -> Refusal:
    return Refusal(413, f"The body is larger than {most:,} bytes. Send smaller batches.", reason="size")
