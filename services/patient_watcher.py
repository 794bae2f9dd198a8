"""circus's keeper of the workers, made patient: a new one is started when `services.respawning` says so.

circus, which BentoML's supervisor is, starts a new process whenever one is gone: a bundle that crashes while it loads
would keep all processors busy with imports for ever, and nobody would be told.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from circus.watcher import Watcher  # type: ignore[import-untyped]
from tornado import gen

from services.respawning import Respawning

__all__ = ["PatientWatcher"]


class PatientWatcher(Watcher):  # type: ignore[misc]
    """`respawning` is set before BentoML makes one of it."""

    respawning: Respawning

    def reap_process(self, pid: int, status: int | None = None) -> None:
        process = self.processes.get(pid)
        super().reap_process(pid, status)
        if process is not None and not (process.stopping or self.is_stopping() or self.is_stopped()):
            self.respawning.ended(process.age(), 0 if status is None else os.waitstatus_to_exitcode(status))

    @gen.coroutine  # type: ignore[untyped-decorator]
    def manage_processes(self) -> Iterator[Any]:
        yield super().manage_processes()
        if len(self.processes) == self.numprocesses:
            self.respawning.lived(min(process.age() for process in self.processes.values()))

    @gen.coroutine  # type: ignore[untyped-decorator]
    def spawn_processes(self) -> Iterator[Any]:
        if not self.respawning.rests:
            yield super().spawn_processes()

    def __len__(self) -> int:
        """circus ends when nothing is left; while the next worker waits for its start, that is not so."""
        return max(len(self.processes), int(self.respawning.rests))
