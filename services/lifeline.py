"""A process that must not outlive the one that started it. Nothing else is watched here."""

from __future__ import annotations

import os
import signal
import threading
import time

__all__ = ["end_with_parent"]


def end_with_parent(poll_seconds: float = 1.0) -> None:
    """Ask this process to end (SIGTERM) soon after its parent is gone, `kill -9` of the parent included.

    Without it, workers of a killed supervisor would go on serving on an inherited socket, and the next
    start would find its port taken by nobody in particular.
    """
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(poll_seconds)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="lifeline", daemon=True).start()
