"""The HTTP routes: JSON in, JSON out, who may call what, one log line each. Decisions happen behind the door."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Awaitable, Callable

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Match, Route

from recommender.errors import InputError, NotReadyError
from services import decision_routes, event_routes, metrics, operation_routes
from services.door import Door
from services.keys import presented_key
from services.wire import Refusal, json_response

__all__ = ["build_app"]

_ACCESS = logging.getLogger("nextbest.access")
_LOG = logging.getLogger("nextbest.app")

Endpoint = Callable[[Request, Door], Awaitable[Response]]


def build_app(door: Callable[[], Door]) -> Starlette:
    """The application; `door` gives the worker's door, which is opened after the routes exist."""
    routes = [
        _route(door, "/v1/recommend", "POST", ("read",), decision_routes.recommend),
        _route(door, "/v1/decisions/{decision_id}", "GET", ("read",), decision_routes.decision),
        _route(door, "/v1/batch", "POST", ("write",), event_routes.batch),
        *(
            _route(door, f"/v1/{kind}", "POST", ("write",), event_routes.single(kind))
            for kind in ("track", "identify", "page")
        ),
        _route(door, "/metrics", "GET", None, operation_routes.prometheus),
    ]

    async def nowhere(request: Request) -> Response:
        """Whatever else is asked for below /v1 gets a sentence, not a page of the framework's."""
        near = [route for route in routes if route.matches(request.scope)[0] is Match.PARTIAL]
        if near:
            expected = " or ".join(sorted((near[0].methods or set()) - {"HEAD"}))
            return json_response({"error": f"Found {request.method} on {near[0].path}. Expected {expected}."}, 405)
        return json_response({"error": "Nothing has this address. The routes are listed in the README."}, 404)

    everything = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
    return Starlette(routes=[*routes, Route("/v1/{rest:path}", nowhere, methods=everything)])


def _route(
    door: Callable[[], Door], path: str, method: str, roles: tuple[str, ...] | None, endpoint: Endpoint
) -> Route:
    """A route that only its roles may call (None: everybody), counted, logged, and never answering a traceback."""

    async def answered(request: Request) -> Response:
        started = time.perf_counter()
        response = await _answer(request, door(), roles, endpoint)
        seconds = time.perf_counter() - started
        if roles is not None:
            metrics.observe_request(path, response.status_code, seconds)
            _log(method, path, response.status_code, seconds)
        return response

    return Route(path, answered, methods=[method])


async def _answer(request: Request, door: Door, roles: tuple[str, ...] | None, endpoint: Endpoint) -> Response:
    try:
        if roles is not None:
            _admit(request, door, roles)
        return await endpoint(request, door)
    except Exception as problem:
        return _excuse(problem)


def _excuse(problem: Exception) -> Response:
    """The status and the sentence for whatever went wrong; a traceback goes to the log alone."""
    status, sentence = 500, "The service failed on this request; its log says why."
    if isinstance(problem, Refusal):
        status, sentence = problem.status, str(problem)
    elif isinstance(problem, InputError):
        status, sentence = 400, str(problem)
    elif isinstance(problem, NotReadyError):
        status, sentence = 503, str(problem)
    elif isinstance(problem, ClientDisconnect):
        status, sentence = 499, "The caller hung up."
    elif isinstance(problem, sqlite3.Error):
        status, sentence = 503, "The journal cannot be written now; nothing was stored. Send it again."
    if status == 500 or isinstance(problem, sqlite3.Error):
        _LOG.error("a request failed", exc_info=problem)
    return json_response({"error": sentence}, status)


def _admit(request: Request, door: Door, roles: tuple[str, ...]) -> None:
    if door.keyring.is_open:
        return
    key = presented_key(request.headers.get("authorization", ""))
    role = door.keyring.role_of(key) if key else None
    if role is None:
        raise Refusal(401, "Found no working key. Expected `Authorization: Bearer KEY` from `nextbest keys create`.")
    if role not in (*roles, "admin"):
        raise Refusal(403, f"Found a key with the role {role}. Expected {' or '.join(roles)} or admin.")


def _log(method: str, route: str, status: int, seconds: float) -> None:
    """One line without ids: a route's template, not its path."""
    fields = {"method": method, "route": route, "status": status, "ms": round(1000 * seconds, 2)}
    _ACCESS.info("answered", extra={"fields": fields})
