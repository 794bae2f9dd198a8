"""`POST /v1/decide`: the next best action for a person in the moment, "nothing" included. What decides is elsewhere."""

from __future__ import annotations

import time

from starlette.requests import Request
from starlette.responses import Response

from services.decide_request import DecideRequest
from services.decided import decision_answer
from services.door import Door
from services.metrics import stage
from services.person_slots import PersonSlots, slots_for
from services.wire import json_response, read_json

__all__ = ["decide"]


async def decide(request: Request, door: Door) -> Response:
    """Decide, and have it on disk before anybody hears of it."""
    until = time.monotonic() + door.operator.configuration.service.deadline_seconds
    body = await read_json(request)
    with stage("parse"):
        asked = DecideRequest.parse(body, request.headers.get("idempotency-key", ""))
        decided_ms = door.clock.request_moment(asked.context)

    async def slots(person: str) -> PersonSlots | None:
        return await slots_for(door, person, decided_ms, asked.context)

    return json_response(decision_answer(await door.agents.decide(asked, decided_ms, until, slots)))
