"""What everybody likes: popularity, what rises, what is new. The same scores for every user; no person is looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from recommender.events import DAY_MS
from recommender.retrieval.candidates import UserBatch
from recommender.retrieval.panels import Panel, SharedPanel, SharedScores
from recommender.states import ItemTable

__all__ = ["ArrivalsConfig", "PopularConfig", "PopularGenerator", "fit_arrivals", "fit_popular", "fit_trending"]


@dataclass(frozen=True)
class PopularConfig:
    """Nothing to set: the half-life belongs to the mart, the windows to the item states."""


@dataclass(frozen=True)
class ArrivalsConfig:
    """`half_life_days` of being new; `max_days` after being listed an item is no arrival any more."""

    half_life_days: float = 7.0
    max_days: float = 28.0


@dataclass(frozen=True)
class PopularGenerator:
    """One score an item, broadcast to all users."""

    name: str
    item_scores: npt.NDArray[np.float32]

    def scores(self, batch: UserBatch) -> Panel:
        return SharedPanel(self._shared, len(batch))

    @cached_property
    def _shared(self) -> SharedScores:
        return SharedScores(self.item_scores)

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


def fit_arrivals(items: ItemTable, config: ArrivalsConfig) -> PopularGenerator:
    """Items listed lately: 2^(−age / half-life) × (1 + log(1 + popularity)), relative to the highest.

    One of which nothing but its listing is known is an arrival too; one without a date is not.
    """
    listed = items.integers("listed_ms")
    age = np.maximum(_cut_ms(items) - listed, 0) / DAY_MS
    response = 1.0 + np.log1p(items.integers("popularity_micros") / 1e6)
    is_new = (listed > 0) & (age <= config.max_days)
    return PopularGenerator(
        "arrivals", _relative(np.where(is_new, np.exp2(-age / config.half_life_days) * response, 0))
    )


def _cut_ms(items: ItemTable) -> int:
    """The cut that the states were taken at; 0 without items."""
    cuts = items.table["as_of"].combine_chunks().cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
    return int(cuts.max(initial=0))


def _relative(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    highest = values.max(initial=0.0)
    return np.maximum(values / highest if highest > 0 else values, 0.0).astype(np.float32)
