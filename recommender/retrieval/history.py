"""What a person already met: chosen before, looked at and not bought, due again. No taste of others is looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recommender.events import DAY_MS
from recommender.retrieval.candidates import UserBatch
from recommender.retrieval.panels import Panel
from recommender.retrieval.weights import weigh_due
from recommender.states import ItemTable

__all__ = [
    "HistoryConfig",
    "HistoryGenerator",
    "ReplenishConfig",
    "ReplenishGenerator",
    "ViewedConfig",
    "ViewedGenerator",
    "fit_replenish",
]

Floats = npt.NDArray[np.float64]
Arrays = Mapping[str, npt.NDArray[np.generic]]


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
        decay = batch.history_fade(self.config.half_life_days)
        return batch.seeds(decay * batch.history("strengths")).panel()

    def arrays(self) -> Arrays:
        return {}


@dataclass(frozen=True)
class ViewedConfig:
    """`half_life_days`: after so many days an unfinished interest counts half."""

    half_life_days: float = 7.0


@dataclass(frozen=True)
class ViewedGenerator:
    """To go on with: strength × 2^(−age / half-life) of what was looked at, liked or in the basket, and not bought."""

    config: ViewedConfig = ViewedConfig()
    name: str = "viewed"

    def scores(self, batch: UserBatch) -> Panel:
        is_open = batch.history("purchase_counts") == 0
        decay = batch.history_fade(self.config.half_life_days)
        return batch.seeds(np.where(is_open, decay * batch.history("strengths"), 0.0)).panel()

    def arrays(self) -> Arrays:
        return {}


@dataclass(frozen=True)
class ReplenishConfig:
    """`prior`: so many observed gaps of a person weigh as much as what is typical of the item, and so many people's
    as what is typical of the shop. `min_days`: purchases nearer than that are one purchase."""

    prior: float = 2.0
    min_days: float = 1.0


@dataclass(frozen=True)
class ReplenishGenerator:
    """What is due again: P(bought again) × x·e^(1 − x), x = days since the last time / usual days between two times.

    The second factor is the hazard of a gap of gamma shape: 0 just after a purchase, 1 when due, fading when
    overdue. n purchases say (n − 1 + 2r) / (n + 1) of being bought again, r being the item's share of buyers who
    came back for it. `gap_days` float32 (n_items) is what is usual for the item, `repeat` float32 its r.
    """

    gap_days: npt.NDArray[np.float32]
    repeat: npt.NDArray[np.float32]
    config: ReplenishConfig = ReplenishConfig()
    name: str = "replenish"

    def scores(self, batch: UserBatch) -> Panel:
        weights = np.empty(len(batch.history_item), dtype=np.float32)
        weigh_due(
            batch.history_table,
            batch.history_offsets,
            batch.at_ms,
            self.gap_days,
            self.repeat,
            self.config.prior,
            self.config.min_days,
            weights,
        )
        return batch.seeds(weights).panel()

    def arrays(self) -> Arrays:
        return {"replenish_gap_days": self.gap_days, "replenish_repeat": self.repeat}

    @classmethod
    def from_arrays(cls, arrays: Arrays, config: ReplenishConfig) -> ReplenishGenerator:
        gap, repeat = (arrays[f"replenish_{name}"].astype(np.float32) for name in ("gap_days", "repeat"))
        return cls(gap, repeat, config)


def fit_replenish(batch: UserBatch, items: ItemTable, config: ReplenishConfig) -> ReplenishGenerator:
    """Usual gap of each item: the median of its buyers' mean gaps, shrunk to the median of all."""
    bought, span = batch.history("purchase_counts"), _span_days(batch)
    again = np.flatnonzero((bought > 1) & (span >= config.min_days))
    gap, item = span[again] / (bought[again] - 1), batch.history_item[again]
    usual = float(np.median(gap)) if len(gap) else 28.0
    count = np.bincount(item, minlength=len(items))
    median = np.full(len(items), usual)
    order = np.lexsort((gap, item))
    starts = np.cumsum(count) - count
    has = np.flatnonzero(count)
    low, high = order[starts[has] + (count[has] - 1) // 2], order[starts[has] + count[has] // 2]
    median[has] = (gap[low] + gap[high]) / 2
    shrunk = (count * median + config.prior * usual) / (count + config.prior)
    users, repeated = items.integers("user_count"), items.integers("repeat_user_count")
    mean = repeated.sum() / max(users.sum(), 1)
    repeat = (repeated + 2 * mean) / (users + 2)
    return ReplenishGenerator(shrunk.astype(np.float32), repeat.astype(np.float32), config)


def _span_days(batch: UserBatch) -> Floats:
    """Days between the first and the last event with each history item."""
    return np.asarray((batch.history("last_ms") - batch.history("first_ms")) / DAY_MS)
