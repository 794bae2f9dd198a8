"""What a run decided, read again by somebody who does not believe it. Nothing is decided here.

None of the code that keeps guardrails is asked: local times are Arrow's, spans are counted over sorted messages.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from scipy.stats import binom

from recommender.agents.agent import CAP_DAYS, NOTHING, WEEKDAYS, Agent, Cap
from recommender.agents.agent_model import PRIOR
from recommender.agents.audience import DEED, Audience
from recommender.agents.record import sends_of
from recommender.events import DAY_MS

__all__ = ["Audit", "Tried", "audit_earlier", "audit_run"]

HOUR_MS, MINUTE_MS = 3_600_000, 60_000
EXAMPLES = 3
CHANCE = 0.001  # of a sound run that is said to explore too much

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Tried:
    """Of one policy's `messages` so many went out by another choice than the likeliest; `exploration` is allowed."""

    messages: int
    explored: int
    exploration: float

    @property
    def is_within_budget(self) -> bool:
        """Whether chance explains that so many were explored (one-sided, one sound run in a thousand is refused)."""
        return bool(binom.sf(self.explored - 1, self.messages, self.exploration) >= CHANCE)


@dataclass(frozen=True)
class Audit:
    """`broken`: guardrail → people for whom it was broken (0: it held); `examples`: some of their ids, in no sentence:
    sentences go where nobody can be erased; `tried`: what each of the agent's policies explored.
    """

    broken: Mapping[str, int]
    examples: Mapping[str, list[str]]
    tried: tuple[Tried, ...]

    @property
    def messages(self) -> int:
        return sum(one.messages for one in self.tried)

    @property
    def explored(self) -> int:
        return sum(one.explored for one in self.tried)

    @property
    def exploration(self) -> float:
        """What is allowed, of all messages together."""
        return sum(one.messages * one.exploration for one in self.tried) / max(self.messages, 1)

    @property
    def is_sound(self) -> bool:
        return not any(self.broken.values())

    @property
    def is_within_budget(self) -> bool:
        """Whether each policy is."""
        return all(one.is_within_budget for one in self.tried)

    @property
    def sentence(self) -> str:
        """What a person reads of it."""
        told = [
            f"{name}: {count:,} {'people' if count > 1 else 'person'}" for name, count in self.broken.items() if count
        ]
        return "; ".join(told) or f"all {len(self.broken)} guardrails held"


def audit_run(
    agent: Agent, audience: Audience, records: pa.Table, messages: pa.Table, given: Mapping[str, int]
) -> Audit:
    """Judge one run. `records`: its decisions in AGENT_DECISION_SCHEMA; `messages`: SEND_SCHEMA of all that was
    sent and scheduled by any agent before, and by this run; `given`: action → messages of this agent ever, those
    of this run included.
    """
    sent = records.filter(pc.not_equal(records["action"], NOTHING))
    run = _Sent.of(agent, audience, sent)
    broken = dict(_broken(agent, audience, records, run, messages, given))
    users = {name: pc.unique(found).to_pylist() for name, found in broken.items()}
    return _audit(users, _tried(agent, sent.filter(pc.equal(sent["arm"], "agent"))))


def audit_earlier(agent: Agent, audience: Audience, records: pa.Table) -> Audit:
    """Judge decisions of many runs and moments, all by this same file of the agent, as far as that needs nothing of the
    audience that there was: holdout, propensities, and caps and cool-down among these decisions' own messages, for
    people whose time zone the audience of today knows.
    """
    known = pc.is_in(records["user_id"], value_set=pa.array(audience.user_ids, pa.string()))
    sent = records.filter(pc.and_(known, pc.not_equal(records["action"], NOTHING)))
    run = _Sent.of(agent, audience, sent)
    broken = [*_of_records(records), *_too_often(agent, audience, run, sends_of(sent))]
    return _audit({name: pc.unique(found).to_pylist() for name, found in broken}, ())


def _audit(users: Mapping[str, list[str]], tried: tuple[Tried, ...]) -> Audit:
    return Audit(
        {name: len(found) for name, found in users.items()},
        {name: found[:EXAMPLES] for name, found in users.items() if found},
        tried,
    )


def _tried(agent: Agent, own: pa.Table) -> tuple[Tried, ...]:
    if not agent.variants:
        return (Tried(len(own), _explored(agent, own), agent.exploration),)
    rows = [own.filter(pc.equal(own["variant"], variant.name)) for variant in agent.variants]
    return tuple(
        Tried(len(part), _explored(agent.taking(variant), part), variant.exploration)
        for variant, part in zip(agent.variants, rows, strict=True)
    )


