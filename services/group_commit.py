"""One writing thread for each process: requests that wait at the same moment share one commit. No data are shaped here.

A synced commit costs about a millisecond whatever it holds, so what is waiting when the last commit
ends goes into the next one together.
"""

from __future__ import annotations

import queue
import threading
from concurrent.futures import Future
from pathlib import Path

from services.journal import Journal
from services.records import Entry, Receipt

__all__ = ["GroupCommit"]

_MOST = 256  # entries in one commit: bounds how long another process waits for its turn


class GroupCommit:
    """`submit` returns at once; its future holds the receipt once the entry is committed and synced."""

    def __init__(self, path: Path) -> None:
        self._journal = Journal(path)
        self._waiting: queue.SimpleQueue[tuple[Entry, Future[Receipt]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="journal-writer", daemon=True)
        self._thread.start()

    def submit(self, entry: Entry) -> Future[Receipt]:
        future: Future[Receipt] = Future()
        self._waiting.put((entry, future))
        return future

    def close(self) -> None:
        """Commit what is waiting, then end the thread."""
        self._waiting.put(None)
        self._thread.join()
        self._journal.close()

    def _run(self) -> None:
        while (first := self._waiting.get()) is not None:
            group = [first]
            last = False
            while len(group) < _MOST and not last:
                try:
                    following = self._waiting.get_nowait()
                except queue.Empty:
                    break
                if following is None:
                    last = True
                else:
                    group.append(following)
            self._commit(group)
            if last:
                return

    def _commit(self, group: list[tuple[Entry, Future[Receipt]]]) -> None:
        # A caller that went away before its turn is dropped: it was never told that anything is stored.
        group = [(entry, future) for entry, future in group if future.set_running_or_notify_cancel()]
        with self._journal.turn():
            self._store(group)

    def _store(self, group: list[tuple[Entry, Future[Receipt]]]) -> None:
        try:
            receipts = self._journal.append([entry for entry, _ in group])
        except Exception as error:
            if len(group) == 1:
                group[0][1].set_exception(error)
                return
            for single in group:  # one entry that cannot be stored must not take its neighbours along
                self._store([single])
            return
        for (_, future), receipt in zip(group, receipts, strict=True):
            future.set_result(receipt)
