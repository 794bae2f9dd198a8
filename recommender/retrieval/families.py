"""The registry of generators: how each is fitted on a cut and taken back from a bundle. None is written here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from recommender.cuts import CutInputs
from recommender.retrieval.candidates import CandidateGenerator, UserBatch
from recommender.retrieval.collaborative import AlsConfig, AlsGenerator, EaseConfig, EaseGenerator, fit_als, fit_ease
from recommender.retrieval.content import ContentConfig, fit_content, fit_like_recent
from recommender.retrieval.covisitation import (
    BoughtTogetherConfig,
    BoughtTogetherGenerator,
    CovisitationConfig,
    CovisitationGenerator,
    PairMatrices,
    SessionGenerator,
)
from recommender.retrieval.history import (
    HistoryConfig,
    HistoryGenerator,
    ReplenishConfig,
    ReplenishGenerator,
    ViewedConfig,
    ViewedGenerator,
    fit_replenish,
)
from recommender.retrieval.popular import ArrivalsConfig, PopularConfig, fit_arrivals, fit_popular, fit_trending
from recommender.retrieval.segments import (
    CategoryConfig,
    PopularSegmentGenerator,
    SegmentConfig,
    fit_popular_category,
    fit_popular_segment,
)
from recommender.retrieval.sequence import SequenceConfig, SequenceGenerator, fit_sequence
from recommender.states import ItemTable

__all__ = ["FAMILIES", "GENERATORS", "Family"]

Arrays = Mapping[str, npt.NDArray[np.generic]]


@dataclass(frozen=True)
class Family:
    """One generator: its `config` unless the retriever's says otherwise, and the two ways to it.

    `fit(cut, batch, config, seed)` reads the cut alone (`batch` are its users, decoded); `restore(arrays,
    items, config)` reads what `CandidateGenerator.arrays` gave, those of all generators together. Among all the
    others it proposes `share` items at most (None: as many as the retriever's config says); named in a
    placement, as many as that allows.
    """

    name: str
    config: Any
    fit: Callable[[CutInputs, UserBatch, Any, int], CandidateGenerator]
    restore: Callable[[Arrays, ItemTable, Any], CandidateGenerator]
    share: int | None = None


def _ease(name: str, config: EaseConfig) -> Family:
    return Family(
        name,
        config,
        lambda cut, batch, config, seed: fit_ease(batch, config, name),
        lambda arrays, items, config: EaseGenerator.from_arrays(arrays, config, name),
    )


def _of_items(name: str, config: Any, fit: Callable[[ItemTable, Any], CandidateGenerator], share: int | None) -> Family:
    """One that follows from the item table alone: a bundle holds that, so it is fitted anew when one is loaded."""
    return Family(
        name,
        config,
        lambda cut, batch, config, seed: fit(cut.items, config),
        lambda arrays, items, config: fit(items, config),
        share,
    )


# The order decides who is named as the source of an item that several propose.
FAMILIES: tuple[Family, ...] = (
    Family(
        "history",
        HistoryConfig(),
        lambda cut, batch, config, seed: HistoryGenerator(config),
        lambda arrays, items, config: HistoryGenerator(config),
    ),
    Family(
        "replenish",
        ReplenishConfig(),
        lambda cut, batch, config, seed: fit_replenish(batch, cut.items, config),
        lambda arrays, items, config: ReplenishGenerator.from_arrays(arrays, config),
        share=20,
    ),
    Family(
        "viewed",
        ViewedConfig(),
        lambda cut, batch, config, seed: ViewedGenerator(config),
        lambda arrays, items, config: ViewedGenerator(config),
        share=20,
    ),
    Family(
        "session",
        CovisitationConfig(),
        lambda cut, batch, config, seed: SessionGenerator(PairMatrices.read(cut.pairs, cut.items), config),
        lambda arrays, items, config: SessionGenerator(PairMatrices.from_arrays(arrays, items), config),
    ),
    Family(
        "covisitation",
        CovisitationConfig(),
        lambda cut, batch, config, seed: CovisitationGenerator(PairMatrices.read(cut.pairs, cut.items), config),
        lambda arrays, items, config: CovisitationGenerator(PairMatrices.from_arrays(arrays, items), config),
    ),
    Family(
        "bought_together",
        BoughtTogetherConfig(),
        lambda cut, batch, config, seed: BoughtTogetherGenerator(PairMatrices.read(cut.pairs, cut.items), config),
        lambda arrays, items, config: BoughtTogetherGenerator(PairMatrices.from_arrays(arrays, items), config),
    ),
    _ease("ease", EaseConfig()),
    _ease("ease_recent", EaseConfig(regularisation=200.0, fit_half_life_days=20.0)),
    Family(
        "als",
        AlsConfig(),
        lambda cut, batch, config, seed: fit_als(batch, config, seed),
        lambda arrays, items, config: AlsGenerator.from_arrays(arrays, config),
    ),
    Family(
        "sequence",
        SequenceConfig(),
        lambda cut, batch, config, seed: fit_sequence(batch, cut.items, config, seed),
        SequenceGenerator.from_arrays,
        share=30,
    ),
    _of_items("like_recent", ContentConfig(), fit_like_recent, share=40),
    _of_items("content", ContentConfig(), fit_content, share=30),
    _of_items("popular_category", CategoryConfig(), fit_popular_category, share=30),
    Family(
        "popular_segment",
        SegmentConfig(),
        lambda cut, batch, config, seed: fit_popular_segment(cut.segments, cut.items, config),
        lambda arrays, items, config: PopularSegmentGenerator.from_arrays(arrays, config),
        share=20,
    ),
    _of_items("arrivals", ArrivalsConfig(), fit_arrivals, share=20),
    _of_items("trending", PopularConfig(), lambda items, config: fit_trending(items), share=None),
    _of_items("popular", PopularConfig(), lambda items, config: fit_popular(items), share=None),
)
GENERATORS = tuple(family.name for family in FAMILIES)
