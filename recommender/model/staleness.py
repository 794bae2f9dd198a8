"""What age costs: the same people served by parts that are 0, 7 or 30 days old. Nothing is drawn or decided here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recommender.cuts import CutInputs
from recommender.events import DAY_MS
from recommender.model.ablation import STUDY_METRICS
from recommender.model.holdout import KINDS, Holdout, Lists, accuracy
from recommender.model.holdout_lists import ranked_lists
from recommender.model.metrics import Interval, intervals
from recommender.model.ranker import Ranker, RankerConfig, fit_ranker
from recommender.model.scorer import RankingModel
from recommender.model.training_set import Progress, TrainingSet
from recommender.retrieval.candidates import UserBatch
from recommender.retrieval.retriever import Retriever, RetrieverConfig, fit_retriever
from recommender.states import Contexts, UserStates

__all__ = ["CURVES", "Staleness", "cuts_of_ages", "staleness"]

# Which parts are as old as the age says; the others are of the holdout cut.
CURVES = ("ranker", "ranker and retrieval", "everything, people's states too")

Curve = Sequence[Mapping[str, Mapping[str, Interval]]]  # by age: kind → metric → interval
Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Staleness:
    """For each curve and age (days, ascending from 0) the figures, and what was lost: age − fresh, paired by user.

    All rankers learnt from `cuts` past cuts, so that age alone differs; `users` were known at the oldest cut.
    """

    ages_days: tuple[float, ...]
    cuts: int
    users: int
    curves: Mapping[str, Curve]
    lost: Mapping[str, Curve]


def cuts_of_ages(cuts_ms: Sequence[int], holdout_ms: int, ages_days: Sequence[float]) -> list[int]:
    """The past cut nearest to each age before the holdout cut, newest first; the holdout cut itself is always there."""
    past = [cut for cut in cuts_ms if cut <= holdout_ms]
    near = {min(past, key=lambda cut: abs(holdout_ms - cut - age * DAY_MS)) for age in ages_days}
    return sorted({*near, holdout_ms}, reverse=True)


def staleness(
    training: TrainingSet,
    holdout: Holdout,
    fresh: Retriever,
    older: Sequence[CutInputs],
    ranker: RankerConfig,
    retriever: RetrieverConfig | None = None,
    seed: int = 0,
    draws: int = 1_000,
    progress: Progress | None = None,
) -> Staleness | None:
    """Serve the holdout's people with parts of the `older` cuts, newest first; None when none has training slates.

    `training` as for `ablate`, `fresh` is the retriever of the holdout cut.
    """
    usable = [cut for cut in older if len(training.until(cut.as_of_ms))]
    if not usable:
        return None
    n_cuts = len(_cuts(training.until(usable[-1].as_of_ms)))
    oldest = usable[-1].users.table["user_id"]
    known = pc.is_in(holdout.batch.users.texts("user_id"), value_set=pc.unique(oldest)).to_numpy(zero_copy_only=False)
    parts = []
    for place, cut in enumerate((holdout.cut, *usable)):
        if progress:
            progress("serving with older parts", place, 1 + len(usable))
        aged = fit_ranker(_latest(training.until(cut.as_of_ms), n_cuts), ranker, seed)
        parts.append(np.where(known[:, None], _values(holdout, fresh, cut, aged, retriever, seed), np.nan))
    found = iter(intervals(np.column_stack([*parts, *(part - parts[0] for part in parts)]), seed, draws))
    figures, lost = ([_curves(found) for _ in parts] for _ in range(2))
    return Staleness(
        tuple((holdout.cut.as_of_ms - cut.as_of_ms) / DAY_MS for cut in (holdout.cut, *usable)),
        n_cuts,
        int(known.sum()),
        {curve: [age[curve] for age in figures] for curve in CURVES},
        {curve: [age[curve] for age in lost] for curve in CURVES},
    )


def _values(
    holdout: Holdout, fresh: Retriever, cut: CutInputs, ranker: Ranker, retriever: RetrieverConfig | None, seed: int
) -> Values:
    """float64 (n_users, curves × kinds × STUDY_METRICS); nan for people whom a curve's parts do not know."""
    is_now = cut.as_of_ms == holdout.cut.as_of_ms
    aged = fresh if is_now else fit_retriever(cut, retriever, seed)
    everyone = np.arange(len(holdout))
    place = pc.index_in(holdout.batch.users.texts("user_id"), value_set=cut.users.texts("user_id"))
    rows = np.flatnonzero(place.is_valid().to_numpy(zero_copy_only=False))
    then = cut.users.take(place.drop_null().to_numpy().astype(np.int64))
    served = (
        (fresh, holdout.batch.users, everyone),
        (aged, holdout.batch.users, everyone),
        (aged, then, rows),
    )
    columns: list[Values] = []
    for number, (own, users, people) in enumerate(served):
        if is_now and number:
            columns *= len(served)
            break
        columns += _columns(holdout, RankingModel(ranker, own), users, people)
    return np.column_stack(columns)


def _columns(
    holdout: Holdout, model: RankingModel, users: UserStates, people: npt.NDArray[np.int64]
) -> Iterator[Values]:
    """Figures by kind and metric of lists made at the holdout's moment; `people` are the users' rows there."""
    batch = UserBatch.read(users, Contexts.at(holdout.cut.as_of_ms, len(users)), model.items)
    known_now = holdout.items.positions(model.items.item_ids)
    for kind in KINDS:
        lists = ranked_lists(model, batch, kind == "novel")
        item = known_now[lists.item_index]
        kept = item >= 0
        here = Lists(people[lists.user_row[kept]], item[kept], lists.rank[kept])
        found = accuracy(here, holdout.truths[kind])
        unserved = np.ones(len(holdout), dtype=np.bool_)
        unserved[people] = False
        yield from (np.where(unserved, np.nan, found[name]) for name in STUDY_METRICS)


def _cuts(training: TrainingSet) -> list[int]:
    """Moments of the retrospective slates, ascending."""
    retrospective = pc.equal(training.groups["kind"], pa.scalar("retrospective")).to_numpy()
    return sorted(set(training.at_ms[retrospective].tolist()))


def _latest(training: TrainingSet, n_cuts: int) -> TrainingSet:
    """Slates since the n-th latest past cut."""
    cuts = _cuts(training)
    return training.take_groups(training.at_ms >= cuts[max(0, len(cuts) - n_cuts)])


def _curves(found: Iterator[Interval]) -> dict[str, dict[str, dict[str, Interval]]]:
    return {curve: {kind: {name: next(found) for name in STUDY_METRICS} for kind in KINDS} for curve in CURVES}
