"""Bodies on the wire: bounded, JSON alone, and errors as one sentence. No route is known here."""

from __future__ import annotations

import zlib
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

__all__ = ["MAX_BODY_BYTES", "Refusal", "json_response", "read_json"]

MAX_BODY_BYTES = 1 << 20  # Segment's own clients stay below 500 kB a batch


class Refusal(Exception):  # noqa: N818 (an answer, not a failure of ours)
    """A request that is answered with a status and a sentence instead of being carried out."""

    def __init__(self, status: int, sentence: str) -> None:
        self.status = status
        super().__init__(sentence)


def json_response(body: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(body), status, media_type="application/json")


async def read_json(request: Request) -> dict[str, Any]:
    """The body as a JSON object. Refuses other types (415), more than MAX_BODY_BYTES (413) and bad JSON (400)."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Refusal(415, f"Found content type {kind[:80]!r}. Expected application/json.")
    raw = await _bounded(request)
    encoding = request.headers.get("content-encoding", "identity").lower()
    if encoding == "gzip":
        raw = _inflated(raw)
    elif encoding != "identity":
        raise Refusal(415, f"Found content encoding {encoding[:80]!r}. Expected gzip or none.")
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise Refusal(400, f"The body is not JSON in UTF-8: {str(error)[:120]}.") from None
    if not isinstance(body, dict):
        raise Refusal(400, f"Found a body of type {type(body).__name__}. Expected a JSON object.")
    return body


async def _bounded(request: Request) -> bytes:
    """Read at most the limit; a length that is announced too large is refused before a byte is read."""
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > MAX_BODY_BYTES:
        raise _too_large()
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > MAX_BODY_BYTES:
            raise _too_large()
        parts.append(part)
    return b"".join(parts)


def _inflated(raw: bytes) -> bytes:
    """Unpack at most the limit: a kilobyte of gzip can hold a megabyte of zeros."""
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        data = unpacker.decompress(raw, MAX_BODY_BYTES + 1)
    except zlib.error as error:
        raise Refusal(400, f"The body is not gzip: {error}.") from None
    if len(data) > MAX_BODY_BYTES:
        raise _too_large()
    if not unpacker.eof:
        raise Refusal(400, "The gzip body is cut short.")
    return data


def _too_large() -> Refusal:
    return Refusal(413, f"The body is larger than {MAX_BODY_BYTES:,} bytes. Send smaller batches.")