@dataclass(frozen=True)
class _Sent:
    """A run's messages beside their people: rows of the audience and local times, in milliseconds since 1970."""

    table: pa.Table
    rows: Ints
    at_ms: Ints
    local_ms: Ints

    @classmethod
    def of(cls, agent: Agent, audience: Audience, sent: pa.Table) -> _Sent:
        rows = pc.index_in(sent["user_id"], value_set=pa.array(audience.user_ids, pa.string()))
        rows = pc.fill_null(rows, -1).to_numpy().astype(np.int64)
        at_ms = sent["send_at"].cast(pa.int64()).to_numpy()
        return cls(sent, rows, at_ms, _local(agent, audience, rows, at_ms))

    def only(self, mask: Mask) -> _Sent:
        return _Sent(self.table.filter(pa.array(mask)), self.rows[mask], self.at_ms[mask], self.local_ms[mask])

    def users(self, mask: Mask) -> pa.ChunkedArray:
        return self.table["user_id"].filter(pa.array(mask))


def _broken(
    agent: Agent, audience: Audience, records: pa.Table, run: _Sent, messages: pa.Table, given: Mapping[str, int]
) -> Iterator[tuple[str, pa.ChunkedArray]]:
    """Guardrail and the people for whom it was broken."""
    sent = run.table
    yield from _of_records(records)
    yield "audience", run.users(run.rows < 0)
    yield "eligibility", run.users(~agent.eligibility.where.holds(audience, run.rows))
    for action in agent.actions:
        own = pc.equal(sent["action"], action.name).to_numpy()
        consents = action.channel in agent.eligibility.without_consent or audience.consents(action.channel)[run.rows]
        yield f"consent {action.name}", run.users(own & ~np.asarray(consents))
        yield f"condition {action.name}", run.users(own & ~action.when.holds(audience, run.rows))
        if action.inventory is not None:
            over = given.get(action.name, 0) > action.inventory
            yield f"inventory {action.name}", run.users(own & over)
    yield "timing", run.users(_outside(agent, run))
    yield from _too_soon(agent, audience, run)
    yield from _too_often(agent, audience, run, messages)


def _of_records(records: pa.Table) -> Iterator[tuple[str, pa.ChunkedArray]]:
    """What the records alone tell."""
    yield "one decision each", records["user_id"].filter(pc.invert(_firsts(records["decision_id"])))
    parts = [records[f"{name}_propensity"].to_numpy() for name in ("send", "action", "window", "item")]
    whole = records["propensity"].to_numpy()
    wrong = ~((whole > 0) & (whole <= 1) & (np.abs(np.prod(parts, axis=0) - whole) <= 1e-9))
    yield "propensity", records["user_id"].filter(pa.array(wrong))
    held = pc.and_(pc.equal(records["arm"], "holdout"), pc.not_equal(records["action"], NOTHING))
    yield "holdout", records["user_id"].filter(held)


def _too_often(
    agent: Agent, audience: Audience, run: _Sent, messages: pa.Table
) -> Iterator[tuple[str, pa.ChunkedArray]]:
    """Cool-down and caps, of the run's messages among all."""
    if agent.frequency.cool_down_hours > 0:
        cool_down_ms = round(agent.frequency.cool_down_hours * HOUR_MS)
        yield "cool-down", run.users(_too_many(run, messages, cool_down_ms, 1))
    for cap in agent.frequency.caps:
        yield f"cap {cap.name}", _above(agent, cap, audience, run, messages)


def _firsts(ids: pa.ChunkedArray) -> pa.Array:
    """Mask: the first row of each id."""
    codes = ids.combine_chunks().dictionary_encode().indices.to_numpy()
    mask = np.zeros(len(ids), dtype=bool)
    mask[np.unique(codes, return_index=True)[1]] = True
    return pa.array(mask)


def _too_soon(agent: Agent, audience: Audience, run: _Sent) -> Iterator[tuple[str, pa.ChunkedArray]]:
    """Messages within the hours after a deed that the agent, or the message's own action, is to be silent for."""
    rules = [(None, agent.eligibility.stop_after), *((action.name, action.stop_after) for action in agent.actions)]
    for name, rule in rules:
        own = np.ones(len(run.rows), dtype=bool) if name is None else pc.equal(run.table["action"], name).to_numpy()
        for event_type, hours in rule.items():
            column = DEED + event_type
            if column in audience.table.column_names:
                known = audience.table[column].cast(pa.int64()).to_pandas().to_numpy(dtype=np.float64)  # NaN: never
                soon = run.at_ms - known[run.rows] < hours * HOUR_MS
                yield f"after {event_type}{f' {name}' if name else ''}", run.users(own & soon)


def _outside(agent: Agent, run: _Sent) -> Mask:
    """Messages in quiet minutes, or outside of the window that the record names."""
    minute, weekday = run.local_ms % DAY_MS // MINUTE_MS, (run.local_ms // DAY_MS + 3) % len(WEEKDAYS)
    wrong: Mask = np.ones(len(minute), dtype=bool)
    for window in agent.timing.windows:
        own = pc.equal(run.table["send_window"], window.name).to_numpy()
        inside = (minute >= window.start) & (minute < window.end) & np.isin(weekday, list(window.weekdays))
        wrong[own & inside] = False
    start, end = agent.timing.quiet or (0, 0)
    quiet = (minute >= start) & (minute < end) if start <= end else (minute >= start) | (minute < end)
    return wrong | quiet


