"""What each part is worth: the rehearsal refitted without one generator, or without one group of features.

Every refit learns from the same slates in the same number of rounds and is judged on the same people, so
the paired difference is the part's own. Nothing is decided or drawn here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recommender.model.features import assemble, feature_groups
from recommender.model.holdout import KINDS, KPI_METRICS, Holdout, Lists, accuracy
from recommender.model.items import ItemMatrix
from recommender.model.metrics import Interval, intervals
from recommender.model.ranker import RankerConfig, fit_ranker
from recommender.model.training_set import Progress, TrainingSet
from recommender.retrieval.candidates import Candidates
from recommender.retrieval.retriever import Retriever

__all__ = ["STUDY_METRICS", "Ablation", "ablate"]

STUDY_METRICS = ("recall@20", "ndcg@10", *KPI_METRICS.values())

ByKind = Mapping[str, Mapping[str, Interval]]  # kind → metric → interval


@dataclass(frozen=True)
class Ablation:
    """`full`: the figures of the refit with everything; `generators`, `families` of several generators (the modules
    they live in) and `groups` of features: full − without, by what was left out. Above 0 the part helps. `rows` and
    `rounds` are what every refit learnt from."""

    full: ByKind
    generators: Mapping[str, ByKind]
    families: Mapping[str, ByKind]
    groups: Mapping[str, ByKind]
    rows: int
    rounds: int


@dataclass(frozen=True)
class _Variant:
    """What is left out: some columns, and the rows that nobody but some generators (their bits) proposed."""

    dropped: frozenset[str]
    bits: int = 0

    def keeps(self, proposers: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Rows that stay; one whose proposers are unknown was shown, and stays."""
        return np.asarray((proposers == 0) | ((proposers & ~self.bits) != 0))


@dataclass(frozen=True)
class _Field:
    """The candidates of one kind with all their features."""

    candidates: Candidates
    features: npt.NDArray[np.float32]


def ablate(
    training: TrainingSet,
    holdout: Holdout,
    retriever: Retriever,
    ranker: RankerConfig,
    seed: int = 0,
    draws: int = 1_000,
    progress: Progress | None = None,
) -> Ablation:
    """Refit once with everything, then without each generator and each group of features.

    `training` must have been complete by the holdout cut, `ranker` must fix the number of rounds. Without a
    generator, its columns go, and every row and candidate that no other generator proposed.
    """
    assert ranker.rounds, "a fixed number of rounds, or the refits differ in more than what was left out"
    matrix = ItemMatrix.of(retriever.items)
    fields = {}
    for kind in KINDS:
        candidates = retriever.retrieve_batch(holdout.batch, novel=kind == "novel")
        fields[kind] = _Field(candidates, assemble(holdout.batch, matrix, candidates))
    variants = dict(_variants(retriever))
    values = []
    for place, variant in enumerate(variants.values()):
        if progress:
            progress("refits without a part", place, len(variants))
        values.append(_judged(training, holdout, fields, variant, ranker, seed))
    full, *without = values
    found = iter(intervals(np.column_stack([full, *(full - other for other in without)]), seed, draws))
    figures = {name: _by_kind(found) for name in variants}
    return Ablation(
        figures["full"],
        {name: figures[f"generator {name}"] for name in retriever.names},
        {name: figures[f"family {name}"] for name in _families(retriever)},
        {name: figures[f"group {name}"] for name in feature_groups(retriever.names)},
        len(training),
        ranker.rounds,
    )


def _variants(retriever: Retriever) -> Iterator[tuple[str, _Variant]]:
    yield "full", _Variant(frozenset())
    for name in retriever.names:
        yield f"generator {name}", _without(retriever, [name])
    for family, members in _families(retriever).items():
        yield f"family {family}", _without(retriever, members)
    for group, names in feature_groups(retriever.names).items():
        yield f"group {group}", _Variant(frozenset(names))


def _families(retriever: Retriever) -> dict[str, list[str]]:
    """Generators by the module they live in, where it holds several; one alone is shown as itself."""
    found: dict[str, list[str]] = {}
    for generator in retriever.generators:
        found.setdefault(type(generator).__module__.rsplit(".", 1)[-1], []).append(generator.name)
    return {family: members for family, members in found.items() if 1 < len(members) < len(retriever.names)}


def _without(retriever: Retriever, members: Sequence[str]) -> _Variant:
    columns = [(f"retrieval_{name}", f"retrieval_{name}_relative") for name in members]
    bits = sum(1 << retriever.names.index(name) for name in members)
    return _Variant(frozenset(column for pair in columns for column in pair), bits)


def _judged(
    training: TrainingSet,
    holdout: Holdout,
    fields: Mapping[str, _Field],
    variant: _Variant,
    config: RankerConfig,
    seed: int,
) -> npt.NDArray[np.float64]:
    """float64 (n_users, kinds × STUDY_METRICS) of a ranker that never saw what is left out."""
    kept = [name for name in training.names if name not in variant.dropped]
    places = [training.names.index(name) for name in kept]
    learnt = training.take_rows(variant.keeps(training.proposers)) if variant.bits else training
    fitted = fit_ranker(learnt.take_columns(kept), config, seed)
    columns = []
    for kind, field in fields.items():
        rows = np.flatnonzero(variant.keeps(field.candidates.proposers))
        scores = fitted.predict(np.ascontiguousarray(field.features[rows][:, places]))
        lists = Lists.best(field.candidates.user_row[rows], field.candidates.item_index[rows], scores)
        found = accuracy(lists, holdout.truths[kind])
        columns += [found[name] for name in STUDY_METRICS]
    return np.column_stack(columns)


def _by_kind(found: Iterator[Interval]) -> ByKind:
    return {kind: {name: next(found) for name in STUDY_METRICS} for kind in KINDS}
