"""Connections before a request exists: a head must end, in time and within its size. Uvicorn bounds neither.

Without it a caller who sends one byte a minute, or a header without an end, keeps a connection and its memory for
ever. Uvicorn's own idle timeout begins only after an answer. No request is read here.
"""

from __future__ import annotations

import asyncio
import resource
from typing import Any

import uvicorn.config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

__all__ = ["HEAD_SECONDS", "MAX_CONNECTIONS", "MAX_HEAD_BYTES", "GuardedProtocol", "guard_connections"]

HEAD_SECONDS = 10.0
MAX_HEAD_BYTES = 65_536  # four times what the front lets through, so that most get its sentence
MAX_CONNECTIONS = 4_096  # of one worker: 16 kB each
_OTHER_FILES = 256  # that a worker may have open beside its connections
_FULL = b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class GuardedProtocol(HttpToolsProtocol):
    """Uvicorn's protocol with a timer for as long as a head is awaited, and a count of its bytes."""

    _timer: asyncio.TimerHandle | None = None
    _head_bytes = 0
    _is_head = True
    _heads = 0

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS:
            transport.write(_FULL)
            transport.close()
            return
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
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
    """Have uvicorn speak through it: BentoML, which starts uvicorn, leaves the choice of a protocol to its default."""
    allowed, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_CONNECTIONS + _OTHER_FILES
    if allowed < wanted:  # often 1,024, where the machine would allow a million
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, most), most))
    uvicorn.config.HTTP_PROTOCOLS["auto"] = "services.connections:GuardedProtocol"
