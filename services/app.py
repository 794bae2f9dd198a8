"""The HTTP routes: JSON in, JSON out, who may call what, one log line each. Decisions happen behind the door."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Awaitable, Callable

import numpy as np
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Match, Route

from recommender.errors import InputError, NotReadyError
from services import metrics
from services.door import Door
from services.keys import presented_key
from services.segment import parse_messages
from services.wire import Refusal, json_response, read_json

__all__ = ["MAX_BATCH", "build_app"]

MAX_BATCH = 1_000  # messages in one batch

_ACCESS = logging.getLogger("nextbest.access")
_LOG = logging.getLogger("nextbest.app")

Endpoint = Callable[[Request, Door], Awaitable[Response]]


def build_app(door: Callable[[], Door]) -> Starlette:
    """The application; `door` gives the worker's door, which is opened after the routes exist."""
    routes = [
        _route(door, "/v1/recommend", "POST", ("read",), _recommend),
        _route(door, "/v1/decisions/{decision_id}", "GET", ("read",), _decision),
        _route(door, "/v1/batch", "POST", ("write",), _batch),
        *(_route(door, f"/v1/{kind}", "POST", ("write",), _single(kind)) for kind in ("track", "identify", "page")),
        _route(door, "/metrics", "GET", None, _metrics),
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


async def _recommend(request: Request, door: Door) -> Response:
    decision = await door.recommend(await read_json(request))
    metrics.observe_tier(decision.tier, decision.is_degraded)
    return json_response(decision.answer())


async def _decision(request: Request, door: Door) -> Response:
    row = door.reader.decision(request.path_params["decision_id"])
    if row is None:
        raise Refusal(404, "No decision has this id.")
    features = np.frombuffer(row["slate_features"], dtype="<f4")
    items = max(len(row["slate_item_ids"]), 1)
    return json_response({**row, "slate_features": features.reshape(items, -1).tolist()})


def _single(kind: str) -> Endpoint:
    async def tell(request: Request, door: Door) -> Response:
        body = await read_json(request)
        body.pop("writeKey", None)  # a secret of the sender, of no use in the journal
        receipt = await door.record(parse_messages([{**body, "type": kind}], None, door.clock))
        if receipt.rejected:
            raise Refusal(400, f"The message was set aside as a dead letter: {receipt.rejected[0]}.")
        return json_response({"success": True, "stored": receipt.stored, "duplicates": receipt.duplicates})

    return tell


async def _batch(request: Request, door: Door) -> Response:
    body = await read_json(request)
    messages = body.get("batch")
    if not isinstance(messages, list):
        raise Refusal(400, 'Found no list of messages. Expected {"batch": [...]}.')
    if len(messages) > MAX_BATCH:
        raise Refusal(413, f"Found {len(messages):,} messages. Expected at most {MAX_BATCH:,} in a batch.")
    receipt = await door.record(parse_messages(messages, body.get("sentAt"), door.clock))
    told = {"stored": receipt.stored, "duplicates": receipt.duplicates, "rejected": list(receipt.rejected)}
    return json_response({"success": True, **told})


async def _metrics(request: Request, door: Door) -> Response:
    text = metrics.render(door.reader.counts(), door.champion.version)
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")


def _log(method: str, route: str, status: int, seconds: float) -> None:
    """One line without ids: a route's template, not its path."""
    fields = {"method": method, "route": route, "status": status, "ms": round(1000 * seconds, 2)}
    _ACCESS.info("answered", extra={"fields": fields})
