"""The simple systems that every challenger must beat, written as generators so that they share the lists' path."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from recommender.retrieval.candidates import CandidateGenerator, UserBatch
from recommender.retrieval.panels import DENSE_ITEMS, DensePanel, Panel, SparsePanel
from recommender.retrieval.popular import PopularGenerator
from recommender.states import HISTORY_LENGTH, ItemTable

__all__ = ["FrequencyGenerator", "baselines"]


# More than the longest history and a list together: with the own history left out, enough remain.
POPULAR_ITEMS = 2 * HISTORY_LENGTH


@dataclass(frozen=True)
class FrequencyGenerator:
    """Own frequency, popularity below it: count + share of the most popular item's, halved to stay under one.

    In a catalogue of more than DENSE_ITEMS only the own history and the POPULAR_ITEMS most popular are scored.
    """

    item_share: npt.NDArray[np.float32]
    name: str = "own frequency + popularity"

    def scores(self, batch: UserBatch) -> Panel:
        own = batch.matrix(batch.history("counts") + self.item_share[batch.history_item] / 2)
        if len(self.item_share) > DENSE_ITEMS:
            return self.short_panel(batch, own)
        panel = np.tile(self.item_share / 2, (len(batch), 1))
        panel[batch.history_user, batch.history_item] = own.data
        return DensePanel(np.asarray(panel, dtype=np.float32))

    def short_panel(self, batch: UserBatch, own: sparse.csr_matrix) -> SparsePanel:
        """The same best items without a row over the whole catalogue."""
        top = np.sort(np.argsort(-self.item_share, kind="stable")[:POPULAR_ITEMS])
        starts = np.arange(len(batch) + 1) * len(top)
        rows = (np.tile(self.item_share[top] / 2, len(batch)), np.tile(top, len(batch)), starts)
        return SparsePanel(sparse.csr_matrix(sparse.csr_matrix(rows, shape=own.shape).maximum(own)))

    def arrays(self) -> Mapping[str, npt.NDArray[np.generic]]:
        return {}


def baselines(items: ItemTable) -> tuple[CandidateGenerator, ...]:
    """Popularity over the last 28 days (events), and own frequency filled up with it."""
    counts = items.integers("event_count_28d").astype(np.float64)
    share = (counts / max(counts.max(initial=0.0), 1.0)).astype(np.float32)
    return PopularGenerator("popularity", share), FrequencyGenerator(share)
