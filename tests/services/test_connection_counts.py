"""Workers tell each other how many connections they hold: each takes its share, and the dead keep nobody waiting."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from services.connection_counts import ConnectionCounts

OPENED = """
import sys
from pathlib import Path
from services.connection_counts import ConnectionCounts
ConnectionCounts(Path(sys.argv[1])).tell(3)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "connections"


def test_a_worker_alone_takes_all(path: Path) -> None:
    assert ConnectionCounts(path).share(waiting=7, own=3) == 7


@pytest.mark.parametrize(
    ("own", "other", "waiting", "share"),
    [
        (0, 0, 1, 1),  # either may have it
        (1, 0, 1, 0),  # the other's
        (0, 1, 1, 1),
        (0, 0, 10, 5),
        (0, 10, 10, 10),  # (0 + 10 + 10) / 2: all of them until both hold ten
        (6, 2, 10, 3),  # (6 + 2 + 10) / 2 = 9
        (9, 2, 3, -2),
    ],
)
def test_a_share_is_what_makes_all_hold_as_many(path: Path, own: int, other: int, waiting: int, share: int) -> None:
    here, there = ConnectionCounts(path), ConnectionCounts(path)
    there.tell(other)
    assert here.share(waiting, own) == share


def test_who_closed_or_died_is_not_counted_and_leaves_a_place(path: Path) -> None:
    here, closed = ConnectionCounts(path), ConnectionCounts(path)
    closed.close()
    closed.tell(5)
    script = (
        f"from pathlib import Path; from services.connection_counts import *; ConnectionCounts(Path({str(path)!r}))"
    )
    subprocess.run([sys.executable, "-c", script], cwd=Path(__file__).parents[2], check=True)
    assert here.share(waiting=4, own=9) == 4
    after = ConnectionCounts(path)
    after.tell(1)
    assert here.share(waiting=4, own=1) == 2  # (1 + 1 + 4) / 2 = 3


def test_a_worker_that_starts_again_begins_with_none(path: Path) -> None:
    here, before = ConnectionCounts(path), ConnectionCounts(path)
    before.tell(8)
    before.close()
    ConnectionCounts(path)
    assert here.share(waiting=1, own=1) == 0  # the new one's
