"""What stands before BentoML's own application: every request is answered by ours, BentoML keeps the life cycle.

BentoML's routes would be open to everybody (`/docs.json`, `/schema.json`, `/static_content`, `/healthz`, `/`), its
errors are pages of their own, and its timeout keeps a timer of 30 s for every request ever made, 90,000 of them at
3,000 requests a second.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from services.logs import REQUEST_ID
from services.wire import Refusal, json_response

__all__ = ["Front"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]

MAX_HEADERS = 100
MAX_HEADER_BYTES = 16_384
_SANE_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")


class Front:
    """The ASGI application that the server runs; each answer carries the caller's `x-request-id` if sane, else ours."""

    def __init__(self, life_cycle: Asgi, application: Asgi) -> None:
        self._life_cycle, self._application = life_cycle, application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._life_cycle(scope, receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})  # before it is accepted: the caller reads a 403

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_id = _request_id(scope)
        REQUEST_ID.set(request_id)
        pair = (b"x-request-id", request_id.encode())

        async def named(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], pair]
            await send(message)

        refusal = _too_many_headers(scope)
        if refusal is None:
            await self._application(scope, receive, named)
        else:
            await json_response({"error": str(refusal)}, refusal.status)(scope, receive, named)


def _request_id(scope: Scope) -> str:
    given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
    return given.decode() if _SANE_ID.fullmatch(given) else uuid.uuid4().hex


def _too_many_headers(scope: Scope) -> Refusal | None:
    headers = scope["headers"]
    if len(headers) <= MAX_HEADERS and sum(len(name) + len(value) for name, value in headers) <= MAX_HEADER_BYTES:
        return None
    return Refusal(431, f"The headers are more than {MAX_HEADERS} or larger than {MAX_HEADER_BYTES:,} bytes.")
