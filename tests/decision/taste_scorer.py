"""A scorer that knows the shop's truth: a bundle's protocol for tests, without a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from recommender.decision.protocols import Scored
from recommender.retrieval.item_vectors import item_vectors
from recommender.simulation import Shop
from recommender.states import Contexts, ItemTable, UserStates


@dataclass(frozen=True)
class TasteScorer:
    """Scores by the shop's true preference plus what the state says about the item: a bundle's protocol, no model.

    Features: preference, log price, the item's strength in the person's history, hour, context items.
    """

    shop: Shop
    items: ItemTable
    version: str = "truth-1"
    feature_version: str = "five"
    generators: tuple[str, ...] = ("dear",)
    retrieved: int = 100
    catalogue_seq: int = 0
    calls: list[int] = field(default_factory=list)

    def score(
        self,
        user: UserStates,
        context: Contexts,
        item_index: npt.NDArray[np.int64] | None = None,
        novel: bool = False,
        generators: Sequence[str] | None = None,
    ) -> Scored:
        touched = [str(item_id) for item_id in user.flat("history_item_ids")]
        index = np.arange(len(self.items)) if item_index is None else item_index
        if novel and item_index is None:
            index = np.setdiff1d(index, self.items.positions(touched))
        person = self.shop.user_index(user.user_ids[0]) if user.user_ids[0].startswith("u") else 0
        strengths = dict(zip(touched, user.flat_integers("history_strengths").tolist(), strict=True))
        item_ids = self.items.item_ids.take(pa.array(index)).to_pylist()
        columns = [
            self.shop.preference(person, index, context.at_ms),
            np.log(self.items.integers("price_micros")[index]),
            np.array([strengths.get(item_id, 0) for item_id in item_ids]),
            np.full(len(index), context.at_ms[0] // 3_600_000 % 24),
            np.full(len(index), len(context.context_item_ids[0])),
        ]
        features = np.stack(columns, axis=1).astype(np.float32)
        scores = features[:, 0] + np.float32(0.01) * features[:, 2]
        best = np.argsort(-scores, kind="stable")[: self.retrieved if item_index is None else len(index)]
        self.calls.append(len(best))
        says = features[best, 1:2]  # the generator "dear" says the log price
        return Scored(index[best], scores[best], features[best], ["taste"] * len(best), self.generators, says)

    def similarity(self, item_index: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        return item_vectors(self.items).similarity(item_index)

    def popular(self, n: int) -> Scored:
        liked = self.shop.catalogue.quality[: len(self.items)].astype(np.float32)
        index = np.argsort(-liked, kind="stable")[:n]
        return Scored(index, liked[index], np.zeros((len(index), 5), np.float32), ["popular"] * len(index))
