"""Connections before a request and between two: how long a head and an idle caller may take. No request is read here.

Uvicorn bounds no head: a caller who sends one byte a minute, or a header without an end, would keep a connection and
its memory for ever. And it closes idle connections after 5 s, which many clients keep longer: what they send at that
moment is lost to them, although nothing ails the service.
"""

from __future__ import annotations

import asyncio
import resource
import select
from typing import Any

import uvicorn
import uvicorn.config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from services.listening import PromptServer

__all__ = [
    "HEAD_SECONDS",
    "MAX_CONNECTIONS",
    "MAX_HEAD_BYTES",
    "GuardedProtocol",
    "guard_connections",
]

HEAD_SECONDS = 10.0
MAX_HEAD_BYTES = 65_536  # four times what the front lets through, so that most get its sentence
MAX_CONNECTIONS = 4_096  # of one worker: 16 kB each
_CROWDED_IDLE_SECONDS = 5  # where more than half of all possible connections are open
_TURNED_AWAY_SECONDS = 1.0
_OTHER_FILES = 256  # that a worker may have open beside its connections
_FULL = b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class GuardedProtocol(HttpToolsProtocol):
    """Uvicorn's protocol with a timer for as long as a head is awaited, and a count of its bytes."""

    _timer: asyncio.TimerHandle | None = None
    _head_bytes = 0
    _is_head = True
    _heads = 0
    _is_turned_away = False

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS:
            self._turn_away()
        else:
            self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._is_turned_away:
            return
        was_head, heads = self._is_head, self._heads
        if was_head and self._timer is None:
            self._await_head()
        super().data_received(data)
        if was_head and heads == self._heads:  # all of these bytes belong to a head that goes on
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._end()

    def on_headers_complete(self) -> None:
        self._is_head, self._head_bytes = False, 0
        self._heads += 1
        self._stop_waiting()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._is_head = True

    def on_response_complete(self) -> None:
        if len(self.connections) > MAX_CONNECTIONS // 2:
            self.timeout_keep_alive = min(self.timeout_keep_alive, _CROWDED_IDLE_SECONDS)
        super().on_response_complete()

    def timeout_keep_alive_handler(self) -> None:
        """Close the idle connection, unless a request waits to be read: on a busy worker timers come before reading."""
        if not self._has_unread():
            super().timeout_keep_alive_handler()

    def _has_unread(self) -> bool:
        if self.transport.is_closing():
            return False
        waiting = select.poll()  # unlike `select`, it takes any file number
        waiting.register(self.transport.get_extra_info("socket").fileno(), select.POLLIN)
        return bool(waiting.poll(0))

    def _turn_away(self) -> None:
        """Answer before anything is read, then wait for the caller to go: closed at once on what it has sent, the
        connection would be reset, and the answer with it."""
        self._is_turned_away = True
        self.transport.write(_FULL)
        self.transport.write_eof()
        self._timer = self.loop.call_later(_TURNED_AWAY_SECONDS, self._end)

    def _await_head(self) -> None:
        self._timer = self.loop.call_later(HEAD_SECONDS, self._end)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end(self) -> None:
        if not self.transport.is_closing():
            self.transport.abort()


def guard_connections() -> None:
    """Have uvicorn listen and speak through ours: BentoML, which starts it, leaves both to its defaults."""
    allowed, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_CONNECTIONS + _OTHER_FILES
    if allowed < wanted:  # often 1,024, where the machine would allow a million
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, most), most))
    uvicorn.Server = PromptServer  # type: ignore[misc]
    uvicorn.config.HTTP_PROTOCOLS["auto"] = "services.connections:GuardedProtocol"
