"""An agent's own experiment as a table: who was in which arm, and what each person was worth since. No arm is compared
here (`experiments.readout`).

Intention to treat: people count for the arm they were assigned to from their first decision on, whether or not anything
was sent. So what is compared is the agent as a whole: messages, hours and restraint.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recommender.agents.agent import Agent
from recommender.agents.attribution import MICROS, GoalEvents, costs_of, goal_events
from recommender.agents.context import from_json
from recommender.errors import NotReadyError
from recommender.events import DAY_MS
from recommender.experiments.experiment_table import LEVELS, ExperimentColumns

__all__ = ["TRIAL_COLUMNS", "Trial", "TrialConfig", "trial_of"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

OWN_COLUMNS = ("user_id", "arm", "value", "before", "day")
# Of the records, what an experiment needs.
TRIAL_COLUMNS = ("user_id", "decided_at", "arm", "arm_share", "action", "send_share", "features")


@dataclass(frozen=True)
class TrialConfig:
    """`before_days`: how long before their first decision people are looked at (CUPED); at most `segments` columns of
    texts and flags are looked into."""

    before_days: float = 28.0
    segments: int = 6


@dataclass(frozen=True)
class Trial:
    """`table`: rows for `read_out`, and the `columns` that say what they are; `shares`: arm → share, as assigned.

    `people` entered, `started` of them on the first day; to `left_out` nothing could ever be sent; `moved` were
    in another arm as well. It lasts from `since_ms` to `until_ms`.
    """

    table: pa.Table
    columns: ExperimentColumns
    shares: Mapping[str, float]
    people: int
    started: int
    left_out: int
    moved: int
    since_ms: int
    until_ms: int

    @property
    def cautions(self) -> list[str]:
        """What somebody who reads the figures has to know about the people."""
        if not self.moved:
            return []
        told = f"{self.moved:,} people came into another arm meanwhile, as if the salt had changed."
        return [f"{told} They count for their first one, so the arms look more alike than they are."]


def trial_of(
    agent: Agent, records: pa.Table, events: pa.Table, until_ms: int, config: TrialConfig = TrialConfig()
) -> Trial:
    """Rows `user_id, arm, value, before, day` and segments: one as a person enters, and one for each day on which they
    earned or cost something. `records` in AGENT_DECISION_SCHEMA (TRIAL_COLUMNS suffice), `events` as in `rewards_of`;
    nothing after `until_ms` is looked at.

    It begins where the shares were last changed, for other shares are another experiment. People enter with the first
    decision in which the guardrails left them something, which is known of the holdout too. Where stock is limited
    that depends on who came before, and everybody enters at once. NotReadyError while nobody has.
    """
    history = _History.of(records, until_ms)
    shares, since_ms = history.shares()
    entries = history.entries(since_ms, all(action.inventory is None for action in agent.actions))
    known = events.filter(pc.less_equal(events["occurred_at"].cast(pa.int64()), until_ms))
    outcomes = goal_events(agent.goal, known, entries.user_ids)
    earlier, _ = outcomes.within(
        np.arange(len(entries)), entries.met_ms - round(config.before_days * DAY_MS) - 1, config.before_days
    )
    segments = _segments(entries.features, config.segments)
    who, day, micros = _daily(agent, history.since(since_ms), entries, outcomes)
    who = np.concatenate([np.arange(len(entries)), who])
    table = pa.table(
        {
            "user_id": entries.user_ids,
            "arm": entries.arms,
            "before": earlier,
            **{name: segments[name] for name in segments.column_names},
        }
    ).take(pa.array(who))
    table = table.append_column("value", pa.array(np.concatenate([np.zeros(len(entries)), micros / MICROS])))
    days = np.concatenate([entries.entered_ms // DAY_MS, day]).astype(np.int32)
    table = table.append_column("day", pa.array(days).cast(pa.date32()))
    columns = ExperimentColumns(covariate="before", outcome="value", segments=tuple(segments.column_names), day="day")
    left_out = history.people_since(since_ms) - len(entries)
    started = int((entries.entered_ms < since_ms + DAY_MS).sum())
    return Trial(table, columns, shares, len(entries), started, left_out, entries.moved, since_ms, until_ms)


@dataclass(frozen=True)
class _Entries:
    """People as they entered: int64 (n) moments, of the agent's first decision ever (`met_ms`) and of the one they
    entered with. `moved`: how many changed their arm afterwards."""

    user_ids: pa.Array
    arms: pa.ChunkedArray
    features: pa.ChunkedArray
    met_ms: Ints
    entered_ms: Ints
    moved: int

    def __len__(self) -> int:
        return len(self.user_ids)


@dataclass(frozen=True)
class _History:
    """Decisions by time: `people` are all there are, `users` int64 (n) places among them."""

    records: pa.Table
    people: pa.Array
    users: Ints
    decided_ms: Ints

    @classmethod
    def of(cls, records: pa.Table, until_ms: int) -> _History:
        records = records.filter(pc.less_equal(records["decided_at"].cast(pa.int64()), until_ms))
        if not len(records):
            raise NotReadyError("no decision so far.", "decisions of this agent.", "Run it: `nextbest agent run NAME`.")
        records = records.sort_by([("decided_at", "ascending"), ("user_id", "ascending")])
        people = pc.unique(records["user_id"])
        users = pc.index_in(records["user_id"], value_set=people).to_numpy().astype(np.int64)
        return cls(records, people, users, records["decided_at"].cast(pa.int64()).to_numpy())

    def since(self, moment_ms: int) -> _History:
        rows = np.flatnonzero(self.decided_ms >= moment_ms)
        return _History(self.records.take(pa.array(rows)), self.people, self.users[rows], self.decided_ms[rows])

    def people_since(self, moment_ms: int) -> int:
        return len(np.unique(self.users[self.decided_ms >= moment_ms]))

    def shares(self) -> tuple[dict[str, float], int]:
        """Arm → its share, of the latest arms that fit into one experiment, and the first decision since which no other
        arm or share was met.

        Read backwards: an arm with another share than it had later, or one too many for shares of 1, ends it.
        """
        share = self.records["arm_share"].to_numpy()
        columns = {"arm": self.records["arm"], "near": np.round(share, 9), "share": share, "last_ms": self.decided_ms}
        met = pa.table(columns).group_by(["arm", "near"]).aggregate([("share", "max"), ("last_ms", "max")])
        found: dict[str, float] = {}
        changed_ms = -1
        for one in met.sort_by([("last_ms_max", "descending"), ("arm", "ascending")]).to_pylist():
            if one["arm"] in found or sum(found.values()) + one["share_max"] > 1.0 + 1e-6:
                changed_ms = max(changed_ms, one["last_ms_max"])
            else:
                found[one["arm"]] = one["share_max"]
        later = self.decided_ms > changed_ms
        left = set(pc.unique(self.records["arm"].filter(pa.array(later))).to_pylist())
        return {arm: found[arm] for arm in sorted(left)}, int(self.decided_ms[later].min())

    def entries(self, since_ms: int, choosy: bool) -> _Entries:
        """`choosy`: people whom the guardrails never left anything stay out."""
        open_ = self.decided_ms >= since_ms
        if choosy:
            open_ &= pc.is_valid(self.records["send_share"]).to_numpy()
        rows = np.flatnonzero(open_)
        if not len(rows):
            found = "decisions in which the guardrails left nobody anything."
            raise NotReadyError(found, "people who could be written to.", "See `nextbest agent check`.")
        inside, first = np.unique(self.users[rows], return_index=True)
        entry, place = rows[first], np.full(len(self.people), -1)
        place[inside] = np.arange(len(inside))
        _, met = np.unique(self.users, return_index=True)
        arms = self.records["arm"].combine_chunks().dictionary_encode().indices.to_numpy()
        own = np.flatnonzero((self.decided_ms >= since_ms) & (place[self.users] >= 0))
        changed = arms[own] != arms[entry][place[self.users[own]]]
        at = pa.array(entry)
        return _Entries(
            self.people.take(pa.array(inside)),
            self.records["arm"].take(at),
            self.records["features"].take(at),
            self.decided_ms[met[inside]],
            self.decided_ms[entry],
            len(np.unique(self.users[own][changed])),
        )


def _daily(agent: Agent, history: _History, entries: _Entries, outcomes: GoalEvents) -> tuple[Ints, Ints, Ints]:
    """Person, day and millionths of value, int64 each, of what was earned after they entered less what was sent."""
    later = outcomes.at_ms > entries.entered_ms[outcomes.who]
    place = pc.index_in(history.people, value_set=entries.user_ids)
    place = pc.fill_null(place, -1).to_numpy().astype(np.int64)[history.users]
    rows = np.flatnonzero(place >= 0)
    _, wanted = outcomes.within(place[rows], history.decided_ms[rows], agent.goal.window_days)
    costs = np.round(costs_of(agent, history.records.take(pa.array(rows)), wanted) * MICROS).astype(np.int64)
    paid = costs != 0
    who = np.concatenate([outcomes.who[later], place[rows][paid]])
    day = np.concatenate([outcomes.at_ms[later], history.decided_ms[rows][paid]]) // DAY_MS
    micros = np.concatenate([outcomes.micros[later], -costs[paid]])
    start = int(day.min(initial=0))
    span = int(day.max(initial=0)) - start + 1
    keys, code = np.unique(who * span + (day - start), return_inverse=True)
    sums = np.zeros(len(keys), np.int64)
    np.add.at(sums, code, micros)
    return keys // span, keys % span + start, sums


def _segments(features: pa.ChunkedArray, most: int) -> pa.Table:
    """The first columns of texts and flags with two values or more, and not one for almost everybody."""
    table = from_json(features)
    kept = []
    for name in table.column_names:
        kind = table[name].type
        if name not in OWN_COLUMNS and (pa.types.is_boolean(kind) or pa.types.is_string(kind)):
            values = int(pc.count_distinct(table[name], mode="all").as_py())
            if 2 <= values <= max(LEVELS, len(table) // LEVELS):
                kept.append(name)
    return table.select(kept[:most])
