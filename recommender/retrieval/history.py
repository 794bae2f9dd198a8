"""What a person already chose: the own history, weighted by strength and recency. No other user is looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recommender.retrieval.candidates import UserBatch
from recommender.retrieval.panels import Panel, panel_of

__all__ = ["HistoryConfig", "HistoryGenerator"]


@dataclass(frozen=True)
class HistoryConfig:
    """`half_life_days`: after so many days an item's strength counts half."""

    half_life_days: float = 60.0


@dataclass(frozen=True)
class HistoryGenerator:
    """Score of an item: Σ strength × 2^(−age / half-life), age since the user's last event with it."""

    config: HistoryConfig = HistoryConfig()
    name: str = "history"

    def scores(self, batch: UserBatch) -> Panel:
        decay = np.exp2(-batch.history_age_days / self.config.half_life_days)
        return panel_of(batch.matrix(decay * batch.history("strengths")))

    def arrays(self) -> Mapping[str, npt.NDArray[np.generic]]:
        return {}
