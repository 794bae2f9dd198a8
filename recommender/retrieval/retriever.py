"""All generators together: fitted at one cut, asked for the union of their best items. Nothing is ranked here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from recommender.cuts import CutInputs
from recommender.retrieval.candidates import CandidateGenerator, Candidates, UserBatch
from recommender.retrieval.collaborative import AlsConfig, AlsGenerator, EaseConfig, EaseGenerator, fit_als, fit_ease
from recommender.retrieval.covisitation import (
    CovisitationConfig,
    CovisitationGenerator,
    SessionGenerator,
    pair_matrix,
    pairs_from_arrays,
)
from recommender.retrieval.history import HistoryConfig, HistoryGenerator
from recommender.retrieval.popular import PopularGenerator, fit_popular, fit_trending
from recommender.states import Contexts, ItemTable, UserStates

__all__ = ["GENERATORS", "Retriever", "RetrieverConfig", "fit_retriever"]

# The order decides who is named as the source of an item that several propose.
GENERATORS = ("history", "session", "covisitation", "ease", "ease_recent", "als", "trending", "popular")


@dataclass(frozen=True)
class RetrieverConfig:
    """`per_generator`: items each proposes to a user; `history_items` the own history's share;
    `panel_bytes` bounds the dense scores (users × items × generators × 4) held at a time."""

    per_generator: int = 60
    history_items: int = 150
    panel_bytes: int = 128_000_000
    history: HistoryConfig = field(default_factory=HistoryConfig)
    covisitation: CovisitationConfig = field(default_factory=CovisitationConfig)
    ease: EaseConfig = field(default_factory=EaseConfig)
    ease_recent: EaseConfig = field(default_factory=lambda: EaseConfig(regularisation=200.0, fit_half_life_days=20.0))
    als: AlsConfig = field(default_factory=AlsConfig)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> RetrieverConfig:
        parts = {
            "history": HistoryConfig,
            "covisitation": CovisitationConfig,
            "ease": EaseConfig,
            "ease_recent": EaseConfig,
            "als": AlsConfig,
        }
        return cls(**{key: parts[key](**value) if key in parts else value for key, value in data.items()})


@dataclass(frozen=True)
class Retriever:
    """The generators of one cut over one item table."""

    items: ItemTable
    generators: tuple[CandidateGenerator, ...]
    config: RetrieverConfig = field(default_factory=RetrieverConfig)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(generator.name for generator in self.generators)

    def retrieve(
        self,
        users: UserStates,
        contexts: Contexts,
        *,
        per_generator: int | None = None,
        item_index: npt.NDArray[np.int64] | None = None,
        novel: bool = False,
    ) -> Candidates:
        """The union of each generator's best for every user; any number of users, bounded memory.

        `item_index` makes those items the candidates of every user instead. `novel` leaves the own
        history out before the best are taken. A user's candidates do not depend on the batch.
        """
        return self.retrieve_batch(UserBatch.read(users, contexts, self.items), per_generator, item_index, novel)

    def retrieve_batch(
        self,
        batch: UserBatch,
        per_generator: int | None = None,
        item_index: npt.NDArray[np.int64] | None = None,
        novel: bool = False,
    ) -> Candidates:
        """`retrieve` for a batch that was read already."""
        parts = []
        for part in self._chunks(batch):
            panels = [generator.scores(part) for generator in self.generators]
            if item_index is None:
                limits = self._limits(per_generator)
                chosen = _propose(panels, limits, self._excluded(part, novel))
            else:
                chosen = _given(panels, item_index)
            parts.append(_gather(panels, *chosen))
        return _concatenate(parts, self.names)

    def arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """Everything that was fitted; `Retriever.from_arrays` takes it back."""
        return {name: array for generator in self.generators for name, array in generator.arrays().items()}

    @classmethod
    def from_arrays(
        cls, items: ItemTable, arrays: Mapping[str, npt.NDArray[np.generic]], config: RetrieverConfig
    ) -> Retriever:
        pairs = pairs_from_arrays(arrays)
        fitted = (
            EaseGenerator.from_arrays(arrays, config.ease),
            EaseGenerator.from_arrays(arrays, config.ease_recent, "ease_recent"),
            AlsGenerator.from_arrays(arrays, config.als),
        )
        return cls(items, _in_order(items, pairs, fitted, config), config)

    def _chunks(self, batch: UserBatch) -> Iterator[UserBatch]:
        rows = max(1, self.config.panel_bytes // (4 * max(len(self.items), 1) * len(self.generators)))
        if len(batch) <= rows:
            yield batch
            return
        for start in range(0, len(batch), rows):
            yield batch.slice(start, min(rows, len(batch) - start))

    def _limits(self, per_generator: int | None) -> list[int]:
        count = self.config.per_generator if per_generator is None else per_generator
        return [max(self.config.history_items, count) if name == "history" else count for name in self.names]

    @cached_property
    def _unavailable(self) -> npt.NDArray[np.int64] | None:
        """Index of the items that must not be proposed; None when all may."""
        found = np.flatnonzero(self.items.integers("is_available") == 0)
        return found if len(found) else None

    def _excluded(self, batch: UserBatch, novel: bool) -> npt.NDArray[np.bool_] | None:
        unavailable = self._unavailable
        if not novel and unavailable is None:
            return None
        excluded = np.zeros((len(batch), len(self.items)), dtype=np.bool_)
        if unavailable is not None:
            excluded[:, unavailable] = True
        if novel:
            excluded[batch.history_user, batch.history_item] = True
        return excluded


def fit_retriever(cut: CutInputs, config: RetrieverConfig | None = None, seed: int = 0) -> Retriever:
    """Fit every generator on one cut's inputs.

    Nothing else enters, so what happened after the cut cannot. Same input and seed, same bytes.
    """
    config = config or RetrieverConfig()
    items = cut.items
    batch = UserBatch.read(cut.users, Contexts.at(cut.as_of_ms, len(cut.users)), items)
    with threadpool_limits(limits=1):
        fitted = (
            fit_ease(batch, config.ease),
            fit_ease(batch, config.ease_recent, "ease_recent"),
            fit_als(batch, config.als, seed),
        )
    return Retriever(items, _in_order(items, pair_matrix(cut.pairs, items), fitted, config), config)


def _in_order(
    items: ItemTable, pairs: Any, fitted: Sequence[CandidateGenerator], config: RetrieverConfig
) -> tuple[CandidateGenerator, ...]:
    popular: tuple[PopularGenerator, ...] = (fit_popular(items), fit_trending(items))
    every: tuple[CandidateGenerator, ...] = (
        HistoryGenerator(config.history),
        CovisitationGenerator(pairs, config.covisitation),
        SessionGenerator(pairs, config.covisitation),
        *fitted,
        *popular,
    )
    return tuple(sorted(every, key=lambda generator: GENERATORS.index(generator.name)))


Panels = Sequence[npt.NDArray[np.float32]]
Chosen = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]


def _propose(panels: Panels, limits: Sequence[int], excluded: npt.NDArray[np.bool_] | None) -> Chosen:
    """(offsets, user, item, source) of the union of each panel's best positive entries."""
    source = np.full(panels[0].shape, len(panels), dtype=np.int8)
    for position in reversed(range(len(panels))):
        panel = panels[position] if excluded is None else np.where(excluded, np.float32(0), panels[position])
        source[_best(panel, limits[position])] = position
    user, item = np.nonzero(source < len(panels))
    counts = np.bincount(user, minlength=len(source))
    return np.concatenate([[0], np.cumsum(counts)]), user, item, source[user, item].astype(np.int64)


