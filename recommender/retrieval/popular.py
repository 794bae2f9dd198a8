"""What everybody likes: decayed popularity, and what rises. The same scores for every user; no person is looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recommender.retrieval.candidates import UserBatch
from recommender.retrieval.panels import Panel, SharedPanel
from recommender.states import ItemTable

__all__ = ["PopularConfig", "PopularGenerator", "fit_popular", "fit_trending"]


@dataclass(frozen=True)
class PopularConfig:
    """Nothing to set: the half-life belongs to the mart, the windows to the item states."""


@dataclass(frozen=True)
class PopularGenerator:
    """One score an item, broadcast to all users."""

    name: str
    item_scores: npt.NDArray[np.float32]

    def scores(self, batch: UserBatch) -> Panel:
        return SharedPanel(self.item_scores, len(batch))

    def arrays(self) -> Mapping[str, npt.NDArray[np.generic]]:
        return {}  # derived from the item table, which a bundle holds


def fit_popular(items: ItemTable) -> PopularGenerator:
    """Popularity with a half-life of 14 days, relative to the most popular item."""
    decayed = items.integers("popularity_micros").astype(np.float64)
    return PopularGenerator("popular", _relative(decayed))


def fit_trending(items: ItemTable) -> PopularGenerator:
    """How far the last week lies above the weekly mean of the last four, in Poisson standard deviations.

    (c₇ − c₂₈/4) / √(c₂₈/4 + 1), where positive; the 1 keeps a single sale of a new item from leading.
    """
    week = items.integers("event_count_7d").astype(np.float64)
    usual = items.integers("event_count_28d") / 4.0
    return PopularGenerator("trending", _relative((week - usual) / np.sqrt(usual + 1.0)))


def _relative(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    highest = values.max(initial=0.0)
    return np.maximum(values / highest if highest > 0 else values, 0.0).astype(np.float32)
