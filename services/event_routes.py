"""The event stream as the team sends it: Segment's routes. `services.segment` knows how a message becomes events."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response

from services.door import Door
from services.segment import parse_messages
from services.wire import Refusal, json_response, read_json

__all__ = ["MAX_BATCH", "batch", "single"]

MAX_BATCH = 1_000  # messages in one batch


def single(kind: str) -> Callable[[Request, Door], Awaitable[Response]]:
    async def tell(request: Request, door: Door) -> Response:
        body = await read_json(request)
        body.pop("writeKey", None)  # a secret of the sender, of no use in the journal
        receipt = await door.record(parse_messages([{**body, "type": kind}], None, door.clock))
        if receipt.rejected:
            raise Refusal(400, f"The message was set aside as a dead letter: {receipt.rejected[0]}.")
        return json_response({"success": True, "stored": receipt.stored, "duplicates": receipt.duplicates})

    return tell


async def batch(request: Request, door: Door) -> Response:
    body = await read_json(request)
    messages = body.get("batch")
    if not isinstance(messages, list):
        raise Refusal(400, 'Found no list of messages. Expected {"batch": [...]}.')
    if len(messages) > MAX_BATCH:
        raise Refusal(413, f"Found {len(messages):,} messages. Expected at most {MAX_BATCH:,} in a batch.")
    receipt = await door.record(parse_messages(messages, body.get("sentAt"), door.clock))
    told = {"stored": receipt.stored, "duplicates": receipt.duplicates, "rejected": list(receipt.rejected)}
    return json_response({"success": True, **told})
