"""The search for a ranker's parameters: bounded, seeded, recorded, and believed only beyond noise.

Of the past cuts the last confirms and the one before it chooses; neither is the holdout, which the caller
keeps out. Trials are bounded in number and in rounds, never by a clock: same slates and seed, same result.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import optuna
import pyarrow.compute as pc
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

from recommender.errors import InputError
from recommender.model.lists import top_rows
from recommender.model.metrics import Interval, gains_by_rank, graded_ndcg, mean_interval, paired_interval
from recommender.model.ranker import Ranker, RankerConfig, fit_ranker, fit_stopped
from recommender.model.training_set import Progress, TrainingSet

__all__ = ["RankerSearch", "SearchConfig", "Trial", "search_ranker", "slate_ndcg"]

SPACE: dict[str, BaseDistribution] = {
    "learning_rate": FloatDistribution(0.03, 0.3, log=True),
    "max_depth": IntDistribution(3, 9),
    "min_child_weight": FloatDistribution(1.0, 100.0, log=True),
    "subsample": FloatDistribution(0.5, 1.0),
    "column_share": FloatDistribution(0.2, 1.0),
    "regularisation": FloatDistribution(0.3, 100.0, log=True),
    "pairs": IntDistribution(5, 40),
}


@dataclass(frozen=True)
class SearchConfig:
    """`trials` in all, the first with the parameters at hand; the first `random_trials` are drawn without learning
    from earlier ones (Bergstra et al. 2011, tree-structured Parzen estimator); NDCG at `depth` is what counts."""

    trials: int = 30
    random_trials: int = 10
    depth: int = 10
    draws: int = 1_000


@dataclass(frozen=True)
class Trial:
    """One configuration: its parameters, the rounds that early stopping found, its NDCG on the choosing cut, and
    that minus the defaults' (paired by slate)."""

    parameters: Mapping[str, float]
    rounds: int
    score: Interval
    gain: Interval


@dataclass(frozen=True)
class RankerSearch:
    """All trials in their order, the defaults first. `confirmed`: the best trial minus the defaults on the cut that
    chose nothing; `parameters` are what to train with from now on, the defaults' unless its lower bound is above 0."""

    trials: tuple[Trial, ...]
    best: int
    confirmed: Interval
    is_accepted: bool
    parameters: Mapping[str, float]
    sentence: str
    slates: Mapping[str, int]
    seed: int

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def search_ranker(
    training: TrainingSet,
    config: SearchConfig | None = None,
    defaults: RankerConfig | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> RankerSearch:
    """Search among SPACE for parameters that beat the defaults; slates of the holdout must not be in `training`.

    Raises InputError with fewer than three past cuts: one to learn from, one to choose by, one to confirm.
    """
    config, defaults = config or SearchConfig(), defaults or RankerConfig()
    (learnt, judged), (learnt_later, judged_later) = _stages(training)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=config.random_trials)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.enqueue_trial({name: getattr(defaults, name) for name in SPACE})
    trials: list[Trial] = []
    reference = np.zeros(0)
    for number in range(config.trials):
        asked = study.ask(SPACE)
        parameters = {name: _short(value) for name, value in asked.params.items()}
        ranker = fit_stopped(learnt, judged, _with(defaults, parameters), seed)
        values = slate_ndcg(ranker, judged, config.depth)
        reference = reference if number else values
        score = mean_interval(values, seed, config.draws)
        gain = paired_interval(values, reference, seed, config.draws)
        trials.append(Trial(parameters, ranker.rounds, score, gain))
        study.tell(asked, score.mean)
        if progress:
            progress("search trials", number + 1, config.trials)
    best = max(range(len(trials)), key=lambda place: (trials[place].score.mean, -place))
    confirmed = _confirm(trials[0], trials[best], defaults, learnt_later, judged_later, config, seed)
    is_accepted = best > 0 and confirmed.low > 0
    slates = {"learnt": len(learnt.groups), "chosen by": len(judged.groups), "confirmed by": len(judged_later.groups)}
    kept = trials[best if is_accepted else 0].parameters
    sentence = _sentence(best, trials, confirmed, is_accepted)
    return RankerSearch(tuple(trials), best, confirmed, is_accepted, kept, sentence, slates, seed)


def slate_ndcg(ranker: Ranker, slates: TrainingSet, depth: int) -> npt.NDArray[np.float64]:
    """NDCG of each slate with gains 2^grade − 1; nan for one without a positive."""
    gain = np.exp2(slates.label.astype(np.float64)) - 1.0

    def by_rank(order: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        rows, rank = top_rows(slates.group, order, depth)
        return gains_by_rank(slates.group[rows], rank, gain[rows], len(slates.groups), depth)

    discount = 1.0 / np.log2(np.arange(2, depth + 2))
    ideal = (by_rank(slates.label) * discount).sum(axis=1)
    return graded_ndcg(by_rank(ranker.predict(slates.features)), ideal, depth)


def _stages(training: TrainingSet) -> tuple[tuple[TrainingSet, TrainingSet], tuple[TrainingSet, TrainingSet]]:
    """(slates to learn from, slates to judge by) of the last but one past cut, and of the last."""
    is_past = pc.equal(training.groups["kind"], "retrospective").to_numpy()
    cuts = np.unique(training.at_ms[is_past]).tolist()
    stages = [(training.until(cut), training.take_groups(is_past & (training.at_ms == cut))) for cut in cuts[-2:]]
    if len(cuts) < 3 or not all((learnt.label > 0).any() for learnt, _ in stages):
        raise InputError(
            f"{len(cuts)} past cuts before the holdout.",
            "three, apart by the horizon: to learn from, to choose by and to confirm.",
            "bring a longer history.",
        )
    return stages[0], stages[1]


def _confirm(
    default: Trial,
    best: Trial,
    config: RankerConfig,
    learnt: TrainingSet,
    judged: TrainingSet,
    search: SearchConfig,
    seed: int,
) -> Interval:
    """The best of many trials is too good by chance on the cut that chose it; on the next one it is not."""
    ours, theirs = (
        slate_ndcg(fit_ranker(learnt, _with(config, trial.parameters, trial.rounds), seed), judged, search.depth)
        for trial in (best, default)
    )
    return paired_interval(ours, theirs, seed, search.draws)


def _sentence(best: int, trials: list[Trial], confirmed: Interval, is_accepted: bool) -> str:
    if best == 0:
        return f"the defaults stay: none of {len(trials) - 1} other configurations did better on the choosing cut"
    found = f"trial {best} of {len(trials)} against the defaults on the confirming cut: {confirmed}"
    if is_accepted:
        return f"{found}; it is kept for later trainings"
    return f"the defaults stay: {found}, which is within noise"


def _with(config: RankerConfig, parameters: Mapping[str, Any], rounds: int | None = None) -> RankerConfig:
    return replace(config, **parameters, rounds=rounds)


def _short(value: float) -> float:
    """Three significant digits: what is recorded is what was trained with, and can be read."""
    return value if isinstance(value, int) else float(f"{value:.3g}")
