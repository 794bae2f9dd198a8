"""What the people who run the service ask of it."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from services import metrics
from services.door import Door

__all__ = ["prometheus"]


async def prometheus(request: Request, door: Door) -> Response:
    text = metrics.render(door.reader.counts(), door.champion.version)
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")
