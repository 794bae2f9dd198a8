"""The costly questions about a challenger's recipe, answered by refits: what each part is worth, what age costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from recommender.cuts import CutInputs
from recommender.model.ablation import Ablation, ablate
from recommender.model.holdout import read_holdout
from recommender.model.ranker import RankerConfig
from recommender.model.staleness import Staleness, staleness
from recommender.model.training_set import Progress, TrainingSet
from recommender.objectives import DEFAULT_OBJECTIVE, Objective
from recommender.retrieval.retriever import RetrieverConfig, fit_retriever

__all__ = ["Study", "StudyConfig", "study"]


@dataclass(frozen=True)
class StudyConfig:
    """`rows` to learn from and `max_users` to judge by are drawn (seeded) from what is more; `rounds` at most.

    On online_retail 150,000 rows and 60 rounds keep some twenty refits within three minutes on two cores.
    """

    horizon_days: float = 7.0
    rows: int = 150_000
    rounds: int = 60
    max_users: int = 3_000
    draws: int = 1_000
    objective: Objective = DEFAULT_OBJECTIVE


@dataclass(frozen=True)
class Study:
    """`users`: how many people the refits were judged on; `staleness` None where the history is too short."""

    holdout_ms: int
    horizon_days: float
    users: int
    ablation: Ablation
    staleness: Staleness | None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def study(
    training: TrainingSet,
    cut: CutInputs,
    older: Sequence[CutInputs],
    events: pa.Table,
    ranker: RankerConfig,
    retriever: RetrieverConfig | None = None,
    config: StudyConfig | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Study:
    """Judge refits at the holdout `cut`; `training` must have been complete by then, `older` cuts newest first.

    `ranker` holds the parameters of the model that is studied, its number of rounds among them.
    """
    config = config or StudyConfig()
    holdout = read_holdout(cut, events, config.horizon_days, config.max_users, config.objective, seed)
    fitted = fit_retriever(cut, retriever, seed)
    fixed = replace(ranker, rounds=min(ranker.rounds or config.rounds, config.rounds))
    learnt = _drawn(training, config.rows, seed)
    common = (seed, config.draws, progress)
    return Study(
        cut.as_of_ms,
        config.horizon_days,
        len(holdout),
        ablate(learnt, holdout, fitted, fixed, *common),
        staleness(training, holdout, fitted, older, fixed, retriever, *common),
    )


def _drawn(training: TrainingSet, rows: int, seed: int) -> TrainingSet:
    """About `rows` rows, whole slates drawn evenly."""
    if len(training) <= rows:
        return training
    share = rows / len(training)
    return training.take_groups(np.random.default_rng(seed).random(len(training.groups)) < share)
