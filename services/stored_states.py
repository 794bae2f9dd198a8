"""Stored user states within a deadline: a store that is slow or down is left alone for a while. No decisions here."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from recommender.errors import FeatureStoreError
from services.online_features import OnlineFeatures

__all__ = ["StoredStates", "StoredStatesConfig"]

_LOG = logging.getLogger("nextbest.stored_states")


@dataclass(frozen=True)
class StoredStatesConfig:
    """How patient a worker is with the online store.

    `read_seconds`: the deadline of a read (0.3 ms of work; a frozen Redis hung one for 30 s; with 50 ms,
    four busy cores at a load of 14 missed one read in seven). `pause_seconds`: how long the store is left
    alone after the first failed read; each further failure doubles it, up to `longest_pause_seconds`.
    """

    read_seconds: float = 0.25
    pause_seconds: float = 0.5
    longest_pause_seconds: float = 4.0


class StoredStates:
    """Reads run in threads of their own: Feast's block."""

    def __init__(self, features: OnlineFeatures, config: StoredStatesConfig) -> None:
        self._features, self._config = features, config
        self._reads = ThreadPoolExecutor(2, "online-features")
        self._paused_until = self._pause = 0.0

    def connect(self) -> None:
        """Open the store; FeatureStoreError where that fails."""
        self._features.connect()

    def close(self) -> None:
        self._reads.shutdown(wait=False, cancel_futures=True)

    async def read(self, user_id: str) -> tuple[Mapping[str, Any] | None, bool]:
        """The stored state, and whether we had to do without the store."""
        if time.monotonic() < self._paused_until:
            return None, True
        loop = asyncio.get_running_loop()
        try:
            read = loop.run_in_executor(self._reads, self._features.user_state, user_id)
            state = await asyncio.wait_for(read, self._config.read_seconds)
        except (FeatureStoreError, TimeoutError) as problem:
            self._leave_alone(str(problem) or f"no answer within {self._config.read_seconds} s")
            return None, True
        self._pause = 0.0
        return state, False

    def _leave_alone(self, told: str) -> None:
        """Spare the store, and the callers its deadline, for a while."""
        if time.monotonic() < self._paused_until:
            return  # another request has just found out
        doubled = max(2 * self._pause, self._config.pause_seconds)
        self._pause = min(doubled, self._config.longest_pause_seconds)
        self._paused_until = time.monotonic() + self._pause
        _LOG.warning("the online store is left alone for %s s: %s", self._pause, told)
