"""The challenger's answers that nobody sees: made aside, bounded, compared with what was shown. Nothing is recorded."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from recommender.decision.record import Decision
from services import metrics

__all__ = ["Shadow"]

PENDING = 4  # requests that wait for their shadow; above that they go without one


class Shadow:
    """One thread a worker: it takes what is left of the processor, never a request's turn in the queue."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "shadow")
        self._lock = threading.Lock()
        self._pending = self._made = self._dropped = 0
        self._overlap = 0.0

    def offer(self, shown: Decision, make: Callable[[], Decision | None]) -> None:
        """Have `make` decide the same request aside and compare; dropped where too many wait."""
        with self._lock:
            if self._pending >= PENDING:
                self._dropped += 1
                metrics.observe_shadow("dropped")
                return
            self._pending += 1
        self._thread.submit(self._compare, shown, make)

    def drain(self) -> None:
        """Return once everything that waits is compared."""
        self._thread.submit(lambda: None).result()

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    def facts(self) -> dict[str, Any]:
        """How many were made and dropped, and which share of the shown items the challenger would have shown too."""
        share = round(self._overlap / self._made, 4) if self._made else None
        return {"made": self._made, "dropped": self._dropped, "same_items": share}

    def _compare(self, shown: Decision, make: Callable[[], Decision | None]) -> None:
        made: Decision | None = None
        try:
            made = make()
        finally:
            with self._lock:
                self._pending -= 1
                if made is not None:
                    self._made += 1
                    self._overlap += len(set(shown.slate_item_ids) & set(made.slate_item_ids)) / max(
                        len(shown.slate_item_ids), 1
                    )
            metrics.observe_shadow("failed" if made is None else "made")
