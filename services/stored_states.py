"""Stored user states within a deadline: a store that is slow or down is left alone for a while. No decisions here."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from recommender.errors import FeatureStoreError
from services import metrics
from services.circuit_breaker import BreakerConfig, CircuitBreaker
from services.online_features import OnlineFeatures

__all__ = ["StoredStates", "StoredStatesConfig"]

_LOG = logging.getLogger("nextbest.stored_states")


@dataclass(frozen=True)
class StoredStatesConfig:
    """How patient a worker is with the online store.

    `read_seconds`: the deadline of a read (0.1 ms of work in a file, 0.2 in a Redis; a frozen Redis hung one for
    30 s). `breaker`: when it is left alone, and for how long.
    """

    read_seconds: float = 0.1
    breaker: BreakerConfig = field(default_factory=BreakerConfig)


class StoredStates:
    """One a worker; read by its event loop, connected by its watcher."""

    def __init__(self, features: OnlineFeatures, config: StoredStatesConfig) -> None:
        self._features, self._config = features, config
        self.breaker = CircuitBreaker(config.breaker)
        self._is_told = False

    def connect(self) -> None:
        """Open the store; FeatureStoreError where that fails."""
        self._features.connect()

    def close(self) -> None:
        self._features.close()

    async def read(self, user_id: str) -> tuple[Mapping[str, Any] | None, bool]:
        """The stored state, and whether we had to do without the store."""
        if not self.breaker.allows():
            return None, True
        try:
            async with asyncio.timeout(self._config.read_seconds):
                state = await self._features.read(user_id)
        except (FeatureStoreError, TimeoutError) as problem:
            self._tell(self.breaker.failed(), str(problem) or f"no answer within {self._config.read_seconds} s")
            return None, True
        except BaseException:  # the caller went away in the middle: nothing is known, but the trial is over
            self.breaker.failed()
            raise
        self.breaker.succeeded()
        if self._is_told:
            self._is_told = False
            _LOG.warning("the online store answers again")
        return state, False

    def _tell(self, pause: float, problem: str) -> None:
        """Once an outage: one that lasts for a night would fill the log."""
        if not pause or self._is_told:
            return
        self._is_told = True
        metrics.observe_circuit("store")
        _LOG.warning("the online store is left alone, and tried from time to time: %s", problem)
