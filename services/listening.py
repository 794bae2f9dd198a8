"""Taking in connections: all that wait, at every turn of the event loop, each worker its share.

What they then say is not read here. libuv, on which uvicorn runs, accepts one connection a turn of its loop (since
1.45). A turn takes 0.1 ms on an idle worker and 100 ms on one at its limit: a burst of 500 connections then kept
everybody out for half a minute, told events among them, while the service answered those inside within 0.3 s.

Connections are kept, so how they fell to the workers is how requests do, for as long as callers keep them: of two
workers one often had 60 in a hundred, and queues are long where it is crowded.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvicorn

from services.bento_process import CONNECTIONS_VARIABLE, WORKERS_VARIABLE
from services.connection_counts import ConnectionCounts

__all__ = ["PromptServer"]

_MOST_AT_ONCE = 1_024
_LEFT_SECONDS = 0.02  # to a worker that has fewer, then it is taken all the same: that one may be stuck
_LOOK_SECONDS = 0.002  # between two looks at what was left
_REST_SECONDS = 0.5  # where the process or the machine has no more files: connections wait in the kernel meanwhile
_SPENT = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_UNACKED = 24  # where Linux's struct tcp_info tells, of a socket that listens, how many wait (`tcpi_unacked`)


class PromptServer(uvicorn.Server):
    """Uvicorn's server with an accepting of its own."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._workers = int(os.environ.get(WORKERS_VARIABLE, "1"))
        self._counts: ConnectionCounts | None = None
        self._coming: set[asyncio.Future[None]] = set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=[])
        if path := os.environ.get(CONNECTIONS_VARIABLE):
            self._counts = ConnectionCounts(Path(path))
            self.server_state.connections = _Counted(self._tell)
        for listener in sockets or ():
            listener.setblocking(False)
            self._listen(listener)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for listener in sockets or ():
            asyncio.get_running_loop().remove_reader(listener)
        if self._counts is not None:  # it takes in no more, so the others need not leave anything to it
            self._counts.close()
        await super().shutdown(sockets=sockets)

    def _listen(self, listener: socket.socket) -> None:
        if listener.fileno() >= 0:  # not closed in the meantime
            asyncio.get_running_loop().add_reader(listener, self._look, listener)

    def _look(self, listener: socket.socket, left_since: float = 0.0) -> None:
        """Take in this worker's share of those that wait; what is beyond it is left to the others for a moment."""
        if listener.fileno() < 0:
            return
        loop = asyncio.get_running_loop()
        waiting, now = _waiting(listener), loop.time()
        share = self._share(waiting)
        if share < 1 and waiting and now - (left_since or now) < _LEFT_SECONDS:
            loop.remove_reader(listener)  # it would tell of them without end
            loop.call_later(_LOOK_SECONDS, self._look, listener, left_since or now)
            return
        if left_since:
            self._listen(listener)
        if waiting:
            self._take_in(listener, max(share, 1))

    def _share(self, waiting: int) -> int:
        if self._counts is None:
            return waiting // self._workers
        return min(waiting, self._counts.share(waiting, self._held()))

    def _take_in(self, listener: socket.socket, most: int) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(most):
            try:
                connection, _ = listener.accept()
            except (BlockingIOError, InterruptedError):
                return  # another worker was quicker
            except OSError as problem:
                if problem.errno in _SPENT:  # asked at once again, it would turn without end
                    loop.remove_reader(listener)
                    loop.call_later(_REST_SECONDS, self._listen, listener)
                    return
                continue  # this one went away before its turn
            connection.setblocking(False)
            coming = asyncio.ensure_future(self._connected(connection))
            self._coming.add(coming)
            coming.add_done_callback(self._came)
            self._tell()

    def _came(self, coming: asyncio.Future[None]) -> None:
        self._coming.discard(coming)
        self._tell()

    def _tell(self) -> None:
        if self._counts is not None:
            self._counts.tell(self._held())

    def _held(self) -> int:
        return len(self.server_state.connections) + len(self._coming)

    async def _connected(self, connection: socket.socket) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(self._protocol, connection, ssl=self.config.ssl)
        except OSError:  # it went away, or never finished its handshake
            connection.close()

    def _protocol(self) -> asyncio.Protocol:
        found: asyncio.Protocol = self.config.http_protocol_class(  # type: ignore[call-arg, assignment]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return found


class _Counted(set[Any]):
    """Uvicorn's set of open connections, which tells when one comes or goes."""

    def __init__(self, changed: Callable[[], None]) -> None:
        super().__init__()
        self._changed = changed

    def add(self, connection: Any) -> None:
        super().add(connection)
        self._changed()

    def discard(self, connection: Any) -> None:
        super().discard(connection)
        self._changed()


def _waiting(listener: socket.socket) -> int:
    """How many connections wait to be accepted; where the system does not tell, a few."""
    try:
        told = listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _UNACKED + 4)
        return min(int(struct.unpack_from("I", told, _UNACKED)[0]), _MOST_AT_ONCE)
    except (AttributeError, OSError, struct.error):
        return 16
