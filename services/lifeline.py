"""A process that must not outlive the one that started it. Nothing else is watched here."""

from __future__ import annotations

import os
import signal
import threading
import time

__all__ = ["end_with_parent"]


def end_with_parent(parent: int, poll_seconds: float = 1.0, patience_seconds: float = 10.0) -> None:
    """Ask this process to end (SIGTERM) once `parent` is no longer its parent, `kill -9` included; then make it.

    Without it, workers of a killed supervisor would go on serving on an inherited socket, and the next
    start would find its port taken by nobody in particular. The pid is handed down, not asked for here:
    the parent may be gone before this process has finished importing.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(poll_seconds)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(patience_seconds)
        os._exit(1)

    threading.Thread(target=watch, name="lifeline", daemon=True).start()
