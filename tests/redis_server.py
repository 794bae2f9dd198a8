"""A real Redis of a test's own, on loopback, with a password: started, killed, frozen. No state is written here."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import pytest

__all__ = ["PASSWORD", "RedisServer", "redis_server"]

PASSWORD = 's,e=c$r"e}t'  # what an address, Feast's own text and YAML would each trip over


@dataclass
class RedisServer:
    """`address` is what an operator writes; everything is kept in memory and written to `folder` when it ends."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = field(default=None)

    @property
    def address(self) -> str:
        return f"redis://:{quote(PASSWORD, safe='')}@127.0.0.1:{self.port}/3"

    def start(self) -> None:
        """Returns once it answers."""
        command = ["redis-server", "-", "--dir", str(self.folder), "--port", str(self.port), "--bind", "127.0.0.1"]
        self.process = subprocess.Popen(
            [*command, "--appendonly", "yes", "--appendfsync", "always"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
        )
        assert self.process.stdin is not None
        self.process.stdin.write(b'requirepass "' + PASSWORD.replace('"', '\\"').encode() + b'"\n')
        self.process.stdin.close()
        deadline = time.monotonic() + 30
        while not self._listens():
            assert time.monotonic() < deadline, "redis-server does not listen"
            time.sleep(0.02)

    def kill(self) -> None:
        """kill -9, and nothing else comes up in its place."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def freeze(self) -> None:
        """Its connections stay open, new ones are taken by the kernel, and nothing is ever answered."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def forget(self) -> None:
        """What a restart without persistence comes to."""
        from redis import Redis

        with Redis(host="127.0.0.1", port=self.port, password=PASSWORD) as client:
            client.flushall()

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


def redis_server(folder: Path) -> Iterator[RedisServer]:
    """For a fixture: a server that runs until the test ends. Skips where there is no `redis-server`."""
    if shutil.which("redis-server") is None:
        pytest.skip("no redis-server on this machine: the online store is not proven on Redis here (.ci/run has one)")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    server = RedisServer(folder, port)
    server.start()
    try:
        yield server
    finally:
        server.kill()
