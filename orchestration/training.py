"""From marts to a judged challenger: which cuts are asked for, and in which order the core is called."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import version as installed_version

import dagster as dg
import pyarrow as pa

from orchestration.past import cut_inputs, ended_cuts, events_since
from orchestration.progress import telling
from orchestration.provenance import commit
from orchestration.reports import keep, write_report
from orchestration.resources import Ring
from orchestration.tables import (
    past_cuts_ms,
    read_as_of_ms,
    read_horizon_ms,
    read_mart,
)
from orchestration.tuning import declared_objective, read_tuning, tune
from recommender.configuration import read_configuration
from recommender.cuts import CutInputs
from recommender.errors import GateError, InputError, IntegrityError, NoChampionError
from recommender.events import DAY_MS
from recommender.model.bundle import Bundle, BundleFacts, Manifest, build_bundle, load_bundle
from recommender.model.contest import StandIn, Trial
from recommender.model.evaluation import CHALLENGER, EvaluationConfig, Evidence, evaluate
from recommender.model.past_slates import retrospective_slates
from recommender.model.profile import behaviour_profile
from recommender.model.promotion import Verdict, gate
from recommender.model.ranker import Ranker, RankerConfig, fit_ranker
from recommender.model.scorer import RankingModel
from recommender.model.search import RankerSearch
from recommender.model.served_slates import served_examination, served_slates
from recommender.model.training_set import TrainingConfig, TrainingSet
from recommender.retrieval.retriever import fit_retriever
from recommender.workspace import Workspace
from services.model_store import aliases, bundle_folder, publish, set_alias
from services.release import canary_share, promote

__all__ = [
    "Release",
    "build_training_set",
    "champion_bundle",
    "release",
    "train_challenger",
    "tune_ranker",
    "watch_window",
]

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Release:
    """What became of a challenger: the champion it met, the gate's word and reasons, its figures (mean, low, high).

    `canary_share`: of the people who get a promoted one first; 0 where everybody does."""

    challenger: str
    champion_before: str | None
    is_promoted: bool
    reasons: tuple[str, ...]
    figures: dict[str, tuple[float, float, float]]
    canary_share: float = 0.0


TOLD_METRICS = ("recall@20", "ndcg@10", "mrr@20", "hit@10")  # what Slack hears


def build_training_set(ring: Ring, tell: Tell) -> TrainingSet:
    """Slates of all past cuts whose horizon has ended, and every slate that was served; saved in the workspace."""
    horizon_ms = read_horizon_ms(ring.workspace)
    cuts = ended_cuts(ring.workspace)
    config = TrainingConfig(horizon_days=horizon_ms / DAY_MS, objective=declared_objective(ring.workspace))
    events = events_since(ring.workspace, cuts[0])
    inputs = [cut_inputs(ring, cut) for cut in cuts]
    tell(f"{len(cuts)} past cuts: " + ", ".join(f"{len(cut.users):,} users" for cut in inputs))
    slates = retrospective_slates(inputs, events, config, seed=ring.seed, progress=telling(tell))
    decisions = read_mart(ring.workspace, "decisions")
    examination = served_examination(decisions, events, config.objective.attribution_days)
    tell(f"positions of {len(decisions):,} served slates: {examination.sentence}")
    served = served_slates(decisions, events, slates.names, config, examination)
    training = TrainingSet.concatenate([slates, served]) if len(served) else slates
    training.save(ring.workspace.training)
    return training


def train_challenger(ring: Ring, tell: Tell) -> tuple[Manifest, Evidence, Verdict]:
    """Rehearse on the past, judge the rehearsal on the holdout, then fit on everything and build the bundle.

    Beside the bundle lie `evidence.json` and `verdict.json`, which `release` acts on.
    """
    space = ring.workspace
    as_of_ms, horizon_days = read_as_of_ms(space), read_horizon_ms(space) / DAY_MS
    training = TrainingSet.load(space.training)
    tuning = read_tuning(space, training.objective)
    tell(f"objective {training.objective.name}; parameters: {tuning.origin}")
    cuts = ended_cuts(space)
    holdout_ms = cuts[-1]
    rehearsed = training.until(holdout_ms)
    if not len(rehearsed):
        raise InputError(
            f"no training slate whose {horizon_days:.3g} days had ended by the holdout cut.",
            "people who come back within a quarter of the history, early in it and late: a model is judged on days "
            "that it has not seen.",
            "bring a longer history.",
        )
    rehearsal = fit_ranker(rehearsed, tuning.config, ring.seed, telling(tell))
    found = replace(tuning.config, rounds=rehearsal.rounds)
    trial = _trial(ring, training, cuts, found)
    holdout = cut_inputs(ring, holdout_ms)
    events = events_since(space, trial.stand_in.until_ms if trial else holdout_ms)
    evidence = evaluate(
        holdout,
        events,
        rehearsal,
        champion_bundle(space),
        config=EvaluationConfig(horizon_days=horizon_days, objective=training.objective),
        seed=ring.seed,
        progress=telling(tell),
        trial=trial,
    )
    verdict = gate(evidence)
    tell("fitting on everything")
    # The rehearsal has searched for the number of rounds on days it had not seen; a second search would cost as much.
    ranker = fit_ranker(training, found, ring.seed, telling(tell))
    now = cut_inputs(ring, as_of_ms)
    model = RankingModel(ranker, fit_retriever(now, seed=ring.seed))
    facts = BundleFacts(
        as_of_ms=as_of_ms,
        data_fingerprint=_data_fingerprint(space),
        commit=commit(),
        code_version=installed_version("nextbest"),
        metrics=evidence.headline,
        training=training.summary(),
        rehearsed_until_ms=holdout_ms,
        trial_until_ms=trial.stand_in.until_ms if trial else 0,
        objective=training.objective.as_json(),
        tuning=tuning.as_json(),
    )
    reference = _profile(rehearsal, holdout, events, as_of_ms, ring)
    spare = trial.stand_in.ranker if trial else None
    manifest = build_bundle(space.models / "challenger", model, now.users, facts, reference, rehearsal, spare)
    keep(space, "evidence", manifest.version, evidence.as_json())
    keep(space, "verdict", manifest.version, verdict.as_json())
    write_report(space)
    return manifest, evidence, verdict


def tune_ranker(ring: Ring, tell: Tell) -> RankerSearch:
    """Search the ranker's parameters on slates from before the first cut that a challenger is judged by."""
    cuts = ended_cuts(ring.workspace)
    return tune(
        ring.workspace, cuts[-1 - _judged_before_holdout(ring, cuts)], ring.tune_trials, ring.seed, telling(tell)
    )


