"""The service described by itself: `/openapi.json` for programs, `/docs` for people. Both say the same."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response

from services.docs_page import docs_page
from services.door import Door
from services.openapi import openapi_document
from services.routing import Route
from services.wire import json_response

__all__ = ["with_docs"]


def with_docs(routes: Sequence[Route]) -> tuple[Route, ...]:
    """The table with the two routes that describe it, themselves included."""
    table: list[Route] = list(routes)

    async def document(request: Request, door: Door) -> Response:
        return json_response(openapi_document(table, door.operator.configuration.placements))

    async def page(request: Request, door: Door) -> Response:
        text = docs_page(openapi_document(table, door.operator.configuration.placements))
        # The page needs its own style and nothing else; whatever a browser would load beyond is refused by it.
        headers = {"content-security-policy": "default-src 'none'; style-src 'unsafe-inline'"}
        return Response(text, headers=headers, media_type="text/html")

    table.append(Route("GET", "/openapi.json", ("read", "write"), document, opened_by="open_docs"))
    table.append(Route("GET", "/docs", ("read", "write"), page, opened_by="open_docs"))
    return tuple(table)
