"""What a line of the route table says. The table itself is in `services.app`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from services.door import Door
from services.wire import MAX_BODY_BYTES

__all__ = ["Endpoint", "Route"]

Endpoint = Callable[[Request, Door], Awaitable[Response]]


@dataclass(frozen=True)
class Route:
    """One line of the table.

    `roles` may call it, and admin (None: everybody, such as a probe); `opened_by` names the setting that lets
    everybody in. Reads and writes queue apart, so that a flood of questions does not keep events out; `queue` None
    is always answered. Of POST and PUT the body is received before the endpoint is called, at most `most_bytes` of it.
    `from_browsers`: a library in a web page may send it too, as text/plain, and with its key in the body. `also`: other
    names of the address.
    """

    method: str
    path: str
    roles: tuple[str, ...] | None
    endpoint: Endpoint
    queue: str | None = None
    opened_by: str | None = None
    most_bytes: int = MAX_BODY_BYTES
    from_browsers: bool = False
    also: tuple[str, ...] = ()

    @property
    def has_body(self) -> bool:
        return self.method in ("POST", "PUT")
