"""The routes, who may call them, and the order in which a request is let in. Decisions happen behind the door.

A request passes: address, key, rate of its key, room in the queue, its body (bounded in bytes and in time), a turn,
its route. What is refused is refused as early as that: nothing is parsed for a caller who may not ask.
"""

from __future__ import annotations

import asyncio
import logging
import re
import sqlite3
import time
from collections.abc import Callable, Sequence
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from recommender.door_settings import DoorSettings
from recommender.errors import InputError, NotReadyError
from services import (
    decide_routes,
    decision_routes,
    erasure_routes,
    event_routes,
    item_routes,
    metrics,
    operation_routes,
)
from services.admission import Admission, Memory, RateLimits
from services.callers import (
    MAX_KEYLESS_BYTES,
    UNTOLD,
    body_types,
    caller_in_body,
    caller_of,
    is_page_allowed,
    preflight,
    with_origin,
)
from services.docs_routes import with_docs
from services.door import Door
from services.routing import Route
from services.wire import Refusal, expected_size, json_response, receive_body

__all__ = ["ROUTES", "Application"]

_ACCESS = logging.getLogger("nextbest.access")
_LOG = logging.getLogger("nextbest.app")
_SHARE_OF_UNTOLD = 0.125  # of the memory for bodies: who sends them slowly and has no key keeps no others out
_NOWHERE = "nowhere"  # the label of all addresses that do not exist: there are endlessly many

# Each has its line in services/openapi.py as well; tests/contracts/test_openapi.py holds the two together.
ROUTES = with_docs(
    (
        Route("POST", "/v1/recommend", ("read",), decision_routes.recommend, "read", "open_reads"),
        Route("POST", "/v1/decide", ("read",), decide_routes.decide, "read"),
        Route("GET", "/v1/decisions/{decision_id}", ("read",), decision_routes.decision, "read"),
        Route("DELETE", "/v1/users/{id}", ("admin",), erasure_routes.erase, "write"),
        Route("GET", "/v1/erasures/{erasure_id}", ("admin",), erasure_routes.erasure, "read"),
        *event_routes.EVENT_ROUTES,
        Route("POST", "/v1/items", ("write",), item_routes.items, "write", most_bytes=item_routes.MAX_ITEM_BYTES),
        Route("GET", "/metrics", ("read",), operation_routes.prometheus, opened_by="open_metrics"),
        Route("GET", "/livez", None, operation_routes.alive),
        Route("GET", "/readyz", None, operation_routes.ready),
    )
)


