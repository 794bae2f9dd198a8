"""Retrieve, assemble, rank: the one path from user states to scores, for one user or for all. No files, no rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from recommender.errors import IntegrityError
from recommender.model.features import assemble, feature_names, feature_version
from recommender.model.items import ItemMatrix
from recommender.model.ranker import Ranker
from recommender.retrieval.candidates import Candidates, Scored, ToScore, UserBatch
from recommender.retrieval.item_vectors import item_vectors
from recommender.retrieval.retriever import Retriever
from recommender.states import Contexts, ItemTable, UserStates

__all__ = ["RankingModel"]


@dataclass(frozen=True)
class RankingModel:
    """A retriever and a ranker over the same feature columns.

    `catalogue_seq`: row of the journal's catalogue up to which later rows were laid over the items (see
    `model.later_items`); 0: none were.
    """

    ranker: Ranker
    retriever: Retriever
    matrix: ItemMatrix = field(init=False, repr=False)
    catalogue_seq: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        wanted = feature_names(self.retriever.names)
        if self.ranker.names != wanted:
            raise IntegrityError(
                f"a ranker of {len(self.ranker.names)} columns ({feature_version(self.ranker.names)}).",
                f"the {len(wanted)} columns that this code assembles ({feature_version(wanted)}).",
                "Train a new model with this version of the code, or serve the bundle with the version that built it.",
            )
        object.__setattr__(self, "matrix", ItemMatrix.of(self.retriever.items))

    @property
    def items(self) -> ItemTable:
        return self.retriever.items

    @property
    def generators(self) -> tuple[str, ...]:
        """Names of those that propose candidates."""
        return self.retriever.names

    @cached_property
    def feature_version(self) -> str:
        return feature_version(self.ranker.names)

    def score(
        self,
        user: UserStates,
        context: Contexts,
        item_index: npt.NDArray[np.int64] | None = None,
        novel: bool = False,
        generators: Sequence[str] | None = None,
    ) -> Scored:
        """Candidates of one user with features and scores; the other arguments as in `Retriever.retrieve`."""
        batch = UserBatch.read(user, context, self.items)
        return _scored(*self.score_batch(batch, item_index, novel, generators))

    def score_many(self, asked: Sequence[ToScore]) -> list[Scored]:
        """`score` for each, to the bit, with one assembly and one prediction for all: eight cost what five would."""
        if len(asked) == 1:
            (one,) = asked
            return [self.score(one.user, one.context, one.item_index, one.novel, one.generators)]
        batches = [UserBatch.read(one.user, one.context, self.items) for one in asked]
        found = self.retriever.retrieve_each(list(zip(batches, asked, strict=True)))
        together = Candidates.joined(found)
        features = assemble(UserBatch.joined(batches), self.matrix, together)
        scores, ends = self.ranker.predict(features), together.offsets.tolist()
        return [
            _scored(candidates, features[start:end], scores[start:end])
            for candidates, start, end in zip(found, ends[:-1], ends[1:], strict=True)
        ]

    def score_batch(
        self,
        batch: UserBatch,
        item_index: npt.NDArray[np.int64] | None = None,
        novel: bool = False,
        generators: Sequence[str] | None = None,
    ) -> tuple[Candidates, npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Candidates, features and scores of a whole batch; each user's have the bits of a batch of one."""
        candidates = self.retriever.retrieve_batch(batch, None, item_index, novel, generators)
        features = assemble(batch, self.matrix, candidates)
        return candidates, features, self.ranker.predict(features)

    def similarity(self, item_index: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """How alike items are in what the catalogue says of them: float32 (n, n) from 0 to 1, 1 on the diagonal."""
        return item_vectors(self.items).similarity(item_index)

    def popular(self, n: int) -> Scored:
        """The `n` available items of highest decayed popularity, without any user: no features, no model."""
        order = self._by_popularity[:n]
        scores = (self.items.integers("popularity_micros")[order] / 1e6).astype(np.float32)
        features = np.zeros((len(order), len(self.ranker.names)), dtype=np.float32)
        return Scored(order, scores, features, ["popular"] * len(order))

    @cached_property
    def _by_popularity(self) -> npt.NDArray[np.int64]:
        """Available items, the most popular first: ordered once, since the popular tier answers when time is short."""
        popularity = self.items.integers("popularity_micros")
        available = np.flatnonzero(self.items.integers("is_available") > 0)
        return available[np.argsort(-popularity[available], kind="stable")]


def _scored(candidates: Candidates, features: npt.NDArray[np.float32], scores: npt.NDArray[np.float32]) -> Scored:
    """One user's."""
    names = candidates.generators
    sources = list(map(names.__getitem__, candidates.source.tolist()))
    return Scored(candidates.item_index, scores, features, sources, names, candidates.retrieval_scores)
