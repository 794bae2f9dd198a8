"""Connections of a real server: a head must end, in time and in size; whole requests pass, however they are cut."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import uvicorn

from services import connections, listening
from services.bento_process import CONNECTIONS_VARIABLE, WORKERS_VARIABLE
from services.connections import GuardedProtocol
from services.listening import PromptServer

HEAD_SECONDS = 0.2
IDLE_SECONDS = 1.5
PATIENCE = 30.0  # seconds: what comes at all comes by then, on any machine

open_connections: list[int] = []  # at each answer
is_busy, may_go_on = threading.Event(), threading.Event()  # of the worker that answers `/slow`


async def tell_size(scope, receive, send) -> None:
    """Answers every request with the number of bytes in its body; `/slow` keeps the worker busy until it may go on."""
    if scope["type"] != "http":
        return
    open_connections.append(len(scope["state"]["server"].server_state.connections))
    if scope["path"] == "/slow":
        is_busy.set()
        may_go_on.wait(PATIENCE)
    size, more = 0, True
    while more:
        message = await receive()
        size, more = size + len(message.get("body", b"")), message.get("more_body", False)
    text = str(size).encode()
    headers = [(b"content-length", str(len(text)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": text})


@dataclass
class Line:
    """One connection to the server."""

    socket: socket.socket

    def ask(self, *pieces: bytes) -> bytes:
        """Send these pieces and wait for an answer; b"" where the connection ended instead."""
        try:
            for piece in pieces:
                self.socket.sendall(piece)
                time.sleep(0.002)
            return self.socket.recv(65_536)
        except (ConnectionResetError, BrokenPipeError):
            return b""

    def is_ended(self) -> bool:
        self.socket.settimeout(PATIENCE)
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False


class Open(PromptServer):
    """Lets the application see the server."""

    address: tuple[str, int] | None = None  # once it listens

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.lifespan.state["server"] = self
        self.address = sockets[0].getsockname()


@contextmanager
def running(listener: socket.socket, idle_seconds: float = IDLE_SECONDS) -> Iterator[Open]:
    """A server of one worker, in a thread."""
    config = uvicorn.Config(
        tell_size, http=GuardedProtocol, lifespan="off", log_config=None, timeout_keep_alive=idle_seconds
    )
    server = Open(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield server
    finally:
        server.should_exit = True
        may_go_on.set()
        thread.join(PATIENCE)


@pytest.fixture(autouse=True)
def _nobody_is_busy() -> None:
    is_busy.clear()
    may_go_on.clear()


def keep_busy(line: Line) -> None:
    """Returns once the worker at the other end answers nobody any more."""
    line.socket.sendall(post(0).replace(b"/", b"/slow", 1))
    assert is_busy.wait(PATIENCE)


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> Iterator[Line]:
    monkeypatch.setattr(connections, "HEAD_SECONDS", HEAD_SECONDS)
    open_connections.clear()
    listener = socket.create_server(("127.0.0.1", 0), backlog=100)
    with running(listener), socket.create_connection(listener.getsockname(), timeout=PATIENCE) as opened:
        yield Line(opened)


def post(size: int, *, announced: int | None = None) -> bytes:
    return b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % (announced or size) + b"b" * size


@pytest.mark.parametrize("size", [0, 1, 70_000, 1_000_000])
def test_a_body_of_any_size_passes_with_its_head_or_after_it(line: Line, size: int):
    """A body is not counted as head, also where both arrive in one piece of more than a head may have."""
    request = post(size)
    assert line.ask(request).endswith(b"\r\n\r\n%d" % size)
    head, _, body = request.partition(b"\r\n\r\n")
    assert line.ask(head + b"\r\n\r\n", body).endswith(b"\r\n\r\n%d" % size)


def test_one_connection_serves_many_requests(line: Line):
    """Waiting between them is uvicorn's matter: the time for a head begins with its first byte."""
    for size in (3, 2_000, 5):
        assert line.ask(*[post(size)[start : start + 1_000] for start in range(0, size + 60, 1_000)])
        time.sleep(1.5 * HEAD_SECONDS)
    assert line.ask(post(7) + post(8)).count(b"HTTP/1.1 200") >= 1


