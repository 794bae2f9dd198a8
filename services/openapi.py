"""The OpenAPI document: every route with its role, what it takes, and all that it may answer. Nothing is served here.

The routes and their roles come from the table itself; what is said of each stands below.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from recommender.decision.placements import Placement
from services.openapi_schemas import schemas
from services.routing import Route

__all__ = ["OPERATIONS", "Operation", "openapi_document"]

_HEADERS = {"x-request-id": {"schema": {"type": "string"}, "description": "The caller's, if it was sane; else ours."}}
_RETRY = {"retry-after": {"schema": {"type": "integer"}, "description": "Seconds."}}
_ERRORS = {
    400: "The request cannot be answered as it stands.",
    401: "No working key came with it.",
    403: "The key has another role.",
    404: "There is nothing of this name.",
    408: "The body did not arrive in time.",
    413: "The body, or the number of entries, is above the limit.",
    415: "The body is no JSON, or encoded otherwise than by gzip.",
    429: "Too much at once: of this key, or of everybody together.",
    431: "The headers are too many or too large.",
    503: "Not now: no champion, a journal that cannot be written, or no answer in time.",
}
_FROM_BROWSERS = " Libraries in web pages may send it as text/plain, with the key as `writeKey` in the body."


@dataclass(frozen=True)
class Operation:
    """What is said of a route: a sentence, the names of its schemas, and its errors beyond those of its kind."""

    summary: str
    takes: str | None = None
    gives: str | None = None  # the name of a schema; None: plain text
    errors: tuple[int, ...] = ()
    media: str = "application/json"
    query: Mapping[str, str] = field(default_factory=dict)  # optional parameters, as texts, and what each does
    headers: Mapping[str, str] = field(default_factory=dict)  # the same, of headers
    status: int = 200


def _messages(kind: str, told: str) -> tuple[tuple[str, str], Operation]:
    return ("POST", f"/v1/{kind}"), Operation(told, "Message", "Stored")


OPERATIONS: Mapping[tuple[str, str], Operation] = dict(
    [
        (
            ("POST", "/v1/recommend"),
            Operation("Decide what to show, or show more.", "RecommendRequest", "RecommendAnswer", (404,)),
        ),
        (
            ("POST", "/v1/decide"),
            Operation(
                "Let an agent decide in the moment what a person gets, or that it is nothing.",
                "DecideRequest",
                "DecideAnswer",
                (404,),
                headers={"Idempotency-Key": "Asking again by the same key gives the same decision."},
            ),
        ),
        (
            ("GET", "/v1/decisions/{decision_id}"),
            Operation(
                "The record of a decision, where each item went, and whether it can be made again.",
                gives="AnyDecision",
                errors=(404,),
                query={"item_id": "Explain this item, shown or not.", "explain": "`true`: with the model's reasons."},
            ),
        ),
        (
            ("DELETE", "/v1/users/{id}"),
            Operation(
                "Erase a person, by a user id or an anonymous id, with all ids that are known to be theirs.",
                gives="Erasure",
                status=202,
                errors=(400, 404),
            ),
        ),
        (
            ("GET", "/v1/erasures/{erasure_id}"),
            Operation("Whether an erasure is done everywhere.", gives="Erasure", errors=(404,)),
        ),
        (("POST", "/v1/items"), Operation("Add or change rows of the catalogue.", "Items", "ItemsStored")),
        (("POST", "/v1/batch"), Operation("Many messages; acknowledged means on disk.", "Batch", "BatchStored")),
        (("POST", "/v1/import"), Operation("As /v1/batch: some libraries ask here.", "Batch", "BatchStored")),
        _messages("track", "What somebody did."),
        _messages("identify", "Who somebody is."),
        _messages("page", "A page that somebody saw."),
        _messages("screen", "A screen that somebody saw."),
        _messages("group", "The group that somebody belongs to."),
        _messages("alias", "Two ids of one person."),
        (("GET", "/metrics"), Operation("Prometheus metrics.", media="text/plain; version=0.0.4; charset=utf-8")),
        (("GET", "/openapi.json"), Operation("This document.", gives="Anything")),
        (("GET", "/docs"), Operation("This document as a page.", media="text/html; charset=utf-8")),
        (("GET", "/livez"), Operation("Whether the worker lives.", media="text/plain; charset=utf-8")),
        (
            ("GET", "/readyz"),
            Operation("Whether a champion is loaded.", media="text/plain; charset=utf-8", errors=(503,)),
        ),
    ]
)


def openapi_document(routes: Sequence[Route], placements: Mapping[str, Placement]) -> dict[str, Any]:
    """The document of these routes (OpenAPI 3.1). Raises KeyError for a route that is described nowhere."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        told = OPERATIONS[(route.method, route.path)]
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, told)
    return {
        "openapi": "3.1.0",
        "info": {"title": "nextbest", "version": "1", "description": "Recommendations and decisions."},
        "paths": paths,
        "components": {
            "schemas": {**schemas(placements), "Anything": {"type": "object"}},
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer", "description": "From `nextbest keys create`."},
                "writeKey": {"type": "http", "scheme": "basic", "description": "Segment's way: the key as user name."},
            },
        },
    }


