"""What the people who run the service, and their machines, ask of it."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from services.door import Door
from services.respawning import crash_facts
from services.scrape import exposition

__all__ = ["alive", "prometheus", "ready"]


async def prometheus(request: Request, door: Door) -> Response:
    return Response(exposition(door), media_type="text/plain; version=0.0.4; charset=utf-8")


async def alive(request: Request, door: Door) -> Response:
    """A probe: this worker answers."""
    return Response("\n", media_type="text/plain")


async def ready(request: Request, door: Door) -> Response:
    """A probe: 200 once a champion is loaded, 503 until then; it says whether workers fail to come up, no more."""
    told = "\n" if crash_facts(door.workspace) is None else "workers end soon after their start\n"
    return Response(told, 200 if door.is_ready else 503, media_type="text/plain")
