"""What each decision earned, and the bandit logs that follow from it. No policy is fitted here.

A decision earns what its person did in the goal's window after it, whether a message was sent or not: so sending and
not sending are measured by the same clock. A decision whose window has not closed is left out, whatever came so far:
early outcomes are those of quick people, and a log that holds only some of a day's outcomes would favour them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recommender.agents.agent import NOTHING, Agent, Goal
from recommender.agents.context import from_json, varying
from recommender.decision.logged.bandit_log import BanditLog
from recommender.decision.logged.columns import ColumnChoice
from recommender.events import DAY_MS

__all__ = [
    "AGENT_OUTCOME_SCHEMA", "MESSAGE", "MICROS", "GoalEvents", "closed", "costs_of", "goal_events", "message_log",
    "outcomes_of", "rewards_of", "sending_log", "to_log", "window_log",
]  # fmt: skip

# Grain: one decision whose window has closed.
AGENT_OUTCOME_SCHEMA = pa.schema(
    [
        ("decision_id", pa.string()),
        ("agent", pa.string()),
        ("user_id", pa.string()),
        ("decided_at", pa.timestamp("ms")),
        ("closed_at", pa.timestamp("ms")),  # the end of the goal's window
        ("earned", pa.float64()),  # in units of the goal's value
        ("cost", pa.float64()),  # of the message, and of its offer where something wanted followed
        ("reward", pa.float64()),  # earned less cost: what the agent learns from
        ("is_wanted", pa.bool_()),  # whether an outcome of positive weight came
    ]
)
MESSAGE = "message"  # the action of saying anything at all
MICROS = 1_000_000

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


def closed(records: pa.Table, goal: Goal, now_ms: int) -> pa.Table:
    """The decisions whose window had closed by then, in the order of moment and id."""
    last = pa.scalar(now_ms - round(goal.window_days * DAY_MS), pa.int64())
    kept = records.filter(pc.less_equal(records["decided_at"].cast(pa.int64()), last))
    return kept.sort_by([("decided_at", "ascending"), ("decision_id", "ascending")])


def rewards_of(agent: Agent, records: pa.Table, events: pa.Table) -> Floats:
    """float64 (n): the goal's value of each decision, costs taken off. `events` in EVENT_SCHEMA, or these columns of
    it: user_id, event_type, occurred_at, quantity, price_micros.

    An offer costs where it was sent and something wanted followed.
    """
    earned, wanted = _earned(agent.goal, records, events)
    return np.asarray(earned - costs_of(agent, records, wanted))


def outcomes_of(agent: Agent, records: pa.Table, events: pa.Table, now_ms: int) -> pa.Table:
    """What each decision whose window had closed at `now_ms` earned, in AGENT_OUTCOME_SCHEMA; `reward` is to the bit
    what `rewards_of` says.
    """
    records = closed(records, agent.goal, now_ms)
    earned, wanted = _earned(agent.goal, records, events)
    cost = costs_of(agent, records, wanted)
    ends = records["decided_at"].cast(pa.int64()).to_numpy() + round(agent.goal.window_days * DAY_MS)
    return pa.table(
        {
            **{name: records[name] for name in ("decision_id", "agent", "user_id", "decided_at")},
            "closed_at": pa.array(ends).cast(pa.timestamp("ms")),
            "earned": earned,
            "cost": cost,
            "reward": earned - cost,
            "is_wanted": wanted,
        }
    ).cast(AGENT_OUTCOME_SCHEMA)


def _earned(goal: Goal, records: pa.Table, events: pa.Table) -> tuple[Floats, Mask]:
    people = pc.unique(records["user_id"])
    users = pc.index_in(records["user_id"], value_set=people).to_numpy().astype(np.int64)
    moments = records["decided_at"].cast(pa.int64()).to_numpy()
    return goal_events(goal, events, people).within(users, moments, goal.window_days)


def costs_of(agent: Agent, records: pa.Table, wanted: Mask) -> Floats:
    """float64 (n): what each decision cost: its message, and its offer where something `wanted` followed."""
    cost, offer = (np.zeros(len(records)) for _ in range(2))
    for action in agent.actions:
        sent = pc.equal(records["action"], action.name).to_numpy()
        cost[sent], offer[sent] = action.cost, action.offer_cost
    return np.asarray(cost + np.where(wanted, offer, 0.0))


def message_log(agent: Agent, records: pa.Table, rewards: Floats) -> BanditLog | None:
    """Which message earns most once one is sent: the agent's own people who were written to; the propensity is that of
    the action. None where fewer than two actions were sent.
    """
    names = tuple(action.name for action in agent.actions)
    return _factor_log(records, rewards, names, "action", "action_propensity")


def window_log(agent: Agent, records: pa.Table, rewards: Floats) -> BanditLog | None:
    """Which window earns most, of the same people; the propensity is that of the window."""
    names = tuple(window.name for window in agent.timing.windows)
    return _factor_log(records, rewards, names, "send_window", "window_propensity")


def _factor_log(
    records: pa.Table, rewards: Floats, names: tuple[str, ...], column: str, propensity: str
) -> BanditLog | None:
    own = _rows(records, pc.and_(pc.equal(records["arm"], "agent"), pc.not_equal(records["action"], NOTHING)))
    codes = _codes(records[column].take(own), names)
    own, codes = own[codes >= 0], codes[codes >= 0]  # what the file no longer has is history
    return _log(records, own, names, codes, rewards[own], records[propensity].to_numpy()[own])


def sending_log(records: pa.Table, rewards: Floats) -> BanditLog | None:
    """Whether a message earns more than none: the agent's people and the holdout, as the one experiment they are.

    The propensity of nothing is (holdout + agent × (1 − send share)) / (holdout + agent). Only people whom the
    guardrails left something are in it: for all others there was no choice. None where one of both never happened.
    """
    arm = records["arm"]
    in_play = pc.and_(pc.is_in(arm, value_set=pa.array(["agent", "holdout"])), pc.is_valid(records["send_share"]))
    rows = _rows(records, in_play)
    # A decision's own arm has its share in the record; that of the other follows from any other of the same file.
    agents, holdouts = (_arm_share(records, name)[rows] for name in ("agent", "holdout"))
    agents = agents / np.maximum(agents + holdouts, 1e-12)
    sent = agents * records["send_share"].to_numpy()[rows]
    codes = (pc.not_equal(records["action"], NOTHING)).to_numpy()[rows].astype(np.int64)
    chances = np.where(codes == 1, sent, 1.0 - sent)
    return _log(records, rows, (NOTHING, MESSAGE), codes, rewards[rows], chances)


def to_log(agent: Agent, records: pa.Table, rewards: Floats) -> BanditLog | None:
    """The same experiment with every message an action of its own and "nothing" one more: what `nextbest policy` reads.
    Propensities are those of `sending_log` × those of the action.
    """
    names = (*(action.name for action in agent.actions), NOTHING)
    plain = sending_log(records, rewards)
    if plain is None:
        return None
    in_play = pc.is_in(records["arm"], value_set=pa.array(["agent", "holdout"]))
    rows = _rows(records, pc.and_(in_play, pc.is_valid(records["send_share"])))
    codes = _codes(records["action"].take(rows), names)
    chances = plain.propensity * records["action_propensity"].to_numpy()[rows]
    kept = codes >= 0
    return _log(records, rows[kept], names, codes[kept], plain.reward[kept], chances[kept])


@dataclass(frozen=True)
class GoalEvents:
    """What people did that the goal counts, by person and time: `who` int64 (m), a place among the people; `at_ms`
    int64 (m); `micros` int64 (m), millionths of the goal's value; `wanted` whether its weight is positive.
    """

    who: Ints
    at_ms: Ints
    micros: Ints
    wanted: Mask

    def within(self, users: Ints, moments: Ints, days: float) -> tuple[Floats, Mask]:
        """What came in (moment, moment + days] of each of `users`: its value, and whether anything was wanted."""
        # Sums of whole micros are exact, so a decision that nothing followed earns 0 and not 1e-13.
        sums, good = (np.concatenate([[0], np.cumsum(part)]) for part in (self.micros, self.wanted.astype(np.int64)))
        first = _places(self.who, self.at_ms, users, moments)
        last = _places(self.who, self.at_ms, users, moments + round(days * DAY_MS))
        return (sums[last] - sums[first]) / MICROS, good[last] > good[first]


def goal_events(goal: Goal, events: pa.Table, people: pa.Array) -> GoalEvents:
    """The events of these people that the goal counts; `events` as in `rewards_of`."""
    known = pc.and_(
        pc.is_in(events["event_type"], value_set=pa.array(list(goal.outcomes))),
        pc.is_in(events["user_id"], value_set=people),
    )
    events = events.filter(known)
    who = pc.index_in(events["user_id"], value_set=people).to_numpy().astype(np.int64)
    at = events["occurred_at"].cast(pa.int64()).to_numpy()
    places = pc.index_in(events["event_type"], value_set=pa.array(list(goal.outcomes))).to_numpy()
    weights = np.array(list(goal.outcomes.values()))[places.astype(np.int64)]
    order = np.lexsort((at, who))
    who, at, weights = who[order], at[order], weights[order]
    micros = np.round(weights * _amounts(goal, events)[order] * MICROS).astype(np.int64)
    return GoalEvents(who, at, micros, weights > 0)


def _places(who: Ints, at: Ints, users: Ints, moments: Ints) -> Ints:
    """int64 (n): how many events come, ordered by person and time, up to each person's moment, it included."""
    start = min(int(at.min(initial=0)), int(moments.min(initial=0)))
    span = int(at.max(initial=0)) - start + 1
    wanted = users * span + np.minimum(moments - start, span - 1)  # later moments have all of the person's events
    return np.searchsorted(who * span + (at - start), wanted, side="right").astype(np.int64)


