"""Tends the journal's log from a thread of its own, so that no request waits for it. Nothing is stored here.

SQLite would do this within the commit that finds the log long: 10 to 20 ms every 250 decisions, and everybody who
waits for that commit with it, two in a hundred answers.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from pathlib import Path

from services.journal import Journal

__all__ = ["KEEP_SECONDS", "MOST_LOG_BYTES", "JournalKeeper"]

_LOG = logging.getLogger("nextbest.journal_keeper")

KEEP_SECONDS = 1.0  # the most that a loss of power can take of the decisions that were only written
LONG_LOG_BYTES = 4 << 20  # from here on it is moved beside the writers, as with SQLite's own limit of 1,000 pages
# In use in spite of that: the rest is moved in turn, which holds everybody up for two syncs. A pass beside 300
# decisions a second is up with them and leaves nothing; a turn each second all the same took 5 to 25 ms, and p99 of a
# commit was 1.8 to 8.7 ms instead of 0.5.
MOST_LOG_BYTES = 16 << 20


class JournalKeeper:
    """One for each process that writes; `writer` is whose unsynced transactions are looked after."""

    def __init__(self, path: Path, writer: Journal) -> None:
        self._writer = writer
        self._own = Journal(path, is_kept=True)
        self._closing = threading.Event()
        self._told = ""
        self._thread = threading.Thread(target=self._run, name="journal-keeper", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Look after it once more, then end the thread. To be called when the writer writes no more."""
        self._closing.set()
        self._thread.join()
        self.keep()
        self._own.close()

    def keep(self) -> None:
        """Sync what was only written, and empty a long log; a problem is told once and tried again."""
        try:
            if self._writer.has_unsynced:
                self._writer.has_unsynced = False  # before: what is written meanwhile is for the next time
                self._own.sync()
            if self._own.log_bytes() > LONG_LOG_BYTES:
                self._own.checkpoint(MOST_LOG_BYTES)
            self._told = ""
        except (OSError, sqlite3.Error) as problem:
            self._writer.has_unsynced = True
            if self._told != str(problem):
                self._told = str(problem)
                _LOG.exception("the journal's log cannot be tended")

    def _run(self) -> None:
        while not self._closing.wait(KEEP_SECONDS):
            self.keep()
