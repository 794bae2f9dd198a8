"""What the machine refuses a command is a sentence, what is our own fault keeps its traceback."""

from __future__ import annotations

import errno
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from orchestration.outages import outage


def test_a_database_that_another_process_holds_is_told(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with closing(sqlite3.connect(path)) as holder, closing(sqlite3.connect(path, timeout=0)) as other:
        holder.execute("begin exclusive")
        with pytest.raises(sqlite3.OperationalError) as locked:
            other.execute("create table messages (id text)")
    told = str(outage(locked.value))
    assert "database is locked" in told
    assert "end what holds it" in told


@pytest.mark.parametrize(
    ("number", "remedy"),
    [(errno.ENOSPC, "free some space"), (errno.EROFS, "make the folder writable"), (errno.EACCES, "for this user")],
)
def test_a_disk_that_takes_nothing_is_told_with_the_file(number: int, remedy: str) -> None:
    told = str(outage(OSError(number, "No", "keys.json")))
    assert "keys.json" in told
    assert remedy in told


def test_a_fault_of_ours_is_not_excused() -> None:
    with closing(sqlite3.connect(":memory:")) as connection, pytest.raises(sqlite3.OperationalError) as wrong:
        connection.execute("select * from nowhere")
    assert outage(wrong.value) is None
    assert outage(BrokenPipeError(errno.EPIPE, "Broken pipe")) is None
    assert outage(KeyError("x")) is None
