"""The event stream as the team sends it: Segment's routes. `services.segment` knows how a message becomes events."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from services.door import Door
from services.lenient_json import loads_leniently
from services.records import Entry, Receipt
from services.routing import Route
from services.segment import MESSAGE_TYPES, parse_messages
from services.wire import Refusal, json_response, read_json

__all__ = ["EVENT_ROUTES", "MAX_BATCH", "MAX_BATCH_BYTES"]

MAX_BATCH = 10_000  # messages in one batch; the libraries send 100, Segment itself takes 2,500
MAX_BATCH_BYTES = 8 << 20  # ten thousand of 800 bytes
# Read in a thread from here on, and stored so many in a commit: 10,000 at once would keep everybody waiting for 0.3 s.
_AT_ONCE = 500


def single(kind: str) -> Callable[[Request, Door], Awaitable[Response]]:
    """The route of one kind of message."""

    async def tell(request: Request, door: Door) -> Response:
        body = await read_json(request, loads_leniently)
        body.pop("writeKey", None)  # a secret of the sender, of no use in the journal
        receipt = await door.record(parse_messages([{**body, "type": kind}], None, door.clock))
        if receipt.rejected:
            raise Refusal(400, f"The message was set aside as a dead letter: {receipt.rejected[0]}.")
        return json_response({"success": True, "stored": receipt.stored, "duplicates": receipt.duplicates})

    return tell


async def batch(request: Request, door: Door) -> Response:
    """Many messages of any kind. A 200 means that all good ones are stored and all others dead letters.

    A large batch is stored in several commits: an answer 503 may leave a part of it behind, and sending it
    again adds the rest, because a message counts once.
    """
    body = await read_json(request, loads_leniently)
    messages = body.get("batch")
    if not isinstance(messages, list):
        raise Refusal(400, 'Found no list of messages. Expected {"batch": [...]}.')
    if len(messages) > MAX_BATCH:
        raise Refusal(413, f"Found {len(messages):,} messages. Expected at most {MAX_BATCH:,} in a batch.")
    context = _context(body, len(messages))
    stored = duplicates = 0
    rejected: list[str] = []
    for start in range(0, max(len(messages), 1), _AT_ONCE):
        receipt = await _record(messages[start : start + _AT_ONCE], body.get("sentAt"), context, door)
        stored, duplicates = stored + receipt.stored, duplicates + receipt.duplicates
        rejected.extend(receipt.rejected)
    return json_response({"success": True, "stored": stored, "duplicates": duplicates, "rejected": rejected})


def _context(body: dict[str, Any], messages: int) -> dict[str, Any] | None:
    """What a batch says of all its messages. Each is stored with it, hence the bound."""
    context = body.get("context")
    if context is None or context == []:  # as PHP writes what is empty
        return None
    if not isinstance(context, dict):
        raise Refusal(400, f"Found a context of type {type(context).__name__}. Expected an object.")
    if len(orjson.dumps(context)) * messages > MAX_BATCH_BYTES:
        raise Refusal(413, f"The context is too large for {messages:,} messages. Send smaller batches.", reason="size")
    return context


async def _record(messages: list[Any], sent_at: object, context: dict[str, Any] | None, door: Door) -> Receipt:
    if len(messages) < _AT_ONCE:
        return await door.record(parse_messages(messages, sent_at, door.clock, context))
    entry: Entry = await asyncio.to_thread(parse_messages, messages, sent_at, door.clock, context)
    return await door.record(entry)


# Segment's analytics.js says the first letter alone. Its libraries for Ruby and Java send batches to /v1/import.
EVENT_ROUTES = (
    Route("POST", "/v1/batch", ("write",), batch, "write", None, MAX_BATCH_BYTES, from_browsers=True, also=("/v1/b",)),
    Route("POST", "/v1/import", ("write",), batch, "write", None, MAX_BATCH_BYTES, from_browsers=True),
    *(
        Route("POST", f"/v1/{kind}", ("write",), single(kind), "write", from_browsers=True, also=(f"/v1/{kind[0]}",))
        for kind in MESSAGE_TYPES
    ),
)
