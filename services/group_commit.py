"""One writing thread for each process: requests that wait at the same moment share one commit. No data are shaped here.

A synced commit costs about a millisecond whatever it holds, so what is waiting when the last commit
ends goes into the next one together.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path

from services.journal import Journal
from services.journal_keeper import JournalKeeper
from services.records import Entry, Receipt

__all__ = ["GroupCommit"]

_MOST = 256  # entries from which a commit takes no more: bounds how long another process waits for its turn

_Waiting = tuple[Entry, Future[Receipt]]


class GroupCommit:
    """`submit` returns at once; its future holds the receipt once the entry is committed (see `Journal.append`)."""

    def __init__(self, path: Path) -> None:
        self._journal = Journal(path, is_kept=True)
        self._keeper = JournalKeeper(path, self._journal)
        self._waiting: queue.SimpleQueue[list[_Waiting] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="journal-writer", daemon=True)
        self._thread.start()

    def submit(self, entry: Entry) -> Future[Receipt]:
        return self.submit_all([entry])[0]

    def submit_all(self, entries: Sequence[Entry]) -> list[Future[Receipt]]:
        """Hand over several at once: the thread is woken once, and they share a commit. Futures end in this order."""
        handed: list[_Waiting] = [(entry, Future()) for entry in entries]
        self._waiting.put(handed)
        return [future for _, future in handed]

    def close(self) -> None:
        """Commit what is waiting, then end the thread."""
        self._waiting.put(None)
        self._thread.join()
        self._keeper.close()
        self._journal.close()

    def _run(self) -> None:
        is_last = False
        while not is_last and (first := self._waiting.get()) is not None:
            group, is_last = self._group(first)
            self._commit(group)

    def _group(self, first: list[_Waiting]) -> tuple[list[_Waiting], bool]:
        """What waits now, and whether nothing may follow."""
        group = list(first)
        while len(group) < _MOST:
            try:
                following = self._waiting.get_nowait()
            except queue.Empty:
                return group, False
            if following is None:
                return group, True
            group.extend(following)
        return group, False

    def _commit(self, group: list[_Waiting]) -> None:
        # A caller that went away before its turn is dropped: it was never told that anything is stored.
        group = [(entry, future) for entry, future in group if future.set_running_or_notify_cancel()]
        with self._journal.turn():
            self._store(group)

    def _store(self, group: list[_Waiting]) -> None:
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
