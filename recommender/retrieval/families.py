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
from recommender.retrieval.covisitation import (
    BoughtTogetherConfig,
    BoughtTogetherGenerator,
    CovisitationConfig,
    CovisitationGenerator,
    PairMatrices,
    SessionGenerator,
)
from recommender.retrieval.history import HistoryConfig, HistoryGenerator
from recommender.retrieval.popular import PopularConfig, fit_popular, fit_trending
from recommender.states import ItemTable

__all__ = ["FAMILIES", "GENERATORS", "Family"]

Arrays = Mapping[str, npt.NDArray[np.generic]]


@dataclass(frozen=True)
class Family:
    """One generator: its `config` unless the retriever's says otherwise, and the two ways to it.

    `fit(cut, batch, config, seed)` reads the cut alone (`batch` are its users, decoded); `restore(arrays,
    items, config)` reads what `CandidateGenerator.arrays` gave, those of all generators together.
    """

    name: str
    config: Any
    fit: Callable[[CutInputs, UserBatch, Any, int], CandidateGenerator]
    restore: Callable[[Arrays, ItemTable, Any], CandidateGenerator]


def _ease(name: str, config: EaseConfig) -> Family:
    return Family(
        name,
        config,
        lambda cut, batch, config, seed: fit_ease(batch, config, name),
        lambda arrays, items, config: EaseGenerator.from_arrays(arrays, config, name),
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
        "trending",
        PopularConfig(),
        lambda cut, batch, config, seed: fit_trending(cut.items),
        lambda arrays, items, config: fit_trending(items),
    ),
    Family(
        "popular",
        PopularConfig(),
        lambda cut, batch, config, seed: fit_popular(cut.items),
        lambda arrays, items, config: fit_popular(items),
    ),
)
GENERATORS = tuple(family.name for family in FAMILIES)
