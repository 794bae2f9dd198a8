"""How many connections each worker of a server holds, told through a few bytes of memory that they share.

Nothing is accepted here. Who is gone, killed included, no longer counts.
"""

from __future__ import annotations

import fcntl
import math
import mmap
import os
import struct
from pathlib import Path

__all__ = ["ConnectionCounts"]

_PLACE = struct.Struct("qq")  # process id (0: nobody's place), connections
_PLACES = 256
_COUNT = struct.Struct("q")


class ConnectionCounts:
    """One place of a shared file, taken when it is opened. Used by one event loop."""

    def __init__(self, path: Path) -> None:
        with path.open("a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # workers start at the same moment
            os.ftruncate(file.fileno(), _PLACES * _PLACE.size)
            self._memory = mmap.mmap(file.fileno(), _PLACES * _PLACE.size)
            free = (place for place, (pid, _) in enumerate(self._places()) if not _lives(pid))
            self._place = next(free, _PLACES - 1)
            _PLACE.pack_into(self._memory, self._place * _PLACE.size, os.getpid(), 0)
            fcntl.flock(file, fcntl.LOCK_UN)  # closing would not: the memory keeps the file open

    def tell(self, count: int) -> None:
        """This worker holds so many now. Nothing is told once the place was given back."""
        if not self._memory.closed:
            _COUNT.pack_into(self._memory, self._place * _PLACE.size + _COUNT.size, count)

    def share(self, waiting: int, own: int) -> int:
        """How many of those that wait are this worker's to accept, so that all will hold as many; 0 and less: none."""
        places = enumerate(self._places())
        others = [count for place, (pid, count) in places if place != self._place and pid and _lives(pid)]
        return math.ceil((waiting + own + sum(others)) / (1 + len(others))) - own

    def close(self) -> None:
        """Give the place back."""
        _PLACE.pack_into(self._memory, self._place * _PLACE.size, 0, 0)
        self._memory.close()

    def _places(self) -> list[tuple[int, int]]:
        return [(pid, count) for pid, count in _PLACE.iter_unpack(self._memory[:])]


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return pid != 0
