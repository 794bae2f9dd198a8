"""Fatigue: what one more message gains by how many there were lately and how long ago the last one was.

An agent learns, so messages of later days are better ones, and come when there were more before. Therefore only
messages of the same run are compared, and people of each count are weighed to be like all who were written to, as far
as the policy could read them. What nobody drew and no feature tells of people remains.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from recommender.agents.agent import Goal
from recommender.agents.attribution import rewards_of
from recommender.agents.insights.estimates import Estimate, of_parts, weighted_difference
from recommender.agents.insights.evidence import Evidence
from recommender.decision.logged.reward_model import crossfit_rewards, fold_of
from recommender.events import DAY_MS

__all__ = ["UNSUBSCRIBE", "fatigue"]

UNSUBSCRIBE = "unsubscribe"
HOUR_MS = 3_600_000
FOLDS = 3
RAREST = 0.02  # a count that people like this hardly ever have: their weight ends at 50 times a common one's
WEIGHTIEST = 10.0
ALPHA = 0.05

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class _Curve:
    """What is counted (`title`), and the least count of each bin; `labels` say them."""

    title: str
    edges: tuple[float, ...]
    labels: tuple[str, ...]


WEEK = _Curve("messages in the 7 days before", (0, 1, 2, 3, 4), ("0", "1", "2", "3", "4 or more"))
MONTH = _Curve("messages in the 30 days before", (0, 1, 3, 6, 10), ("0", "1–2", "3–5", "6–9", "10 or more"))
PAUSE = _Curve(
    "hours since the last message",
    (0, 24, 48, 96, 168),
    ("under 24", "24–48", "48–96", "96–168", "168 or more, or none"),
)


def fatigue(evidence: Evidence, sends: pa.Table, events: pa.Table) -> list[dict[str, Any]]:
    """A curve each for the messages of 7 and of 30 days and for the hours since the last: for each bin the `gain` of a
    message and the `unsubscribes` it brings (both over no message), and `change`, of the gain from the first bin to the
    last with evidence. `sends` in SEND_SCHEMA, by whichever agent; `events` with the unsubscribes among them."""
    if evidence.sending is None or not (evidence.sending.action == 0).any():
        return []
    week, month, hours = _lately(evidence, sends)
    leaving = Goal({UNSUBSCRIBE: 1.0}, window_days=evidence.agent.goal.window_days)
    free = tuple(replace(action, cost=0.0, offer_cost=0.0) for action in evidence.agent.actions)
    left = np.minimum(rewards_of(replace(evidence.agent, goal=leaving, actions=free), evidence.records, events), 1.0)
    counted = ((WEEK, week), (MONTH, month), (PAUSE, hours))
    return [_curve(evidence, curve, count, left) for curve, count in counted]


def _curve(evidence: Evidence, curve: _Curve, count: Floats, left: Floats) -> dict[str, Any]:
    log, play = evidence.sending, evidence.in_play
    assert log is not None
    bins = np.where(log.action == 1, np.searchsorted(np.array(curve.edges), count[play], side="right") - 1, -1)
    design = _Design.of(evidence, bins, len(curve.edges))
    gains = _gains(evidence, design, evidence.rewards)
    leaving = _gains(evidence, design, left) if left[play].any() else None
    rows = [
        {
            "label": label,
            "messages": int((bins == place).sum()),
            "gain": gains[place].estimate.as_json(),
            "unsubscribes": None if leaving is None else leaving[place].estimate.as_json(),
        }
        for place, label in enumerate(curve.labels)
    ]
    return {"title": curve.title, "bins": rows, "change": _change(curve, gains, evidence.owner[play])}


@dataclass(frozen=True)
class _Design:
    """Of the rows in play: `bins` int64 (n), −1 for those without a message or whose count never stood beside another
    in one run; `run` int64 (n); `weight` float64 (n)."""

    bins: Ints
    run: Ints
    weight: Floats
    n_bins: int

    @classmethod
    def of(cls, evidence: Evidence, bins: Ints, n_bins: int) -> _Design:
        play = evidence.in_play
        _, run = np.unique(evidence.decided_ms[play], return_inverse=True)
        kept = _beside_each_other(bins, run, n_bins)
        bins = np.where(np.isin(bins, kept), bins, -1)
        rows = np.flatnonzero(bins >= 0)
        _, owner = np.unique(evidence.owner[play[rows]], return_inverse=True)
        fold = fold_of(len(rows), FOLDS, evidence.seed + 1, owner)
        contexts, alone, weight = evidence.contexts[play[rows]], np.zeros(len(rows), np.int64), np.zeros(len(play))
        for place in kept:
            inside = bins[rows] == place
            chance = crossfit_rewards(contexts, alone, inside.astype(np.float64), 1, fold)[:, 0]
            alike = inside.mean() / np.clip(chance, RAREST, 1.0)
            weight[rows[inside]] = np.minimum(alike, WEIGHTIEST)[inside]
        return cls(bins, run, weight, n_bins)


class _Gain(NamedTuple):
    """An estimate, and what each row in play adds to its error."""

    estimate: Estimate
    parts: Floats


def _gains(evidence: Evidence, design: _Design, rewards: Floats) -> list[_Gain]:
    """For each bin what a message gains over none: the mean of all, and by how much the bin differs from them within
    runs (weighted least squares on bins with an intercept for each run, errors by person)."""
    log, play, n_bins = evidence.sending, evidence.in_play, design.n_bins
    assert log is not None
    reward, owner = rewards[play], evidence.owner[play]
    _, person = np.unique(owner, return_inverse=True)
    fold = fold_of(len(play), FOLDS, evidence.seed, person)
    timed = np.column_stack([evidence.contexts[play], design.run.astype(np.float32)])
    left = reward - crossfit_rewards(timed, log.action, reward, 2, fold)[:, 0]
    mean, mean_parts = weighted_difference(left, design.weight, (log.action == 0) / log.propensity)
    slopes, slope_parts = _within_runs(design, left)
    share = np.bincount(design.bins[design.bins >= 0], weights=design.weight[design.bins >= 0], minlength=n_bins)
    share = share / max(share.sum(), 1e-12)
    found = []
    for place in range(n_bins):
        own = design.bins == place
        contrast = (np.arange(n_bins) == place) - share
        value = mean + float(contrast @ slopes) if own.any() else float("nan")
        parts = mean_parts + slope_parts @ contrast
        people = len(np.unique(owner[own]))
        found.append(_Gain(replace(of_parts(value, parts, owner), people=people, rows=int(own.sum())), parts))
    return found


def _within_runs(design: _Design, values: Floats) -> tuple[Floats, Floats]:
    """By how much bins differ within runs, up to a constant, float64 (bins), and each row's part in the error, (n,
    bins)."""
    rows = np.flatnonzero(design.bins >= 0)
    parts = np.zeros((len(values), design.n_bins))
    if not len(rows):
        return np.zeros(design.n_bins), parts
    weight, run = design.weight[rows], design.run[rows]
    dummies = (design.bins[rows][:, None] == np.arange(design.n_bins)).astype(np.float64)
    centred = np.column_stack([dummies, values[rows]])
    total = np.maximum(np.bincount(run, weights=weight), 1e-12)
    for column in range(centred.shape[1]):
        centred[:, column] -= (np.bincount(run, weights=weight * centred[:, column]) / total)[run]
    within, answer = centred[:, :-1], centred[:, -1]
    inverse = np.linalg.pinv((within * weight[:, None]).T @ within)
    slopes = inverse @ (within * weight[:, None]).T @ answer
    parts[rows] = (within * (weight * (answer - within @ slopes))[:, None]) @ inverse
    return slopes, parts


def _beside_each_other(bins: Ints, run: Ints, n_bins: int) -> Ints:
    """Bins that share runs with each other, directly or through third ones: the group with the most messages. Of any
    other nothing can be told but that it was another time."""
    counts = np.zeros((int(run.max(initial=-1)) + 1, n_bins), np.int64)
    np.add.at(counts, (run[bins >= 0], bins[bins >= 0]), 1)
    both = (counts[:, :, None] > 0) & (counts[:, None, :] > 0)
    _, group = connected_components(csr_matrix(both.any(axis=0)), directed=False)
    sizes = np.bincount(group, weights=counts.sum(axis=0))
    kept = np.flatnonzero((group == sizes.argmax()) & (counts.sum(axis=0) > 0))
    return kept if len(kept) > 1 else np.zeros(0, np.int64)


def _change(curve: _Curve, found: list[_Gain], owner: Ints) -> dict[str, Any] | None:
    """What a message gains in the last known bin less what it does in the first."""
    known = [place for place, own in enumerate(found) if own.estimate.is_known]
    if len(known) < 2:
        return None
    first, last = found[known[0]], found[known[-1]]
    own = of_parts(last.estimate.value - first.estimate.value, last.parts - first.parts, owner)
    labels = {"from": curve.labels[known[0]], "to": curve.labels[known[-1]]}
    return {**labels, **own.as_json(), "is_proven": own.pvalue <= ALPHA}


def _lately(evidence: Evidence, sends: pa.Table) -> tuple[Floats, Floats, Floats]:
    """For each row with a message: messages in the 7 and in the 30 days before it, and hours since the last one, 168
    where there was none in a week; float64 (n), NaN for rows without a message."""
    people = pc.unique(evidence.records["user_id"])
    who = pc.index_in(sends["user_id"], value_set=people)
    sends = sends.filter(pc.is_valid(who))
    who, at = who.drop_null().to_numpy().astype(np.int64), sends["send_at"].cast(pa.int64()).to_numpy()
    order = np.lexsort((at, who))
    who, at = who[order], at[order]
    rows = np.flatnonzero(evidence.is_sent)
    moment = evidence.records["send_at"].cast(pa.int64()).take(pa.array(rows)).to_numpy()
    user = pc.index_in(evidence.records["user_id"].take(pa.array(rows)), value_set=people).to_numpy().astype(np.int64)
    before = _earlier(who, at, user, moment)
    found = []
    for days in (7, 30):
        found.append(before - _earlier(who, at, user, moment - days * DAY_MS))
    place = np.maximum(before - 1, 0)
    has = (before > 0) & (who[place] == user) if len(who) else np.zeros(len(rows), bool)
    pause = np.where(has, (moment - at[place]) / HOUR_MS if len(who) else 0.0, 168.0)
    told = []
    for values in (*found, pause):
        whole = np.full(len(evidence), np.nan)
        whole[rows] = values
        told.append(whole)
    return told[0], told[1], told[2]


def _earlier(who: Ints, at: Ints, user: Ints, moment: Ints) -> Ints:
    """int64 (n): how many messages, ordered by person and time, come before each person's moment."""
    start = min(int(at.min(initial=0)), int(moment.min(initial=0)))
    span = max(int(at.max(initial=0)), int(moment.max(initial=0))) - start + 1
    return np.searchsorted(who * span + (at - start), user * span + (moment - start), side="left").astype(np.int64)
