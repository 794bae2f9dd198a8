"""Taking in connections: all that wait, at every turn of the event loop. What they then say is not read here.

libuv, on which uvicorn runs, accepts one connection a turn of its loop (since 1.45). A turn takes 0.1 ms on an idle
worker and 100 ms on one at its limit: a burst of 500 connections then kept everybody out for half a minute, told
events among them, while the service answered those inside within 0.3 s.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import struct

import uvicorn

from services.bento_process import WORKERS_VARIABLE

__all__ = ["PromptServer"]

_MOST_AT_ONCE = 1_024
_REST_SECONDS = 0.5  # where the process or the machine has no more files: connections wait in the kernel meanwhile
_SPENT = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_UNACKED = 24  # where Linux's struct tcp_info tells, of a socket that listens, how many wait (`tcpi_unacked`)


class PromptServer(uvicorn.Server):
    """Uvicorn's server with an accepting of its own."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._workers = int(os.environ.get(WORKERS_VARIABLE, "1"))
        self._coming: set[asyncio.Future[None]] = set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=[])
        for listener in sockets or ():
            listener.setblocking(False)
            self._listen(listener)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for listener in sockets or ():
            asyncio.get_running_loop().remove_reader(listener)
        await super().shutdown(sockets=sockets)

    def _listen(self, listener: socket.socket) -> None:
        if listener.fileno() >= 0:  # not closed in the meantime
            asyncio.get_running_loop().add_reader(listener, self._take_in, listener)

    def _take_in(self, listener: socket.socket) -> None:
        """A share of those that wait: what one worker leaves is for the others, or for its own next turn."""
        loop = asyncio.get_running_loop()
        for _ in range(max(1, _waiting(listener) // self._workers)):
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
            coming.add_done_callback(self._coming.discard)

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


def _waiting(listener: socket.socket) -> int:
    """How many connections wait to be accepted; where the system does not tell, a few."""
    try:
        told = listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _UNACKED + 4)
        return min(int(struct.unpack_from("I", told, _UNACKED)[0]), _MOST_AT_ONCE)
    except (AttributeError, OSError, struct.error):
        return 16