@pytest.mark.parametrize("begun", [b"", b"P", b"POST / HTTP/1.1\r\nhost: x\r\nx: ", b"\r\n"])
def test_a_head_that_does_not_end_ends_the_connection(line: Line, begun: bytes):
    line.socket.sendall(begun)
    assert line.is_ended()


def test_a_second_head_is_timed_as_well(line: Line):
    assert line.ask(post(3))
    line.socket.sendall(b"\r\n\r\nPOST / HT")
    assert line.is_ended()


def test_a_head_beyond_its_size_ends_the_connection(line: Line):
    endless = [b"POST / HTTP/1.1\r\nhost: x\r\nx: ", *[b"y" * 10_000] * 7]
    assert sum(map(len, endless)) > connections.MAX_HEAD_BYTES
    assert line.ask(*endless) == b""


def test_connections_beyond_the_bound_are_told_to_come_back(line: Line, monkeypatch: pytest.MonkeyPatch):
    """Whatever they have sent by then: a reset would take the answer along."""
    assert line.ask(post(1))
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 1)
    for sent in (b"", post(100_000)):
        with socket.create_connection(line.socket.getpeername(), timeout=PATIENCE) as second:
            second.sendall(sent)
            told = b"".join(iter(lambda: second.recv(1_000), b""))
            assert told.startswith(b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 1\r\n")
    assert line.ask(post(2)).endswith(b"2")


def test_all_who_came_while_a_worker_was_busy_are_let_in_before_the_first_of_them_is_answered(line: Line):
    """libuv accepts one connection in each turn of its loop, which behind slow answers kept people out for long."""
    keep_busy(line)
    others = [socket.create_connection(line.socket.getpeername(), timeout=PATIENCE) for _ in range(60)]
    for other in others:
        other.sendall(post(1))
    may_go_on.set()
    for other in others:
        assert other.recv(1_000).endswith(b"\r\n\r\n1")
        other.close()
    assert open_connections == [1, *[61] * 60]


@pytest.mark.slow
def test_a_request_that_came_in_time_is_answered_though_the_worker_was_too_busy_to_read_it(line: Line):
    """The time of an idle connection is over when the worker looks again, but bytes are waiting."""
    assert line.ask(post(1))
    with socket.create_connection(line.socket.getpeername(), timeout=PATIENCE) as busy:
        keep_busy(Line(busy))
        line.socket.sendall(post(2))
        time.sleep(1.1 * IDLE_SECONDS)
        may_go_on.set()
        assert line.socket.recv(65_536).endswith(b"\r\n\r\n2")
    assert line.is_ended()  # and idle ones are closed all the same


@pytest.fixture
def two_workers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[tuple[Open, Open]]:
    """They share a socket to listen on, and know of each other."""
    monkeypatch.setenv(CONNECTIONS_VARIABLE, str(tmp_path / "connections"))
    monkeypatch.setenv(WORKERS_VARIABLE, "2")
    listener = socket.create_server(("127.0.0.1", 0), backlog=100)
    with running(listener, PATIENCE) as first, running(listener.dup(), PATIENCE) as second:
        while not (first.address and second.address):
            time.sleep(0.01)
        yield first, second


def held(server: Open) -> int:
    return len(server.server_state.connections)


def asked_from(servers: tuple[Open, Open], count: int) -> list[socket.socket]:
    """So many connections, one after the other, each of which has been answered."""
    address = servers[0].address
    opened = [socket.create_connection(address, timeout=PATIENCE) for _ in range(count)]
    for one in opened:
        assert Line(one).ask(post(1)).endswith(b"\r\n\r\n1")
    return opened


def test_workers_hold_as_many_connections_each(two_workers, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(listening, "_LEFT_SECONDS", 60.0)  # whatever else the machine does
    opened = asked_from(two_workers, 20)
    assert max(map(held, two_workers)) - min(map(held, two_workers)) <= 2
    for one in opened:
        one.close()


def test_a_worker_that_is_busy_gets_its_share_and_one_that_is_stuck_keeps_nobody_out(two_workers):
    stuck = asked_from(two_workers, 1)[0]
    keep_busy(Line(stuck))
    opened = asked_from(two_workers, 6)  # all answered, though the first one still is not
    assert sorted(held(one) for one in two_workers) == [1, 6]
    for one in (stuck, *opened):
        one.close()