class Application:
    """The ASGI application of one worker; `door` gives the worker's door, which is opened after the routes exist."""

    def __init__(self, door: Callable[[], Door], routes: Sequence[Route] = ROUTES) -> None:
        self._door = door
        self._fixed = {
            (route.method, path): route for route in routes for path in (route.path, *route.also) if "{" not in path
        }
        self._patterns = [(_pattern(route.path), route) for route in routes if "{" in route.path]
        self._queues = {name: Admission() for name in ("read", "write")}
        self._memory, self._memory_for_untold = Memory(), Memory(_SHARE_OF_UNTOLD)
        self._rates = RateLimits()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        started = time.perf_counter()
        request = Request(scope, receive, send)
        route: Route | None = None
        try:
            route = self._find(request)
            response = preflight() if request.method == "OPTIONS" else await self._answer(request, route)
        except Exception as problem:
            response = _excuse(problem)
        if route is not None and route.from_browsers:
            with_origin(response, request, self._settings())
        seconds = time.perf_counter() - started
        path = route.path if route else _NOWHERE
        if route is None or route.roles is not None:
            metrics.observe_request(path, response.status_code, seconds)
            _log(request.method, path, response.status_code, seconds)
        await response(scope, receive, send)

    def _find(self, request: Request) -> Route:
        """The route of an address; HEAD is answered as GET is (the server leaves the body out)."""
        method, path = "GET" if request.method == "HEAD" else request.method, request.scope["path"]
        found = self._fixed.get((method, path))
        if found is not None:
            return found
        if method == "OPTIONS" and is_page_allowed(request, self._settings()):  # a browser asks before it sends
            asked = self._fixed.get(("POST", path))
            if asked is not None and asked.from_browsers:
                return asked
        for pattern, route in self._patterns:
            match = pattern.fullmatch(path)
            if match and route.method == method:
                request.scope["path_params"] = match.groupdict()
                return route
        raise self._nowhere(path, request.method)

    def _nowhere(self, path: str, method: str) -> Refusal:
        allowed = {known for known, at in self._fixed if at == path}
        allowed |= {route.method for pattern, route in self._patterns if pattern.fullmatch(path)}
        if not allowed:
            return Refusal(404, "Nothing has this address. The routes are listed at /docs.")
        expected = " or ".join(sorted(allowed))
        shown = method if re.fullmatch("[A-Z]{1,20}", method) else "another method"
        refusal = Refusal(405, f"Found {shown}. Expected {expected}.")
        refusal.headers["allow"] = ", ".join(sorted(allowed | ({"HEAD"} if "GET" in allowed else set())))
        return refusal

    async def _answer(self, request: Request, route: Route) -> Response:
        door, settings, caller = self._door(), self._settings(), ""
        if route.roles is not None:
            caller = caller_of(request, door.keyring, route, settings)
            self._rates.spend(caller, settings)
        queue = self._queues.get(route.queue or "")
        if queue is None:
            return await self._timed(request, route, door, settings)
        queue.refuse_if_full(settings)  # before the body: what cannot be answered need not be received
        most, memory = route.most_bytes, self._memory
        if caller == UNTOLD:
            most, memory = min(most, MAX_KEYLESS_BYTES), self._memory_for_untold
        size = expected_size(request, most) if route.has_body else 0
        memory.take(size, settings)
        try:
            if route.has_body:
                await receive_body(request, settings.body_seconds, most, body_types(request, route, settings))
            if caller == UNTOLD:
                self._rates.spend(await caller_in_body(request, door.keyring, route), settings)
            with queue.turn(settings):
                return await self._timed(request, route, door, settings)
        finally:
            memory.held -= size

    def _settings(self) -> DoorSettings:
        return self._door().operator.configuration.service

    async def _timed(self, request: Request, route: Route, door: Door, settings: DoorSettings) -> Response:
        try:
            async with asyncio.timeout(settings.request_seconds) as deadline:
                return await route.endpoint(request, door)
        except TimeoutError:
            if not deadline.expired():
                raise
            told = f"No answer was ready within {settings.request_seconds:g} s. Send the request again."
            raise Refusal(503, told, retry_after=1, reason="deadline") from None


def _pattern(path: str) -> re.Pattern[str]:
    """An address that ends with an id. The server hands `%2F` over as a slash, and ids may hold anything."""
    before, _, name = path.partition("{")
    return re.compile(f"{re.escape(before)}(?P<{name.rstrip('}')}>.+)", re.DOTALL)


def _excuse(problem: Exception) -> Response:
    """The status and the sentence for whatever went wrong; a traceback goes to the log alone."""
    status, sentence, headers = 500, "The service failed on this request; its log says why.", {}
    if isinstance(problem, Refusal):
        status, sentence, headers = problem.status, str(problem), problem.headers
        metrics.observe_rejection(problem.reason)
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
    response = json_response({"error": sentence}, status)
    response.headers.update(headers)
    return response


def _log(method: str, route: str, status: int, seconds: float) -> None:
    """One line without ids: a route's template, not its path."""
    shown = method if len(method) <= 10 else "OTHER"
    fields = {"method": shown, "route": route, "status": status, "ms": round(1000 * seconds, 2)}
    _ACCESS.info("answered", extra={"fields": fields})
