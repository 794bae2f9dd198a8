"""Erasing a person on request, over HTTP: asked for, and how far it is. What it takes is known to `erasure_log`."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from services.door import Door
from services.erasure_log import erasure_told
from services.message_fields import MAX_ID_LENGTH
from services.records import Entry, Erasure
from services.wire import Refusal, json_response

__all__ = ["erase", "erasure"]


async def erase(request: Request, door: Door) -> Response:
    """202 once it is on disk: from then on no answer of any worker knows the person."""
    person = request.path_params["id"]
    if len(person) > MAX_ID_LENGTH or not person.strip():
        raise Refusal(400, f"Found an id of {len(person)} characters. Expected 1 to {MAX_ID_LENGTH}.")
    receipt = await door.record(Entry(erasure=Erasure(person, door.clock.now_ms())))
    return _told(door, receipt.erasure_id, 202)


async def erasure(request: Request, door: Door) -> Response:
    """How far an erasure is."""
    return _told(door, request.path_params["erasure_id"], 200)


def _told(door: Door, erasure_id: str, code: int) -> Response:
    status = door.reader.erasure_status(erasure_id)
    if status is None:
        raise Refusal(404, "No erasure has this id.")
    return json_response(erasure_told(erasure_id, status), code)
