"""What a person already chose: the own history, weighted by strength and recency. No other user is looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recommender.retrieval.candidates import UserBatch

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

    def scores(self, batch: UserBatch) -> npt.NDArray[np.float32]:
        weights = batch.history("strengths") * np.exp2(-batch.history_age_days / self.config.half_life_days)
        panel = np.zeros((len(batch), len(batch.items)), dtype=np.float32)
        panel[batch.history_user, batch.history_item] = weights
        return panel

    def arrays(self) -> Mapping[str, npt.NDArray[np.generic]]:
        return {}
