"""Whose turn it is to send: a run of a whole audience alone, decisions of single people beside each other.

Two lock files in the agents' folder, so that a process that dies gives its turn back. Who wants to be alone closes the
gate first: decisions that overlap without end would keep it waiting for ever.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["Turns", "alone"]

GATE, TURN = ".gate", ".turn"


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Wait until nobody else decides, and keep everybody out. Each such turn counts one, before anything is written."""
    folder.mkdir(parents=True, exist_ok=True)
    gate, turn = (os.open(folder / name, os.O_RDWR | os.O_CREAT, 0o644) for name in (GATE, TURN))
    try:
        fcntl.flock(gate, fcntl.LOCK_EX)
        fcntl.flock(turn, fcntl.LOCK_EX)
        os.pwrite(turn, b"%020d" % (_count(turn) + 1), 0)
        yield
    finally:
        os.close(turn)
        os.close(gate)


class Turns:
    """Turns taken beside others; of one thread. Each holder gives back what it took."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._gate, self._turn = (os.open(folder / name, os.O_RDWR | os.O_CREAT, 0o644) for name in (GATE, TURN))
        self._holders = 0

    def take(self) -> int | None:
        """How many turns alone there were so far; None while somebody is alone or waits to be."""
        if not _shares(self._gate):
            return None
        try:
            if not self._holders and not _shares(self._turn):
                return None
            self._holders += 1
            return _count(self._turn)
        finally:
            fcntl.flock(self._gate, fcntl.LOCK_UN)

    def give_back(self) -> None:
        self._holders -= 1
        if not self._holders:
            fcntl.flock(self._turn, fcntl.LOCK_UN)

    def close(self) -> None:
        os.close(self._turn)
        os.close(self._gate)


def _shares(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _count(turn: int) -> int:
    return int(os.pread(turn, 20, 0) or 0)
