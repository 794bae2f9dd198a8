"""Who calls: by a key in a header, or, as browsers' libraries for events do it, inside of the body. Nothing is counted.

A body is read for nobody in particular only on routes that are meant for browsers, up to a size, and at a rate that
all such callers share. What a page may send without asking first (text/plain) is taken of the operator's pages alone.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from recommender.door_settings import DoorSettings
from services.keys import PREFIX_LENGTH, Keyring, presented_key
from services.lenient_json import loads_leniently
from services.routing import Route
from services.wire import Refusal, content_type, read_json

__all__ = [
    "MAX_KEYLESS_BYTES",
    "UNTOLD",
    "body_types",
    "caller_in_body",
    "caller_of",
    "is_page_allowed",
    "preflight",
    "with_origin",
]

UNTOLD = "?"  # all whose key stands in a body that was not read yet
MAX_KEYLESS_BYTES = 1 << 19  # Segment's own bound of a batch is 500 kB; a browser's beacon holds 64
_JSON, _PLAIN = "application/json", "text/plain"
_NOBODY = "Found no working key. Expected `Authorization: Bearer KEY` from `nextbest keys create`."


def caller_of(request: Request, keyring: Keyring, route: Route, settings: DoorSettings) -> str:
    """The one whose requests are counted: a key that may call this route (by its prefix), all without one where none is
    needed as "", or UNTOLD where the body may name it. Raises Refusal (401, 403)."""
    key = presented_key(request.headers.get("authorization", ""))
    is_open = keyring.is_open or (route.opened_by is not None and getattr(settings, route.opened_by))
    if key is None and not is_open and route.from_browsers and content_type(request) in (_JSON, _PLAIN):
        return UNTOLD
    return _named(key, keyring, route, is_open)


async def caller_in_body(request: Request, keyring: Keyring, route: Route) -> str:
    """The same of a received body. Raises Refusal (400, 401, 403)."""
    key = (await read_json(request, loads_leniently)).get("writeKey")
    return _named(key if isinstance(key, str) else None, keyring, route, is_open=False)


def _named(key: str | None, keyring: Keyring, route: Route, is_open: bool) -> str:
    role = keyring.role_of(key) if key else None
    if key is not None and role is not None and role in (*(route.roles or ()), "admin"):
        return key[:PREFIX_LENGTH]
    if is_open:
        return ""
    if role is None:
        raise Refusal(401, _NOBODY, reason="key")
    expected = " or ".join(dict.fromkeys((*(route.roles or ()), "admin")))
    raise Refusal(403, f"Found a key with the role {role}. Expected {expected}.", reason="key")


def body_types(request: Request, route: Route, settings: DoorSettings) -> tuple[str, ...]:
    """What a body may be. Raises Refusal (403) for text/plain of a page that the operator does not name: browsers send
    that from any page, to a service on the visitor's own machine too."""
    if not route.from_browsers:
        return (_JSON,)
    if content_type(request) == _PLAIN and "origin" in request.headers and not is_page_allowed(request, settings):
        raise Refusal(403, "Found a page of another origin. Expected one of `service.browser_origins`.", reason="key")
    return (_JSON, _PLAIN)


def is_page_allowed(request: Request, settings: DoorSettings) -> bool:
    """Whether the request is said to come from a page that the operator names."""
    return request.headers.get("origin", "") in settings.browser_origins


def preflight() -> Response:
    """What a browser wants to hear before it sends JSON or a key from a page of another origin."""
    allowed = {"access-control-allow-methods": "POST", "access-control-allow-headers": _HEADERS}
    return Response(status_code=204, headers={**allowed, "access-control-max-age": "600"})


def with_origin(response: Response, request: Request, settings: DoorSettings) -> None:
    """Let the page read the answer, if it is the operator's."""
    if settings.browser_origins:
        response.headers["vary"] = "origin"
        if is_page_allowed(request, settings):
            response.headers["access-control-allow-origin"] = request.headers["origin"]


_HEADERS = "authorization, content-type, anonymousid"  # the last is RudderStack's