def _best(panel: npt.NDArray[np.float32], limit: int) -> npt.NDArray[np.bool_]:
    """Mask of the `limit` highest positive entries of each row; of equals the lower item index wins."""
    if limit >= panel.shape[1]:
        return np.asarray(panel > 0)
    place = panel.shape[1] - limit
    least = np.partition(panel, place, axis=1)[:, place, None]
    mask = (panel >= least) & (panel > 0)
    if mask.sum(axis=1).max(initial=0) > limit:
        tied = mask & (panel == least)
        room = limit - (mask & ~tied).sum(axis=1, keepdims=True)
        mask &= ~tied | (np.cumsum(tied, axis=1) <= room)
    return mask


def _given(panels: Panels, item_index: npt.NDArray[np.int64]) -> Chosen:
    """The same items for every user; the source is the generator that scores one highest for the user."""
    n_users, n_given = len(panels[0]), len(item_index)
    user, item = np.repeat(np.arange(n_users), n_given), np.tile(item_index, n_users)
    best = np.stack([panel.max(axis=1) for panel in panels], axis=1)[user]
    scores = np.stack([panel[user, item] for panel in panels], axis=1)
    relative = np.divide(scores, best, out=np.zeros_like(scores), where=best > 0)
    return np.arange(n_users + 1) * n_given, user, item, relative.argmax(axis=1)


def _gather(
    panels: Panels,
    offsets: npt.NDArray[np.int64],
    user: npt.NDArray[np.int64],
    item: npt.NDArray[np.int64],
    source: npt.NDArray[np.int64],
) -> Candidates:
    scores = np.empty((len(item), len(panels)), dtype=np.float32)
    best = np.empty((len(panels[0]), len(panels)), dtype=np.float32)
    for position, panel in enumerate(panels):
        scores[:, position] = panel[user, item]
        best[:, position] = panel.max(axis=1, initial=0)
    return Candidates(offsets, item, scores, best, source, ())


def _concatenate(parts: Sequence[Candidates], names: tuple[str, ...]) -> Candidates:
    starts = np.cumsum([0, *(len(part) for part in parts)])
    offsets = [part.offsets[:-1] + start for part, start in zip(parts, starts, strict=False)]
    return Candidates(
        np.concatenate([*offsets, starts[-1:]]).astype(np.int64),
        np.concatenate([part.item_index for part in parts]),
        np.concatenate([part.retrieval_scores for part in parts]),
        np.concatenate([part.best for part in parts]),
        np.concatenate([part.source for part in parts]),
        names,
    )
