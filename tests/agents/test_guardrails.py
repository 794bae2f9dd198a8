"""Guardrails under random agents, zones, changes of clocks and skews: an independent reader finds nothing broken.

The reader below goes row by row with the standard library's clocks; it shares no code with what it reads.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recommender.agents.agent import Action, Agent, Cap, Eligibility, Frequency, Goal, Shares, Timing, Window
from recommender.agents.audience import Audience
from recommender.agents.choosing import Choices, Draws, Preferences, choose
from recommender.agents.deeds import DEED_SCHEMA, with_deeds
from recommender.agents.guardrails import judge
from recommender.agents.moments import NEVER, offered_moments
from recommender.agents.sends import SEND_SCHEMA, Sends
from recommender.conditions import parse_condition
from recommender.events import DAY_MS
from recommender.experiments.assignment import assign

PEOPLE = 100
ZONES = [
    "Europe/Berlin", "America/New_York", "America/Sao_Paulo", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Apia",
    "Asia/Kathmandu", "Africa/Cairo", "America/St_Johns", "UTC", "Mars/Olympus", None,
]  # fmt: skip
# Around the changes of the clocks of 2026 in Europe and America, and an ordinary day.
DAYS = ["2026-03-07", "2026-03-28", "2026-10-24", "2026-10-31", "2026-06-15", "2026-04-04"]
CHANNELS = ["email", "push", "web"]


@st.composite
def agents(draw: st.DrawFn) -> Agent:
    quiet = draw(st.sampled_from([None, (21 * 60, 8 * 60), (0, 5 * 60), (1 * 60 + 30, 3 * 60 + 30)]))
    free = Timing((Window(12 * 60, 13 * 60),), quiet)
    windows = []
    for start, length in draw(
        st.lists(st.tuples(st.integers(0, 23 * 60), st.integers(1, 300)), min_size=1, max_size=3)
    ):
        minutes = [minute for minute in range(start, min(start + length, 1440)) if not free.is_quiet(minute)]
        if minutes and minutes[-1] - minutes[0] + 1 == len(minutes):
            days = draw(st.frozensets(st.integers(0, 6), min_size=1))
            windows.append(Window(minutes[0], minutes[-1] + 1, days))
    names = ["a", "b", "c", "d"][: draw(st.integers(1, 4))]
    actions = tuple(
        Action(
            name,
            draw(st.sampled_from(CHANNELS)),
            inventory=draw(st.none() | st.integers(0, 40)),
            when=parse_condition(draw(st.sampled_from([{}, {"country": ["DE"]}, {"spent": {"min": 50}}]))),
            stop_after=draw(st.sampled_from([{}, {"purchase": 30.0}, {"purchase": 0.0, "refund": 100.0}])),
        )
        for name in names
    )
    caps = draw(
        st.lists(
            st.builds(
                lambda limit, per, scope: Cap(limit, per, *scope),
                st.integers(0, 3),
                st.sampled_from(["day", "week", "month"]),
                st.sampled_from([(None, None), ("email", None), ("push", None), (None, "a")]),
            ),
            max_size=3,
        )
    )
    holdout = draw(st.sampled_from([0.0, 0.1, 0.5]))
    baseline = draw(st.sampled_from([0.0, 0.2]))
    return Agent(
        "agent",
        Goal({"purchase": 1.0}),
        actions,
        timing=Timing(tuple(windows) or free.windows, quiet, "America/Los_Angeles"),
        frequency=Frequency(
            tuple(caps), draw(st.sampled_from([0.0, 5.0, 48.0])), draw(st.sampled_from([0.0, 0.3, 1.0]))
        ),
        eligibility=Eligibility(
            parse_condition(draw(st.sampled_from([{}, {"not": {"country": ["US"]}}]))),
            draw(st.sampled_from([frozenset(), frozenset({"web"})])),
            draw(st.sampled_from([{}, {"purchase": 5.5}])),
        ),
        shares=Shares(holdout, baseline, "a" if baseline else None),
        exploration=draw(st.sampled_from([0.0, 0.1, 1.0])),
        salt=draw(st.text("xyz", min_size=1, max_size=3)),
    )


def people(rng: np.random.Generator) -> Audience:
    def pick(values: list[object]) -> list[object]:
        return [values[place] for place in rng.integers(0, len(values), PEOPLE)]

    return Audience.read(
        pa.table(
            {
                "user_id": [f"u{number:03}" for number in rng.permutation(PEOPLE)],
                "timezone": pa.array(pick(list(ZONES)), pa.string()),
                "consent_email": pa.array(pick([True, True, False, None]), pa.bool_()),
                "consent_push": pa.array(pick(["true", "false", None, "yes"]), pa.string()),
                "country": pa.array(pick(["DE", "US", None]), pa.string()),
                "spent": pa.array(pick([10.0, 80.0, None]), pa.float64()),
            }
        )
    )


@dataclass(frozen=True)
class Sent:
    user_id: str
    at_ms: int
    agent: str
    action: str
    channel: str
    decided_ms: int = 0


@dataclass(frozen=True)
class Deed:
    user_id: str
    event_type: str
    at_ms: int


def some_deeds(start_ms: int, rng: np.random.Generator) -> list[Deed]:
    """What people did in that week, and before it."""
    return [
        Deed(f"u{rng.integers(PEOPLE):03}", kind, start_ms + int(rng.integers(-2 * DAY_MS, 7 * DAY_MS)))
        for kind in ("purchase", "refund", "view")
        for _ in range(60)
    ]


def as_deeds(deeds: list[Deed], decided_ms: int) -> pa.Table:
    """The last of each kind that had happened by then."""
    last: dict[tuple[str, str], int] = {}
    for deed in sorted(deeds, key=lambda deed: deed.at_ms):
        if deed.at_ms <= decided_ms:
            last[deed.user_id, deed.event_type] = deed.at_ms
    at = pa.array(list(last.values()), pa.int64()).cast(pa.timestamp("ms"))
    columns = [[user for user, _ in last], [kind for _, kind in last], at]
    return pa.Table.from_arrays([pa.array(column) for column in columns], names=DEED_SCHEMA.names).cast(DEED_SCHEMA)


def decide_for_days(
    agent: Agent, audience: Audience, start_ms: int, rng: np.random.Generator, deeds: list[Deed]
) -> tuple[list[Sent], int]:
    """A week of decisions by a clock that is skewed, late, early and repeats itself; earlier messages included."""
    sent = [
        Sent(f"u{rng.integers(PEOPLE):03}", start_ms + int(rng.integers(-3 * DAY_MS, DAY_MS)), "other", "a", channel)
        for channel in CHANNELS
        for _ in range(20)
    ]
    left = {action.name: action.inventory for action in agent.actions if action.inventory is not None}
    arms = assign(agent.salt, audience.user_ids, agent.shares.named())
    decisions = 0
    knowing = audience
    for day in range(7):
        decided_ms = start_ms + day * DAY_MS + int(rng.integers(-6, 7)) * 3_600_000
        knowing = with_deeds(agent, knowing, as_deeds(deeds, decided_ms))
        moments = offered_moments(agent.timing, audience, decided_ms, decided_ms + DAY_MS, rng.random(PEOPLE))
        verdict = judge(agent, knowing, Sends.of(as_table(sent), audience), moments)
        wants = Preferences(
            rng.dirichlet(np.ones(len(agent.actions)), PEOPLE),
            rng.random((PEOPLE, len(agent.timing.windows))),
            rng.random(PEOPLE),
            rng.normal(size=PEOPLE),
            np.full(PEOPLE, agent.exploration),
        )
        draws = Draws.of(f"{agent.salt}:{day}", audience.user_ids)
        choices = choose(agent, verdict, moments, wants, arms, draws, left)
        assert_sound(choices)
        decisions += PEOPLE
        for row in np.flatnonzero(choices.action >= 0).tolist():
            action = agent.actions[choices.action[row]]
            if action.name in left:
                left[action.name] -= 1
            at_ms = int(choices.send_ms[row])
            sent.append(Sent(audience.user_ids[row], at_ms, "agent", action.name, action.channel, decided_ms))
    return sent, decisions


def as_table(sent: list[Sent]) -> pa.Table:
    columns = {
        "user_id": [one.user_id for one in sent],
        "send_at": pa.array([one.at_ms for one in sent], pa.int64()).cast(pa.timestamp("ms")),
        "agent": [one.agent for one in sent],
        "action": [one.action for one in sent],
        "channel": [one.channel for one in sent],
    }
    return pa.table(columns).cast(SEND_SCHEMA)


def assert_sound(choices: Choices) -> None:
    """Probabilities are probabilities; nothing has a reason, something has a moment."""
    is_sent = choices.action >= 0
    assert ((choices.send_ms != NEVER) == is_sent).all()
    assert ((np.array(choices.reason) == "") == is_sent).all()
    assert ((choices.propensity > 0) & (choices.propensity <= 1)).all()
    totals = choices.offered.sum(axis=1)
    assert (np.isclose(totals, 1) | (totals == 0)).all()


def violations(agent: Agent, audience: Audience, sent: list[Sent], deeds: list[Deed]) -> list[str]:
    """Every guardrail again, one message at a time."""
    rows = {row["user_id"]: row for row in audience.table.to_pylist()}
    arms = dict(zip(rows, assign(agent.salt, list(rows), agent.shares.named()).tolist(), strict=True))
    own = [one for one in sent if one.agent == "agent"]
    by_person = defaultdict(list)
    for one in sent:
        by_person[one.user_id].append(one)
    done_by = defaultdict(list)
    for deed in deeds:
        done_by[deed.user_id].append(deed)
    found = []
    for one in own:
        row = rows[one.user_id]
        found += [*untimely(agent.timing, one, row), *unwanted(agent, one, row, arms[one.user_id])]
        found += [f"after {deed.event_type}" for deed in done_by[one.user_id] if comes_too_soon(agent, one, deed)]
        gaps = [abs(one.at_ms - other.at_ms) for other in by_person[one.user_id] if other is not one]
        found += ["cool-down" for gap in gaps if gap < agent.frequency.cool_down_hours * 3_600_000]
    for cap in agent.frequency.caps:
        found += [cap.name for one in own if breaks(cap, one, by_person[one.user_id], rows[one.user_id]["timezone"])]
    for action in agent.actions:
        if action.inventory is not None and sum(one.action == action.name for one in own) > action.inventory:
            found.append("inventory")
    return found


def untimely(timing: Timing, one: Sent, row: dict[str, Any]) -> list[str]:
    found = []
    local = local_time(one.at_ms, row["timezone"])
    minute = local.hour * 60 + local.minute
    if timing.quiet is not None:
        begin, end = timing.quiet
        if (begin <= minute < end) if begin <= end else (minute >= begin or minute < end):
            found.append("quiet hours")
    if not any(one.start <= minute < one.end and local.weekday() in one.weekdays for one in timing.windows):
        found.append("window")
    return found


def unwanted(agent: Agent, one: Sent, row: dict[str, Any], arm: int) -> list[str]:
    action = next(action for action in agent.actions if action.name == one.action)
    consent = {"email": row["consent_email"] is True, "push": row["consent_push"] in ("true", "yes"), "web": False}
    names = {name for part in action.when.parts for name in part.names}
    broken = {
        "consent": not consent[one.channel] and one.channel not in agent.eligibility.without_consent,
        "eligibility": bool(agent.eligibility.where.parts) and row["country"] == "US",
        "country": "country" in names and row["country"] != "DE",
        "spent": "spent" in names and row["spent"] != 80.0,
        "holdout": arm == 0,
        "baseline": arm == 1 and one.action != agent.shares.baseline_action,
    }
    return [name for name, is_broken in broken.items() if is_broken]


def comes_too_soon(agent: Agent, one: Sent, deed: Deed) -> bool:
    """Whether a message follows a deed that was known when it was decided, sooner than the agent or the action says."""
    if deed.at_ms > one.decided_ms:
        return False
    action = next(action for action in agent.actions if action.name == one.action)
    rules = (agent.eligibility.stop_after, action.stop_after)
    return any(one.at_ms - deed.at_ms < rule.get(deed.event_type, 0) * 3_600_000 for rule in rules)


def breaks(cap: Cap, one: Sent, theirs: list[Sent], zone: str | None) -> bool:
    """Whether a message takes part in a day, or a span of 7 or 30 days, with more of its kind than the cap says."""
    if cap.channel not in (None, one.channel) or cap.action not in (None, one.action):
        return False
    kind = [
        other
        for other in theirs
        if cap.channel in (None, other.channel)
        and (cap.action is None or (other.action, other.agent) == (cap.action, "agent"))
    ]
    if cap.per == "day":
        same = [other for other in kind if local_time(other.at_ms, zone).date() == local_time(one.at_ms, zone).date()]
        return len(same) > cap.limit
    span = {"week": 7, "month": 30}[cap.per] * DAY_MS
    starts = [other.at_ms for other in kind if one.at_ms - span < other.at_ms <= one.at_ms]
    return any(sum(start <= other.at_ms < start + span for other in kind) > cap.limit for start in starts)


def local_time(at_ms: int, zone: str | None) -> datetime:
    known = zone is not None and not zone.startswith("Mars")
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at_ms)
    return moment.astimezone(ZoneInfo(zone if known and zone else "America/Los_Angeles"))


def breach_free(agent: Agent, day: str, seed: int) -> int:
    rng = np.random.default_rng(seed)
    audience = people(rng)
    start_ms = int(datetime.fromisoformat(f"{day}T00:00+00:00").timestamp() * 1000)
    deeds = some_deeds(start_ms, rng)
    sent, decisions = decide_for_days(agent, audience, start_ms, rng, deeds)
    assert violations(agent, audience, sent, deeds) == []
    return decisions


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(agents(), st.sampled_from(DAYS), st.integers(0, 2**32 - 1))
def test_no_guardrail_is_ever_broken(agent: Agent, day: str, seed: int) -> None:
    breach_free(agent, day, seed)


@pytest.mark.slow
def test_a_hundred_thousand_decisions_break_none() -> None:
    decisions = 0

    @settings(max_examples=160, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(agents(), st.sampled_from(DAYS), st.integers(0, 2**32 - 1))
    def decide(agent: Agent, day: str, seed: int) -> None:
        nonlocal decisions
        decisions += breach_free(agent, day, seed)

    decide()
    assert decisions >= 100_000
