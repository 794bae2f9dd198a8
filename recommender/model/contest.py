"""Challenger against champion over several past weeks, person by person. Who wins is decided in `promotion`.

One week of a small shop says little: with 700 people a week a drop of 5 % hides in the noise. So both sides
are judged on up to four past cuts, each by a ranker that had not seen that cut's future, a person's weeks
drawn together in the bootstrap.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from recommender.cuts import CutInputs
from recommender.model.bundle import Bundle
from recommender.model.holdout import KINDS, KPI_METRICS, Holdout, Measured
from recommender.model.metrics import Interval, intervals
from recommender.model.ranker import Ranker

__all__ = ["CONTEST_METRICS", "Contest", "StandIn", "Trial", "Week", "contest", "standing_in"]

CONTEST_METRICS = ("ndcg@10", "ndcg@20", "recall@20", *KPI_METRICS.values())


@dataclass(frozen=True)
class StandIn:
    """A ranker that represents a model on past days: it has seen no event at or after `until_ms`."""

    ranker: Ranker
    until_ms: int


@dataclass(frozen=True)
class Trial:
    """The challenger's recipe trained on horizons that ended weeks ago, and the `cuts` since then to judge it at.

    The cuts, read one at a time, lie at or after `until_ms` and before the holdout cut.
    """

    stand_in: StandIn
    cuts: Iterable[CutInputs]


@dataclass(frozen=True)
class Week:
    """One judged cut: who was compared, and each side's figures by kind."""

    holdout: Holdout
    ours: Mapping[str, Measured]
    theirs: Mapping[str, Measured]


@dataclass(frozen=True)
class Contest:
    """Pooled over `cuts_ms`: challenger − champion, the champion's mean, and how many person-weeks had a value."""

    cuts_ms: tuple[int, ...]
    users: int
    person_weeks: Mapping[str, Mapping[str, int]]
    champion: Mapping[str, Mapping[str, float]]
    differences: Mapping[str, Mapping[str, Interval]]


def standing_in(champion: Bundle, ours: StandIn) -> StandIn | None:
    """The champion's newest ranker that is no fresher than the challenger's stand-in; None when all are.

    So both have learnt until about the same day, and neither from what it is judged on.
    """
    facts = champion.manifest
    known = [
        StandIn(champion.ranker, facts.as_of_ms),
        *([StandIn(champion.rehearsal, facts.rehearsed_until_ms)] if champion.rehearsal else []),
        *([StandIn(champion.trial, facts.trial_until_ms)] if champion.trial else []),
    ]
    return next((one for one in known if one.until_ms <= ours.until_ms), None)


def contest(weeks: Sequence[Week], seed: int, draws: int, confidence: float) -> Contest:
    """Pool the weeks; every week has the same metrics."""
    ids = [week.holdout.batch.users.texts("user_id") for week in weeks]
    coded = pa.chunked_array(ids).combine_chunks().dictionary_encode()
    owner = coded.indices.to_numpy().astype(np.int64)
    keys = [(kind, name) for kind in KINDS for name in CONTEST_METRICS]
    ours, theirs = (
        np.column_stack([np.concatenate([getattr(week, side)[kind][name] for week in weeks]) for kind, name in keys])
        for side in ("ours", "theirs")
    )
    found = intervals(ours - theirs, seed, draws, confidence, owner)
    held = (~np.isnan(theirs)).sum(axis=0).tolist()
    return Contest(
        tuple(sorted(week.holdout.cut.as_of_ms for week in weeks)),
        len(coded.dictionary),
        _nested(keys, held),
        _nested(keys, [_mean(theirs[:, place]) for place in range(len(keys))]),
        _nested(keys, found),
    )


def _nested(keys: Sequence[tuple[str, str]], values: Sequence[Any]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for (kind, name), value in zip(keys, values, strict=True):
        found.setdefault(kind, {})[name] = value
    return found


def _mean(values: npt.NDArray[np.float64]) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else 0.0