def _operation(route: Route, told: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {"summary": told.summary, "operationId": _name(route)}
    if route.roles is not None:
        role = " or ".join(dict.fromkeys((*route.roles, "admin")))
        opened = f" Open to everybody with `service.{route.opened_by}` in nextbest.yml." if route.opened_by else ""
        browsers = _FROM_BROWSERS if route.from_browsers else ""
        described["description"] = f"Needs a key with the role {role}, once a key exists.{opened}{browsers}"
        described["security"] = [{"key": []}, {"writeKey": []}, *([{}] if route.opened_by else [])]
    parameters = [_parameter(part) for part in route.path.split("/") if part.startswith("{")]
    parameters += [
        {"name": name, "in": place, "required": False, "description": does, "schema": {"type": "string"}}
        for place, named in (("query", told.query), ("header", told.headers))
        for name, does in named.items()
    ]
    if parameters:
        described["parameters"] = parameters
    if told.takes:
        content = {"application/json": {"schema": _reference(told.takes)}}
        described["requestBody"] = {"required": True, "content": content}
    done = "Done." if told.status == 200 else "On disk, and in effect; the rest follows."
    answers = {told.status: {"description": done, "headers": _HEADERS, "content": _content(told)}}
    answers |= {status: _error(status, route) for status in sorted(_errors(route, told))}
    return {**described, "responses": {str(status): answer for status, answer in answers.items()}}


def _errors(route: Route, told: Operation) -> set[int]:
    errors = {*told.errors, 431}
    if route.roles is not None:
        errors |= {401, 403, 429}
    if route.queue:
        errors |= {503}
    if route.has_body:
        errors |= {400, 408, 413, 415}
    return errors


def _error(status: int, route: Route) -> dict[str, Any]:
    content = {"application/json": {"schema": _reference("Error")}}
    if route.roles is None and status == 503:  # a probe says nothing more
        content = {"text/plain; charset=utf-8": {"schema": {"type": "string"}}}
    headers = {**_HEADERS, **(_RETRY if status == 429 else {})}
    return {"description": _ERRORS[status], "headers": headers, "content": content}


def _content(told: Operation) -> dict[str, Any]:
    return {told.media: {"schema": _reference(told.gives) if told.gives else {"type": "string"}}}


def _reference(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _parameter(part: str) -> dict[str, Any]:
    return {"name": part.strip("{}"), "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}


def _name(route: Route) -> str:
    words = [word.strip("{}") for word in route.path.split("/") if word and word != "v1"]
    return "_".join([route.method.lower(), *words]).replace(".", "_")
