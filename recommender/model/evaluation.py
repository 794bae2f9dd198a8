"""Evidence: how a challenger's lists do on days it has not seen, against simple systems and against the champion.

The fair comparison. A model is a ranker over a retriever. At the holdout cut (as_of − horizon) one
retriever is fitted on that cut's states, and every ranker scores its candidates for the same users. No
ranker may have been trained on a label after the holdout cut. So the challenger is represented by its
*rehearsal*: the same recipe on the past cuts whose horizon ended by the holdout cut. The champion is
represented by its own ranker when its `as_of` is not after the holdout cut, and by its own rehearsal
otherwise, as it is every day that a model is younger than the horizon. Nothing is decided here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recommender.cuts import CutInputs
from recommender.errors import InputError
from recommender.events import DAY_MS
from recommender.model import metrics
from recommender.model.baselines import baselines
from recommender.model.bundle import Bundle
from recommender.model.labels import Relevant, graded_pairs, relevant_items
from recommender.model.lists import top_rows
from recommender.model.metrics import Interval
from recommender.model.ranker import Ranker
from recommender.model.scorer import RankingModel
from recommender.model.training_set import Progress
from recommender.objectives import DEFAULT_OBJECTIVE, Objective
from recommender.retrieval.candidates import Candidates, UserBatch
from recommender.retrieval.retriever import Retriever, RetrieverConfig, fit_retriever
from recommender.states import Contexts, UserStates

__all__ = ["CHALLENGER", "CHAMPION", "EvaluationConfig", "Evidence", "evaluate"]

CHALLENGER, CHAMPION = "challenger", "champion"
DEPTH = 20
METRICS = {"recall@20": (metrics.recall_at, 20), "ndcg@10": (metrics.ndcg_at, 10)}
METRICS |= {"mrr@20": (metrics.reciprocal_rank, 20), "hit@10": (metrics.hit_at, 10)}

Figures = Mapping[str, Mapping[str, Mapping[str, Interval]]]  # system → "repeat" or "novel" → metric


@dataclass(frozen=True)
class EvaluationConfig:
    """`horizon_days` after the holdout cut are its truth; `draws` of the bootstrap; users above `max_users`
    are sampled (seeded)."""

    horizon_days: float = 7.0
    draws: int = 1_000
    max_users: int = 20_000
    objective: Objective = DEFAULT_OBJECTIVE


@dataclass(frozen=True)
class Evidence:
    """What was measured; `champion` says in a sentence who stood for it, or why nobody did.

    `differences` are challenger − system, paired by user. `champion_state`: "none" (there is no
    champion), "compared", "incomparable" (its features are gone) or "overlapping" (it has seen the
    holdout's days and has no rehearsal).
    """

    holdout_ms: int
    horizon_days: float
    users: Mapping[str, int]  # "repeat" or "novel" → users
    figures: Figures
    differences: Figures
    coverage: Mapping[str, float]  # system → share of the catalogue in its repeat lists
    champion: str
    champion_state: str
    is_finite: bool  # no system gave a score that is not a number

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def headline(self) -> dict[str, float]:
        """The challenger's means, flat: "repeat ndcg@10" → .37."""
        ours = self.figures[CHALLENGER]
        return {f"{kind} {name}": value.mean for kind in ours for name, value in ours[kind].items()}


def evaluate(
    holdout: CutInputs,
    events: pa.Table,
    rehearsal: Ranker,
    champion: Bundle | None = None,
    retriever: RetrieverConfig | None = None,
    config: EvaluationConfig | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Evidence:
    """Measure `rehearsal` at the holdout cut; it must have been trained on horizons that ended by then.

    Truth: all (user, item) pairs with a positive event in the horizon after the cut, of users known at
    the cut; *novel* counts the pairs that are not in the user's history, and takes the history out of
    the lists. Raises InputError when nobody came back.
    """
    config = config or EvaluationConfig()
    batch, truth = _holdout_batch(holdout, events, config, seed)
    fitted = fit_retriever(holdout, retriever, seed)
    rival, sentence, state = _champion_ranker(champion, rehearsal, holdout.as_of_ms)
    rankers = {CHALLENGER: rehearsal} | ({CHAMPION: rival} if rival else {})
    values: dict[str, dict[str, dict[str, npt.NDArray[np.float64]]]] = {}
    shares: dict[str, float] = {}
    finite = True
    for step, kind in enumerate(truth):
        if progress:
            progress("holdout lists", step, len(truth))
        relevant = truth[kind]
        for name, (candidates, scores) in _scored(batch, fitted, rankers, kind == "novel").items():
            finite &= bool(np.isfinite(scores).all())
            rows, rank = top_rows(candidates.user_row, scores, DEPTH)
            user, item = candidates.user_row[rows], candidates.item_index[rows]
            hits = metrics.hits_by_rank(user, rank, relevant.labels(user, item) > 0, len(batch), DEPTH)
            values.setdefault(name, {})[kind] = _per_user(hits, relevant)
            if kind == "repeat":
                shares[name] = metrics.coverage(item, len(holdout.items))
    return Evidence(
        holdout_ms=holdout.as_of_ms,
        horizon_days=config.horizon_days,
        users={kind: int((relevant.counts > 0).sum()) for kind, relevant in truth.items()},
        figures=_intervals(values, None, config, seed),
        differences=_intervals(values, CHALLENGER, config, seed),
        coverage=shares,
        champion=sentence,
        champion_state=state,
        is_finite=finite,
    )


def _holdout_batch(
    holdout: CutInputs, events: pa.Table, config: EvaluationConfig, seed: int
) -> tuple[UserBatch, dict[str, Relevant]]:
    end = holdout.as_of_ms + round(config.horizon_days * DAY_MS)
    pairs = graded_pairs(events, holdout.as_of_ms, end, config.objective)
    came_back = pc.is_in(holdout.users.table["user_id"], value_set=pc.unique(pairs["user_id"]))
    users = UserStates(holdout.users.table.filter(came_back).combine_chunks())
    if not len(users):
        raise InputError(
            f"nobody known at the holdout cut {_day(holdout.as_of_ms)} came back in {config.horizon_days:g} days.",
            "users whose choices can be compared with lists.",
            "Bring more data, or lengthen the horizon.",
        )
    if len(users) > config.max_users:
        drawn = np.random.default_rng((seed, holdout.as_of_ms)).permutation(len(users))[: config.max_users]
        users = users.take(np.sort(drawn))
    batch = UserBatch.read(users, Contexts.at(holdout.as_of_ms, len(users)), holdout.items)
    relevant = relevant_items(pairs, users.user_ids, holdout.items)
    return batch, {"repeat": relevant, "novel": _novel(relevant, batch)}


def _novel(relevant: Relevant, batch: UserBatch) -> Relevant:
    """Only pairs outside the own history."""
    width = len(batch.items)
    owned = batch.history_user * width + batch.history_item
    new = ~np.isin(relevant.user_row * width + relevant.item_index, owned)
    return relevant.take(new)


def _champion_ranker(champion: Bundle | None, ours: Ranker, holdout_ms: int) -> tuple[Ranker | None, str, str]:
    """Who stands for the champion, the sentence that says so, and the state."""
    if champion is None:
        return None, "There is no champion yet.", "none"
    known = f"Champion {champion.version} (as of {_day(champion.manifest.as_of_ms)})"
    if champion.ranker.names != ours.names:
        return None, f"{known} reads other features than this code assembles; it was left out.", "incomparable"
    if champion.manifest.as_of_ms <= holdout_ms:
        return champion.ranker, f"{known} stands for itself: it was trained before the holdout cut.", "compared"
    if champion.rehearsal is None or champion.manifest.rehearsed_until_ms > holdout_ms:
        return None, f"{known} has seen days after the holdout cut and has no rehearsal from before it.", "overlapping"
    until = _day(champion.manifest.rehearsed_until_ms)
    return champion.rehearsal, f"{known} is represented by its rehearsal, trained until {until}.", "compared"


def _scored(
    batch: UserBatch, retriever: Retriever, rankers: Mapping[str, Ranker], novel: bool
) -> dict[str, tuple[Candidates, npt.NDArray[np.float32]]]:
    """Each system's candidates and scores; the rankers share one matrix."""
    first, *others = rankers
    candidates, features, scores = RankingModel(rankers[first], retriever).score_batch(batch, novel=novel)
    found = {first: (candidates, scores)} | {name: (candidates, rankers[name].predict(features)) for name in others}
    for generator in baselines(batch.items):
        simple = Retriever(batch.items, (generator,)).retrieve_batch(batch, DEPTH, novel=novel)
        found[generator.name] = (simple, simple.retrieval_scores[:, 0])
    return found


def _per_user(hits: npt.NDArray[np.bool_], relevant: Relevant) -> dict[str, npt.NDArray[np.float64]]:
    counts = relevant.counts
    kept = counts > 0
    return {name: metric(hits[kept], counts[kept], k) for name, (metric, k) in METRICS.items()}


def _intervals(
    values: Mapping[str, Mapping[str, Mapping[str, npt.NDArray[np.float64]]]],
    against: str | None,
    config: EvaluationConfig,
    seed: int,
) -> Figures:
    """Intervals of every system's metrics, or of `against` minus each other system's."""

    def of(system: str, kind: str, name: str) -> Interval:
        if against is None:
            return metrics.mean_interval(values[system][kind][name], seed, config.draws)
        ours = values[against][kind][name]
        return metrics.paired_interval(ours, values[system][kind][name], seed, config.draws)

    systems: Sequence[str] = [system for system in values if system != against]
    return {
        system: {kind: {name: of(system, kind, name) for name in METRICS} for kind in values[system]}
        for system in systems
    }


def _day(moment_ms: int) -> str:
    return datetime.fromtimestamp(moment_ms / 1000, UTC).strftime("%Y-%m-%d")