def _above(agent: Agent, cap: Cap, audience: Audience, run: _Sent, messages: pa.Table) -> pa.ChunkedArray:
    """People of whom a message of this run is one too many; messages of other agents count as the cap says."""
    own: Mask = np.ones(len(run.table), dtype=bool)
    for column, name in (("channel", cap.channel), ("action", cap.action)):
        if name is not None:
            messages = messages.filter(pc.equal(messages[column], name))
            own &= pc.equal(run.table[column], name).to_numpy()
    if cap.action is not None:
        messages = messages.filter(pc.equal(messages["agent"], agent.name))
    run = run.only(own)
    if cap.per == "day":
        return run.users(_on_day(agent, audience, run, messages) > cap.limit)
    return run.users(_too_many(run, messages, CAP_DAYS[cap.per] * DAY_MS, cap.limit))


def _on_day(agent: Agent, audience: Audience, run: _Sent, messages: pa.Table) -> Ints:
    """int64 (n): how many messages the person of each of the run's has on the same local day."""
    rows = pc.index_in(messages["user_id"], value_set=pa.array(audience.user_ids, pa.string()))
    messages = messages.filter(pc.is_valid(rows))
    rows = rows.drop_null().to_numpy().astype(np.int64)
    days = _local(agent, audience, rows, messages["send_at"].cast(pa.int64()).to_numpy()) // DAY_MS
    line = np.sort(days * len(audience) + rows)
    wanted = run.local_ms // DAY_MS * len(audience) + run.rows
    return np.searchsorted(line, wanted, side="right") - np.searchsorted(line, wanted, side="left")


def _too_many(run: _Sent, messages: pa.Table, within_ms: int, limit: int) -> Mask:
    """Which of the run's messages lie in a span of that length (its beginning excluded) with more than so many."""
    people = pc.unique(run.table["user_id"])
    messages = messages.filter(pc.is_in(messages["user_id"], value_set=people))
    if not len(messages):
        return np.zeros(len(run.at_ms), dtype=bool)
    at_ms = messages["send_at"].cast(pa.int64()).to_numpy()
    start = int(min(at_ms.min(), run.at_ms.min()))
    # People stand on one line, so far apart that no span holds two of them.
    far = int(max(at_ms.max(), run.at_ms.max())) - start + within_ms + 1
    places = [pc.index_in(table["user_id"], value_set=people).to_numpy() for table in (messages, run.table)]
    theirs, own = (place.astype(np.int64) * far - start for place in places)
    line = np.sort(theirs + at_ms)
    own = own + run.at_ms
    inside = np.arange(1, len(line) + 1) - np.searchsorted(line, line - within_ms, side="right")
    ends = np.append(line[inside > limit], np.iinfo(np.int64).max)
    return np.asarray(ends[np.searchsorted(ends, own, side="left")] - own < within_ms)


def _local(agent: Agent, audience: Audience, rows: Ints, at_ms: Ints) -> Ints:
    """int64 (n): milliseconds on each person's own clock, told by Arrow's time zones."""
    codes, zones = audience.zones(agent.timing.fallback_zone)
    local = np.zeros(len(rows), dtype=np.int64)
    for code, zone in enumerate(zones):
        own = np.flatnonzero(codes[rows] == code)
        moments = pa.array(at_ms[own]).cast(pa.timestamp("ms", "UTC")).cast(pa.timestamp("ms", zone.key))
        local[own] = pc.local_timestamp(moments).cast(pa.int64()).to_numpy()
    return local


def _explored(agent: Agent, own: pa.Table) -> int:
    """Messages whose action or window was not the likeliest, or one of several; before anything was known all were.

    A window that is likelier than the budget of others is one of the best, as is one that has all but the budget.
    """
    own = own.filter(pc.not_equal(own["policy"], PRIOR))
    if not len(own):
        return 0
    offered = own["offered_propensities"].combine_chunks()  # of a message never empty
    best = np.maximum.reduceat(offered.flatten().to_numpy(), _starts(offered))
    factors = (len(agent.actions) > 1) + (len(agent.timing.windows) > 1)
    budget = agent.exploration / max(factors, 1)
    action = own["action_propensity"].to_numpy() < best - 1e-9
    window = own["window_propensity"].to_numpy()
    return int((action | ((window < 1.0 - budget - 1e-9) & (window <= budget + 1e-9))).sum())


def _starts(lists: pa.ListArray) -> Ints:
    lengths = lists.value_lengths().to_numpy().astype(np.int64)
    return np.asarray(np.cumsum(lengths) - lengths)
