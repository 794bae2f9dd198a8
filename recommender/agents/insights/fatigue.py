"""Fatigue: what one more message gains by how many there were lately and how long ago the last one was.

Who was sent much is not like who was sent little, and both are not like the holdout, who were sent nothing at all. So
each is weighed: people of every count towards all who were written to (by what the policy could read of them), and
people without a message towards them again, in the same run; what is left is compared less what a model of people
without a message expects. It holds if either the weights or that model are right. Counts were not drawn, so what the
features do not tell of people remains.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

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
    play = evidence.in_play
    log = evidence.sending
    assert log is not None
    places = np.searchsorted(np.array(curve.edges), count[play], side="right") - 1
    bins = np.where(log.action == 1, places, -1)
    weights = _weights(evidence, bins, len(curve.edges))
    owner = evidence.owner[play]
    rewards = [evidence.rewards[play]] + ([left[play]] if left.any() else [])
    found = [_gains(evidence, reward, weights, owner) for reward in rewards]
    rows = [
        {
            "label": label,
            "messages": int((bins == place).sum()),
            "gain": found[0][place][0].as_json(),
            "unsubscribes": found[1][place][0].as_json() if len(found) > 1 else None,
        }
        for place, label in enumerate(curve.labels)
    ]
    return {"title": curve.title, "bins": rows, "change": _change(curve, found[0], owner)}


def _gains(
    evidence: Evidence, reward: Floats, weights: Sequence[tuple[Floats, Floats]], owner: Ints
) -> list[tuple[Estimate, Floats]]:
    """For each bin what a message gains over none, and the rows' parts in its error."""
    log = evidence.sending
    assert log is not None
    fold = fold_of(len(owner), FOLDS, evidence.seed, np.unique(owner, return_inverse=True)[1])
    expected = crossfit_rewards(_with_time(evidence), log.action, reward, 2, fold)[:, 0]
    told = []
    for sent, nothing in weights:
        value, parts = weighted_difference(reward - expected, sent, nothing)
        people = len(np.unique(owner[sent > 0]))
        told.append((replace(of_parts(value, parts, owner), people=people, rows=int((sent > 0).sum())), parts))
    return told


def _weights(evidence: Evidence, bins: Ints, n_bins: int) -> list[tuple[Floats, Floats]]:
    """For each bin the weights of its messages and of the rows without one, float64 (rows in play) each."""
    log, play = evidence.sending, evidence.in_play
    assert log is not None
    own = pc.equal(evidence.records["arm"], "agent").to_numpy()[play].astype(np.int64)
    _, owner = np.unique(evidence.owner[play], return_inverse=True)
    fold = fold_of(len(play), FOLDS, evidence.seed + 1, owner)
    contexts, timed = evidence.contexts[play], _with_time(evidence)

    def chance(of: npt.NDArray[np.bool_], seen: npt.NDArray[np.float32]) -> Floats:
        """Of being in `of`, had the person been the agent's."""
        return np.clip(crossfit_rewards(seen, own, of.astype(np.float64), 2, fold)[:, 1], RAREST, 1.0)

    sent, found = chance(bins >= 0, contexts), []
    for place in range(n_bins):
        inside = bins == place
        if not inside.any():
            found.append((np.zeros(len(play)), np.zeros(len(play))))
            continue
        alike = np.minimum(sent / chance(inside, contexts), WEIGHTIEST)
        nothing = np.where(log.action == 0, alike * chance(inside, timed) / log.propensity, 0.0)
        found.append((np.where(inside, alike, 0.0), nothing))
    return found


def _with_time(evidence: Evidence) -> npt.NDArray[np.float32]:
    """The contexts of the rows in play, and in which run they are."""
    _, run = np.unique(evidence.decided_ms, return_inverse=True)
    return np.column_stack([evidence.contexts, run.astype(np.float32)])[evidence.in_play]


def _change(curve: _Curve, found: list[tuple[Estimate, Floats]], owner: Ints) -> dict[str, Any] | None:
    """What the last known bin gains less than the first."""
    known = [place for place, (own, _) in enumerate(found) if own.is_known]
    if len(known) < 2:
        return None
    first, last = known[0], known[-1]
    value = found[last][0].value - found[first][0].value
    own = of_parts(value, found[last][1] - found[first][1], owner)
    proven = own.pvalue <= ALPHA
    return {"from": curve.labels[first], "to": curve.labels[last], **own.as_json(), "is_proven": proven}


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
