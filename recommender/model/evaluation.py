"""Evidence: how a challenger's lists do on days it has not seen, against simple systems and against the champion.

The fair comparison. A model is a ranker over a retriever. At the holdout cut (as_of − horizon) one
retriever is fitted on that cut's states, and every ranker scores its candidates for the same users. No
ranker may have been trained on a label after the holdout cut. So the challenger is represented by its
*rehearsal*: the same recipe on the past cuts whose horizon ended by the holdout cut; and the champion by
its newest ranker that is no fresher (`contest.standing_in`). Nothing is decided here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from recommender.cuts import CutInputs
from recommender.model import list_metrics
from recommender.model.bundle import Bundle
from recommender.model.candidate_recall import CandidateFigures, candidate_figures
from recommender.model.contest import Contest, StandIn, Trial, Week, contest, standing_in
from recommender.model.holdout import KINDS, KPI_METRICS, Holdout, Lists, Measured, day_of, read_holdout
from recommender.model.holdout_lists import KindLists, holdout_lists
from recommender.model.metrics import Interval, intervals
from recommender.model.ranker import Ranker
from recommender.model.slices import Slice, SliceConfig, slice_figures
from recommender.model.training_set import Progress
from recommender.model.truth import ANY
from recommender.objectives import DEFAULT_OBJECTIVE, Objective
from recommender.retrieval.retriever import Retriever, RetrieverConfig, fit_retriever

__all__ = ["CHALLENGER", "CHAMPION", "FAMILY_METRICS", "EvaluationConfig", "Evidence", "Figures", "evaluate"]

CHALLENGER, CHAMPION = "challenger", "champion"
FAMILY_METRICS = ("recall@20", "ndcg@10")
HEADLINE_METRICS = ("recall@20", "ndcg@10", "mrr@20", "hit@10")

Figures = Mapping[str, Mapping[str, Mapping[str, Interval]]]  # system → "repeat" or "novel" → metric
Keyed = dict[tuple[str, str, str], npt.NDArray[np.float64]]  # (system, kind, metric) → a value for each user


@dataclass(frozen=True)
class EvaluationConfig:
    """`horizon_days` after the holdout cut are its truth; `draws` of the bootstrap; users above `max_users`
    are sampled (seeded). `contest_confidence` of the intervals against the champion: .90 puts 5 % below, as
    trials of non-inferiority do (ICH E9 asks for it of equivalence)."""

    horizon_days: float = 7.0
    draws: int = 1_000
    max_users: int = 20_000
    contest_confidence: float = 0.90
    objective: Objective = DEFAULT_OBJECTIVE
    slices: SliceConfig = field(default_factory=SliceConfig)


@dataclass(frozen=True)
class Evidence:
    """What was measured; `champion` says in a sentence who stood for it, or why nobody did.

    `differences` are challenger − system, paired by user. `champion_state`: "none" (there is no
    champion), "compared", "incomparable" (its features are gone) or "overlapping" (it has seen the
    holdout's days and has no rehearsal); `contest` is there when it was compared.
    """

    holdout_ms: int
    horizon_days: float
    objective: Mapping[str, Any]
    users: Mapping[str, int]  # "repeat" or "novel" → users
    counts: Mapping[str, Mapping[str, int]]  # kind → metric → users that have a value
    figures: Figures
    differences: Figures
    coverage: Mapping[str, float]  # system → share of the catalogue in its repeat lists
    gini: Mapping[str, float]  # system → concentration of its repeat lists
    slices: tuple[Slice, ...]
    candidates: Mapping[str, CandidateFigures]  # kind → recall of retrieval
    families: Figures  # generator → kind → metric of its own best as a list
    contest: Contest | None
    champion: str
    champion_state: str
    is_finite: bool  # no system gave a score that is not a number

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def headline(self) -> dict[str, float]:
        """The challenger's means of what people look at first, flat: "repeat ndcg@10" → .37."""
        ours, names = self.figures[CHALLENGER], (*HEADLINE_METRICS, KPI_METRICS[self.objective["kpi"]])
        return {f"{kind} {name}": ours[kind][name].mean for kind in ours for name in names}


def evaluate(
    cut: CutInputs,
    events: pa.Table,
    rehearsal: Ranker,
    champion: Bundle | None = None,
    retriever: RetrieverConfig | None = None,
    config: EvaluationConfig | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    trial: Trial | None = None,
) -> Evidence:
    """Measure `rehearsal` at the holdout `cut`; it must have been trained on horizons that ended by then.

    Truth: all (user, item) pairs with a positive event in the horizon after the cut, of users known at
    the cut; *novel* counts the pairs that are not in the user's history, and takes the history out of
    the lists. With a `trial`, the champion is met on its cuts as well. `events` (rows of EVENT_SCHEMA)
    reach back to the earliest cut. Raises InputError when nobody came back.
    """
    config = config or EvaluationConfig()
    holdout = _read(cut, events, config, seed)
    fitted = fit_retriever(cut, retriever, seed)
    rival, sentence, state = _rival(champion, StandIn(rehearsal, cut.as_of_ms))
    rankers = {CHALLENGER: rehearsal} | ({CHAMPION: rival.ranker} if rival else {})
    lists = _lists(holdout, fitted, rankers, progress)
    measured = {
        kind: {system: holdout.measure(own, kind) for system, own in found.systems.items()}
        for kind, found in lists.items()
    }
    weeks = [*_weeks(holdout, measured, champion if rival else None, trial, events, retriever, config, seed, progress)]
    return Evidence(
        holdout_ms=cut.as_of_ms,
        horizon_days=config.horizon_days,
        objective=config.objective.as_json(),
        users={kind: int((holdout.truths[kind][ANY].counts > 0).sum()) for kind in KINDS},
        counts={kind: _counts(measured[kind][CHALLENGER]) for kind in KINDS},
        **_figures(measured, config, seed),
        coverage=_of_lists(list_metrics.coverage, lists["repeat"].systems, holdout),
        gini=_of_lists(list_metrics.exposure_gini, lists["repeat"].systems, holdout),
        slices=tuple(_slices(holdout, lists, measured, config, seed)),
        candidates={
            kind: candidate_figures(lists[kind].proposals, holdout.truths[kind][ANY], seed, config.draws)
            for kind in KINDS
        },
        families=_families(holdout, lists, config, seed),
        contest=contest(weeks, seed, config.draws, config.contest_confidence) if weeks else None,
        champion=sentence,
        champion_state=state,
        is_finite=all(found.is_finite for found in lists.values()),
    )


def _read(cut: CutInputs, events: pa.Table, config: EvaluationConfig, seed: int) -> Holdout:
    return read_holdout(cut, events, config.horizon_days, config.max_users, config.objective, seed)


def _lists(
    holdout: Holdout, retriever: Retriever, rankers: Mapping[str, Ranker], progress: Progress | None
) -> dict[str, KindLists]:
    found = {}
    for place, kind in enumerate(KINDS):
        if progress:
            progress(f"lists of {day_of(holdout.cut.as_of_ms)}", place, len(KINDS))
        found[kind] = holdout_lists(holdout, retriever, rankers, kind)
    return found


def _rival(champion: Bundle | None, ours: StandIn) -> tuple[StandIn | None, str, str]:
    """Who stands for the champion, the sentence that says so, and the state."""
    if champion is None:
        return None, "There is no champion yet.", "none"
    known = f"Champion {champion.version} (as of {day_of(champion.manifest.as_of_ms)})"
    if champion.ranker.names != ours.ranker.names:
        return None, f"{known} reads other features than this code assembles; it was left out.", "incomparable"
    found = standing_in(champion, ours)
    if found is None:
        return None, f"{known} has seen days after the holdout cut and has no rehearsal from before it.", "overlapping"
    if found.ranker is champion.ranker:
        return found, f"{known} stands for itself: it was trained before the holdout cut.", "compared"
    return found, f"{known} is represented by its rehearsal, trained until {day_of(found.until_ms)}.", "compared"


def _weeks(
    holdout: Holdout,
    measured: Mapping[str, Mapping[str, Measured]],
    champion: Bundle | None,
    trial: Trial | None,
    events: pa.Table,
    retriever: RetrieverConfig | None,
    config: EvaluationConfig,
    seed: int,
    progress: Progress | None,
) -> Iterator[Week]:
    """The holdout week, then the trial's; nothing without a champion that can be compared."""
    if champion is None:
        return
    yield Week(holdout, *({kind: measured[kind][system] for kind in KINDS} for system in (CHALLENGER, CHAMPION)))
    rival = standing_in(champion, trial.stand_in) if trial else None
    if trial is None or rival is None:
        return
    rankers = {CHALLENGER: trial.stand_in.ranker, CHAMPION: rival.ranker}
    for cut in trial.cuts:
        past = _read(cut, events, config, seed)
        lists = _lists(past, fit_retriever(cut, retriever, seed), rankers, progress)
        yield Week(past, *({k: past.measure(lists[k].systems[name], k) for k in KINDS} for name in rankers))


def _counts(measured: Measured) -> dict[str, int]:
    return {name: int((~np.isnan(values)).sum()) for name, values in measured.items()}


def _figures(measured: Mapping[str, Mapping[str, Measured]], config: EvaluationConfig, seed: int) -> dict[str, Figures]:
    """`figures` of every system, and `differences` of the challenger to each other."""
    keyed: Keyed = {
        (system, kind, name): values
        for kind, systems in measured.items()
        for system, own in systems.items()
        for name, values in own.items()
    }
    gaps: Keyed = {
        (system, kind, name): keyed[CHALLENGER, kind, name] - values
        for (system, kind, name), values in keyed.items()
        if system != CHALLENGER
    }
    return {"figures": _intervals(keyed, config, seed), "differences": _intervals(gaps, config, seed)}


def _intervals(keyed: Keyed, config: EvaluationConfig, seed: int) -> Figures:
    found: dict[str, dict[str, dict[str, Interval]]] = {}
    judged = intervals(np.column_stack(list(keyed.values())), seed, config.draws)
    for (system, kind, name), value in zip(keyed, judged, strict=True):
        found.setdefault(system, {}).setdefault(kind, {})[name] = value
    return found


def _of_lists(figure: Any, systems: Mapping[str, Lists], holdout: Holdout) -> dict[str, float]:
    return {system: figure(own.item_index, len(holdout.items)) for system, own in systems.items()}


def _slices(
    holdout: Holdout,
    lists: Mapping[str, KindLists],
    measured: Mapping[str, Mapping[str, Measured]],
    config: EvaluationConfig,
    seed: int,
) -> Iterator[Slice]:
    for kind in KINDS:
        systems = lists[kind].systems
        yield from slice_figures(holdout, kind, systems, measured[kind], CHALLENGER, config.slices, seed, config.draws)


def _families(holdout: Holdout, lists: Mapping[str, KindLists], config: EvaluationConfig, seed: int) -> Figures:
    keyed: Keyed = {}
    for kind in KINDS:
        for family, own in lists[kind].families.items():
            found = holdout.measure(own, kind)
            keyed |= {(family, kind, name): found[name] for name in FAMILY_METRICS}
    return _intervals(keyed, config, seed)