def _amounts(goal: Goal, events: pa.Table) -> Floats:
    if goal.value == "count":
        return np.ones(len(events))
    price = pc.fill_null(events["price_micros"], 0).to_numpy() / MICROS
    return np.asarray(price * pc.fill_null(events["quantity"], 1).to_numpy())


def _arm_share(records: pa.Table, arm: str) -> Floats:
    """float64 (n): the share that an arm had by the file that each row was decided by; 0 where nobody of it was in it.

    By file and not by run: in the moment a run is one person, who is in one arm.
    """
    version = records["agent_version"].combine_chunks().dictionary_encode().indices.to_numpy()
    own = pc.equal(records["arm"], arm).to_numpy()
    shares = np.zeros(int(version.max(initial=-1)) + 1)
    shares[version[own]] = records["arm_share"].to_numpy()[own]
    return np.asarray(shares[version])


def _rows(records: pa.Table, mask: pa.ChunkedArray) -> Ints:
    return np.flatnonzero(pc.fill_null(mask, False).to_numpy())


def _codes(column: pa.ChunkedArray, names: tuple[str, ...]) -> Ints:
    found = pc.index_in(column, value_set=pa.array(names, pa.string()))
    return np.asarray(pc.fill_null(found, -1).to_numpy(), dtype=np.int64)


def _log(
    records: pa.Table, rows: Ints, names: tuple[str, ...], codes: Ints, rewards: Floats, chances: Floats
) -> BanditLog | None:
    if len(np.unique(codes)) < 2:
        return None
    left_out, features = varying(from_json(records["features"].take(rows)))
    owner = records["user_id"].take(rows).combine_chunks().dictionary_encode().indices.to_numpy().astype(np.int64)
    choice = ColumnChoice(tuple(features.column_names), left_out)
    return BanditLog(names, pa.string(), codes, rewards, chances, features, "value", choice, None, owner)
