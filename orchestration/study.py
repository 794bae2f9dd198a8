"""The study of the latest challenger: refits that say what each part is worth and what age costs, kept and reported."""

from __future__ import annotations

from collections.abc import Callable

from orchestration.past import cut_inputs, ended_cuts, events_since
from orchestration.progress import telling
from orchestration.reports import keep, write_report
from orchestration.resources import Ring
from orchestration.tables import read_horizon_ms
from recommender.errors import InputError, NotReadyError
from recommender.events import DAY_MS
from recommender.model.bundle import verify_bundle
from recommender.model.features import feature_names
from recommender.model.holdout import KINDS
from recommender.model.ranker import RankerConfig
from recommender.model.staleness import cuts_of_ages
from recommender.model.study import Study, StudyConfig, study
from recommender.model.training_set import TrainingSet
from recommender.retrieval.families import GENERATORS

__all__ = ["study_challenger", "study_lines"]

AGES_DAYS = (0.0, 7.0, 30.0)
TOLD = "ndcg@10"


def study_challenger(ring: Ring, tell: Callable[[str], None]) -> Study:
    """Refit the challenger's rehearsal without its parts and with older ones; the page of the evaluation gets both."""
    space = ring.workspace
    folder = space.models / "challenger"
    if not folder.exists():
        raise NotReadyError(
            f"no challenger in {space.models}.",
            "a model to study.",
            "run `nextbest run --source NAME --path DIR` first.",
        )
    manifest, training = verify_bundle(folder), TrainingSet.load(space.training)
    parameters = manifest.tuning.get("parameters", {})
    is_of_this_code = training.names == feature_names(GENERATORS) and parameters.keys() <= vars(RankerConfig()).keys()
    if training.summary() != manifest.training or not is_of_this_code:
        raise InputError(
            f"a training set that is not that of challenger {manifest.version}, or one of earlier code.",
            "the slates that the challenger has learnt from, with the features of this code.",
            "materialise the challenger again (job `retrain`).",
        )
    cuts = ended_cuts(space)
    holdout_ms = cuts[-1]
    older = [cut_inputs(ring, cut) for cut in cuts_of_ages(cuts, holdout_ms, AGES_DAYS)[1:]]
    found = study(
        training.until(holdout_ms),
        cut_inputs(ring, holdout_ms),
        older,
        events_since(space, holdout_ms),
        RankerConfig(**parameters, rounds=manifest.ranker["rounds"]),
        config=StudyConfig(
            read_horizon_ms(space) / DAY_MS,
            rows=ring.study_rows,
            rounds=ring.study_rounds,
            objective=training.objective,
        ),
        seed=ring.seed,
        progress=telling(tell),
    )
    keep(space, "study", manifest.version, found.as_json())
    write_report(space)
    return found


def study_lines(found: Study) -> dict[str, dict[str, str]]:
    """The findings as figures with intervals: what is lost without each part, and by age."""
    told: dict[str, dict[str, str]] = {}
    for kind in KINDS:
        ablation = found.ablation
        left_out = {"generator": ablation.generators, "family": ablation.families, "group": ablation.groups}
        for name, parts in left_out.items():
            told[f"{kind} {TOLD} lost without a {name}"] = {part: str(own[kind][TOLD]) for part, own in parts.items()}
        if found.staleness:
            ages = [f"{age:.3g} days" for age in found.staleness.ages_days]
            told[f"{kind} {TOLD} change with age"] = {
                f"{curve}, {age}": str(value[kind][TOLD])
                for curve, values in found.staleness.lost.items()
                for age, value in zip(ages, values, strict=True)
            }
    return told
