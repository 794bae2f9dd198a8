"""The simple systems that every challenger must beat, written as generators so that they share the lists' path."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recommender.retrieval.candidates import CandidateGenerator, UserBatch
from recommender.retrieval.panels import DensePanel, Panel
from recommender.retrieval.popular import PopularGenerator
from recommender.states import ItemTable

__all__ = ["FrequencyGenerator", "baselines"]


@dataclass(frozen=True)
class FrequencyGenerator:
    """Own frequency, popularity below it: count + share of the most popular item's, halved to stay under one."""

    item_share: npt.NDArray[np.float32]
    name: str = "own frequency + popularity"

    def scores(self, batch: UserBatch) -> Panel:
        panel = np.tile(self.item_share / 2, (len(batch), 1))
        panel[batch.history_user, batch.history_item] += batch.history("counts")
        return DensePanel(np.asarray(panel, dtype=np.float32))

    def arrays(self) -> Mapping[str, npt.NDArray[np.generic]]:
        return {}


def baselines(items: ItemTable) -> tuple[CandidateGenerator, ...]:
    """Popularity over the last 28 days (events), and own frequency filled up with it."""
    counts = items.integers("event_count_28d").astype(np.float64)
    share = (counts / max(counts.max(initial=0.0), 1.0)).astype(np.float32)
    return PopularGenerator("popularity", share), FrequencyGenerator(share)
