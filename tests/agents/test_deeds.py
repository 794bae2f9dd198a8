"""Deeds that stop messages: who has just bought is not asked to, by a run, in the moment and by the audit."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from recommender.agents.agent import Agent, Eligibility
from recommender.agents.agent_file import parse_agent
from recommender.agents.agent_model import COLD
from recommender.agents.audience import DEED, Audience
from recommender.agents.audit import audit_run
from recommender.agents.context import features_of
from recommender.agents.deciding import Run, decide_for
from recommender.agents.deeds import DEED_SCHEMA, LONG_AGO, last_deeds, watched, with_deeds
from recommender.agents.in_the_moment import decide_in_the_moment, with_context
from recommender.agents.record import sends_of
from recommender.agents.sends import SEND_SCHEMA, Sends
from recommender.errors import ConfigurationError, RequestError
from recommender.events import DAY_MS
from tests.agents.mailing import AGENT as MAILING_AGENT
from tests.agents.mailing import EVENING, START_MS, Mailing

HOUR_MS = 3_600_000
AGENT = replace(MAILING_AGENT, eligibility=Eligibility(stop_after={"purchase": 8.0}))
NEWS, VOUCHER = AGENT.actions
AUDIENCE = Mailing(100).audience()
BUYER, OTHER = AUDIENCE.user_ids[:2]


def deeds(*rows: tuple[str, str, int]) -> pa.Table:
    users, kinds, at_ms = zip(*rows, strict=True)
    at = pa.array(at_ms, pa.int64()).cast(pa.timestamp("ms"))
    return pa.Table.from_arrays([pa.array(users), pa.array(kinds), at], schema=DEED_SCHEMA)


def decided(agent: Agent, audience: Audience) -> dict[str, dict[str, object]]:
    """Everybody's decision at two in the morning in Berlin, for the day."""
    records = decide_for(agent, audience, Sends.of(SEND_SCHEMA.empty_table(), audience), Run(START_MS, "v1"))
    return {row["user_id"]: row for row in records.to_pylist()}


def test_the_later_of_what_is_known_counts_and_only_what_is_watched() -> None:
    first = with_deeds(
        AGENT, AUDIENCE, deeds((BUYER, "purchase", 50), (OTHER, "view", 60), ("stranger", "purchase", 1))
    )
    then = with_deeds(AGENT, first, deeds((BUYER, "purchase", 40), (OTHER, "purchase", 70)))
    assert last_deeds(first, "purchase")[:3].tolist() == [50, LONG_AGO, LONG_AGO]
    assert last_deeds(then, "purchase")[:3].tolist() == [50, 70, LONG_AGO]
    assert set(last_deeds(then, "view").tolist()) == {LONG_AGO}
    assert features_of(then).column_names == features_of(AUDIENCE).column_names  # no policy reads it


def test_a_message_waits_from_the_deed_to_the_moment_of_sending() -> None:
    """Bought at 02:00 in Berlin: eight hours later it is ten, which some of the morning's moments are after."""
    everybody = deeds(*((user, "purchase", START_MS) for user in AUDIENCE.user_ids))
    rows = decided(AGENT, with_deeds(AGENT, AUDIENCE, everybody))
    sent = [row["send_at"].timestamp() * 1000 - START_MS for row in rows.values() if row["send_at"]]  # type: ignore[attr-defined]
    assert len(sent) == sum(row["arm"] == "agent" for row in rows.values())
    assert min(sent) >= 8 * HOUR_MS
    # Twelve hours leave the evening alone, a day leaves nothing.
    half, whole = (replace(AGENT, eligibility=Eligibility(stop_after={"purchase": hours})) for hours in (12.0, 24.0))
    assert {row["send_window"] for row in decided(half, with_deeds(half, AUDIENCE, everybody)).values()} == {
        EVENING.name,
        None,
    }
    nothing = decided(whole, with_deeds(whole, AUDIENCE, everybody))
    assert {row["reason"] for row in nothing.values()} == {"holdout", "after purchase"}