def _judged_before_holdout(ring: Ring, cuts: list[int]) -> int:
    """How many cuts before the holdout judge a trial: half of the past stays for training."""
    return max(0, min(ring.trial_cuts, (len(cuts) - 2) // 2))


def _trial(ring: Ring, training: TrainingSet, cuts: list[int], config: RankerConfig) -> Trial | None:
    """The recipe as it would have been trained up to three cuts before the holdout, and those cuts. None for a
    short past."""
    back = _judged_before_holdout(ring, cuts)
    if back < 1:
        return None
    until, *judged = cuts[-1 - back : -1]
    learnt = training.until(until)
    if not (learnt.label > 0).any():
        return None
    ranker = fit_ranker(learnt, config, ring.seed)
    return Trial(StandIn(ranker, until), (cut_inputs(ring, cut) for cut in (until, *judged)))


def release(workspace: Workspace) -> Release:
    """Publish the challenger, and make it champion when the gate said so."""
    before = aliases(workspace).get("champion")
    version = publish(workspace, workspace.models / "challenger")
    verdict, evidence = (
        json.loads((workspace.models / f"{name}.json").read_text()) for name in ("verdict", "evidence")
    )
    if verdict["version"] != version:
        raise IntegrityError(
            f"a verdict on {verdict['version']} beside the challenger {version}.",
            "the verdict that was reached on this very bundle.",
            "materialise the challenger again.",
        )
    set_alias(workspace, "challenger", version)
    is_promoted, reasons = bool(verdict["promote"]), tuple(verdict["reasons"])
    if is_promoted:
        share = read_configuration(workspace.configuration).release.canary_share
        try:
            promote(workspace, version, share, by="gate", retry=False)
        except GateError as problem:
            is_promoted, reasons = False, (*reasons, f"The gate let it pass, but {problem.found}")
    measured = evidence["figures"][CHALLENGER]
    figures = {
        f"{kind} {metric}": (found["mean"], found["low"], found["high"])
        for kind, metrics in measured.items()
        for metric, found in metrics.items()
        if metric in TOLD_METRICS
    }
    return Release(version, before, is_promoted, reasons, figures, canary_share(workspace)[1] if is_promoted else 0.0)


def champion_bundle(workspace: Workspace) -> Bundle | None:
    """The champion, loaded and verified; None before there is one.

    None as well for one that this code cannot load (corrupt, or of an earlier version): it must not stand in the
    way of its successor. The service keeps what it has loaded, and says so itself.
    """
    try:
        return load_bundle(bundle_folder(workspace, "champion"))
    except NoChampionError:
        return None
    except IntegrityError as problem:
        dg.get_dagster_logger().warning(f"the champion is left out: {problem}")
        return None


def watch_window(ring: Ring, champion: Bundle) -> pa.Table | None:
    """How people behaved in the window before the cut, as the champion's recipe sees it; None without its parts.

    The reference in the bundle was made the same way: the rehearsal over a retriever of the window's start.
    """
    as_of_ms = read_as_of_ms(ring.workspace)
    start_ms = as_of_ms - read_horizon_ms(ring.workspace)
    if champion.rehearsal is None or start_ms not in past_cuts_ms(ring.workspace):
        return None
    start = cut_inputs(ring, start_ms)
    return _profile(champion.rehearsal, start, events_since(ring.workspace, start_ms), as_of_ms, ring)


def _profile(ranker: Ranker, start: CutInputs, events: pa.Table, as_of_ms: int, ring: Ring) -> pa.Table:
    model = RankingModel(ranker, fit_retriever(start, seed=ring.seed))
    days = (as_of_ms - start.as_of_ms) / DAY_MS
    return behaviour_profile(model, start.users, start.items, events, as_of_ms, days, seed=ring.seed)


def _data_fingerprint(workspace: Workspace) -> str:
    """sha256 over the marts that a bundle was made of; they are the same bytes for the same input."""
    digest = hashlib.sha256()
    read = ("events", "items", "users", "decisions", "user_states", "item_states", "item_pairs", "item_segments")
    for name in read:
        digest.update(hashlib.sha256(workspace.mart(name).read_bytes()).digest())
    return digest.hexdigest()