def test_an_action_may_stop_alone() -> None:
    agent = replace(MAILING_AGENT, actions=(NEWS, replace(VOUCHER, stop_after={"purchase": 24.0})))
    rows = decided(agent, with_deeds(agent, AUDIENCE, deeds(*((u, "purchase", START_MS) for u in AUDIENCE.user_ids))))
    assert {row["action"] for row in rows.values() if row["arm"] == "agent"} == {"news"}
    assert watched(replace(agent, eligibility=AGENT.eligibility)) == {"purchase": 24.0}


def test_other_people_are_decided_on_as_before() -> None:
    before, after = (
        decided(AGENT, one) for one in (AUDIENCE, with_deeds(AGENT, AUDIENCE, deeds((BUYER, "purchase", START_MS + 5))))
    )
    assert {user for user in before if before[user] != after[user]} <= {BUYER}


def test_in_the_moment_nobody_talks_a_purchase_away() -> None:
    agent = replace(AGENT, shares=replace(AGENT.shares, holdout=0.0))
    at_ms = START_MS + 8 * HOUR_MS  # ten o'clock in Berlin
    found = with_deeds(agent, Audience(AUDIENCE.table.slice(0, 1)), deeds((BUYER, "purchase", at_ms - HOUR_MS)))
    row = decide_in_the_moment(agent, found, Sends.of(SEND_SCHEMA.empty_table(), found), Run(at_ms, "v1", 1), "d", COLD)
    assert (row["action"], row["reason"]) == ("nothing", "after purchase")
    with pytest.raises(RequestError, match="did:purchase"):
        with_context(found, {DEED + "purchase": None}, frozenset())


def test_the_audit_finds_who_was_written_to_all_the_same() -> None:
    careless = replace(AGENT, eligibility=Eligibility())
    records = decide_for(careless, AUDIENCE, Sends.of(SEND_SCHEMA.empty_table(), AUDIENCE), Run(START_MS, "v1"))
    written = [user for user, row in decided(careless, AUDIENCE).items() if row["send_at"]]
    at_ms = {row["user_id"]: row["send_at"] for row in records.to_pylist()}
    late = int(at_ms[written[0]].timestamp() * 1000) - round(8 * HOUR_MS)
    known = with_deeds(AGENT, AUDIENCE, deeds((written[0], "purchase", late), (written[1], "purchase", late - DAY_MS)))
    sound = audit_run(AGENT, known, records, sends_of(records), {})
    assert sound.broken["after purchase"] == 0  # to the millisecond eight hours
    sooner = with_deeds(AGENT, AUDIENCE, deeds((written[0], "purchase", late + 1)))
    assert audit_run(AGENT, sooner, records, sends_of(records), {}).examples["after purchase"] == [written[0]]
    own = replace(
        careless, actions=(replace(NEWS, stop_after={"purchase": 8.0}), replace(VOUCHER, stop_after={"purchase": 8.0}))
    )
    broken = audit_run(own, sooner, records, sends_of(records), {}).broken
    assert broken["after purchase news"] + broken["after purchase voucher"] == 1
    assert pc.sum(pc.equal(records["user_id"], written[0])).as_py() == 1


FILE = """\
goal: {outcomes: {purchase: 1}}
actions:
  - {name: reminder, channel: email, stop_after: {purchase: 24, refund: 0.5}}
eligibility:
  stop_after:
    unsubscribe: 720
"""


def test_the_file_says_what_stops_and_for_how_long() -> None:
    agent = parse_agent(FILE.encode(), "cart.yml")
    assert agent.actions[0].stop_after == {"purchase": 24.0, "refund": 0.5}
    assert watched(agent) == {"unsubscribe": 720.0, "purchase": 24.0, "refund": 0.5}


@pytest.mark.parametrize(
    ("line", "key", "written", "told"),
    [
        (3, "actions[0].stop_after.purchase", "purchase: 24", "purchase: a day"),
        (3, "actions[0].stop_after", "{purchase: 24, refund: 0.5}", "[purchase]"),
        (6, "eligibility.stop_after.unsubscribe", "720", "-1"),
        (5, "eligibility.stop_aftr", "stop_after:\n", "stop_aftr:\n"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(line: int, key: str, written: str, told: str) -> None:
    assert written in FILE
    with pytest.raises(ConfigurationError) as caught:
        parse_agent(FILE.replace(written, told).encode(), "cart.yml")
    assert caught.value.found.startswith(f"cart.yml, line {line}, key {key}: ")
