"""What an agent's records show is what is true of the simulated people, and nothing is claimed where nothing is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from benchmarks.insights import judge
from recommender.agents.agent import Action, Frequency, Goal
from recommender.agents.attribution import rewards_of
from recommender.agents.audience import Audience
from recommender.agents.deciding import Run, decide_for
from recommender.agents.insights.affinities import AFFINITY_SCHEMA, expected_gains
from recommender.agents.insights.earnings import activity
from recommender.agents.insights.estimates import Estimate, difference, holm_pvalues, mean_of
from recommender.agents.insights.evidence import Evidence
from recommender.agents.insights.fatigue import fatigue
from recommender.agents.insights.groups import Group, Rule, TreeConfig, find_groups
from recommender.agents.insights.insights import find_insights
from recommender.agents.insights.segments import what_works
from recommender.agents.record import AGENT_DECISION_SCHEMA, sends_of
from recommender.agents.sends import SEND_SCHEMA, Sends
from recommender.decision.logged.contexts import ContextEncoder
from recommender.events import DAY_MS
from tests.agents.mailing import AGENT, EVENING, MORNING, START_MS, Mailing, purchases, run_days

LATER_MS = START_MS + 100 * DAY_MS
DAYS = [1, 4, 7]  # a Tuesday, a Friday and a Monday; the windows of two days do not overlap
EVEN = replace(AGENT, policy="uniform", exploration=1.0)


@pytest.fixture(scope="module")
def mailing_evidence() -> Evidence:
    """4,000 people, three days: the thrifty gain 0.2 to 0.4 by a voucher, the others 0.1 to 0.2 by news."""
    records, events, _ = run_days(Mailing(4000), EVEN, DAYS)
    return Evidence.of(EVEN, records, events, LATER_MS)


def test_a_persons_rows_are_one_draw() -> None:
    values, owner = np.array([1.0, 1.0, 0.0, 0.0]), np.array([0, 0, 1, 1])
    found = mean_of(values, owner)
    # Two people, at 1 and at 0: a mean of 1/2 whose error is that of two draws, √(1/2) / √2.
    assert (found.value, found.people, found.rows) == (0.5, 2, 4)
    assert found.error == pytest.approx(np.sqrt(0.5) / np.sqrt(2))
    assert difference(values, owner == 0, owner).value == 1.0


def test_too_few_people_have_no_interval_and_prove_nothing() -> None:
    told = mean_of(np.array([1.0, 0.0, 3.0]), np.arange(3))
    assert told.as_json()["low"] is None
    assert told.pvalue == 1.0
    sure, unsure = Estimate(1.0, 0.1, 500, 500, 400.0), Estimate(0.21, 0.1, 500, 500, 400.0)
    # Alone p = .036; among three it is the second of them, and twice that.
    assert holm_pvalues([sure, unsure, told])[1] == pytest.approx(2 * unsure.pvalue)


def test_a_tree_finds_who_gains_and_says_it_with_round_numbers() -> None:
    rng = np.random.default_rng(1)
    table = pa.table({"age": rng.integers(18, 90, 5000), "is_thrifty": rng.random(5000) < 0.5})
    encoder = ContextEncoder.fit(table)
    contexts, _ = encoder.transform(table)
    gain = np.where((contexts[:, 0] >= 40) & (contexts[:, 1] > 0), 1.0, 0.0) + rng.normal(0, 0.5, 5000)
    best, *others = find_groups(contexts, gain, np.arange(5000))
    assert sorted(best.words(encoder).split(" and ")) == ["age 40 or more", "is thrifty"]
    whole = np.stack([group.holds(contexts) for group in (best, *others)])
    assert (whole.sum(axis=0) == 1).all()  # everybody is in one of them
    assert best.as_json(encoder) == [
        {"column": encoder.names[rule.column], "bound": rule.bound, "is_below": rule.is_below} for rule in best.rules
    ]


def test_words_of_a_range_of_a_town_and_of_what_is_missing() -> None:
    table = pa.table({"spend": [1.0, None] * 5, "town": ["Ulm"] * 5 + ["Bonn"] * 5})
    encoder = ContextEncoder.fit(table)
    contexts, _ = encoder.transform(table)
    bonn, ulm = (1 + encoder.columns[1].levels.index(name) for name in ("Bonn", "Ulm"))
    told = Group((Rule(0, 10.0, False), Rule(0, 25.0, True), Rule(ulm, 0.5, False)))
    assert told.words(encoder) == "spend 10 to under 25 and town is Ulm"
    assert Group((Rule(bonn, 0.5, True),)).words(encoder) == "town is not Bonn"
    assert Group().words(encoder) == "everybody"
    assert Rule(0, 2.0, True).holds(contexts).tolist() == [True, False] * 5


def test_nothing_is_parted_where_a_group_would_be_too_small() -> None:
    contexts = np.arange(100, dtype=np.float32)[:, None]
    assert find_groups(contexts, contexts[:, 0].astype(float), np.arange(100), TreeConfig(least_people=60)) == [Group()]


@pytest.mark.slow
def test_the_thrifty_are_found_and_what_each_message_earns_them(mailing_evidence: Evidence) -> None:
    message, actions = what_works(mailing_evidence)
    # Half of the windows are evenings, which double it: 0.3 by a voucher or 0.15 by news, each sent to half.
    assert message["question"] == "message"
    assert message["overall"]["message"]["low"] < (0.3 / 2 + 0.15 / 2) / 2 < message["overall"]["message"]["high"]
    assert actions["base"] == "the other messages"
    for words, truth in (("is thrifty", 0.3), ("is not thrifty", -0.15)):
        own = [group for group in actions["groups"] if words in group["words"].split(" and ")]
        assert own
        assert all(group["effects"]["voucher"]["is_proven"] and group["differs"]["is_proven"] for group in own)
        assert all(np.sign(group["effects"]["voucher"]["value"]) == np.sign(truth) for group in own)
        assert any(own["low"] < truth < own["high"] for own in (group["effects"]["voucher"] for group in own))


def test_everything_is_told_of_an_agent_and_twice_the_same(mailing_evidence: Evidence) -> None:
    records, events, audience = run_days(Mailing(700), EVEN, DAYS)
    people = audience.table.select(["user_id", "timezone"])
    told = find_insights(EVEN, records, events, sends_of(records), LATER_MS, people)
    assert told == find_insights(EVEN, records, events, sends_of(records), LATER_MS, people)
    assert told["activity"]["messages"] == pc.sum(pc.not_equal(records["action"], "nothing")).as_py()
    assert sum(told["activity"]["reasons"].values()) + told["activity"]["messages"] == 2100
    assert told["windows"]["names"] == [MORNING.name, EVENING.name]
    assert [own["hour"] for own in told["hours"]] == [9, 10, 11, 17, 18, 19]
    monday, tuesday, wednesday, _, friday, *_ = told["windows"]["weekdays"]
    assert all(cell is not None for cell in (*monday, *tuesday, *friday))
    assert wednesday == [None, None]


@pytest.mark.slow
def test_evenings_double_what_a_message_adds(mailing_evidence: Evidence) -> None:
    told = find_insights(
        EVEN, mailing_evidence.records, run_days(Mailing(4000), EVEN, DAYS)[1], SEND_SCHEMA.empty_table(), LATER_MS
    )
    morning, evening = told["windows"]["windows"]
    # In the morning a message adds 0.075 on average (0.2 or 0.1, to a quarter of the pairs each), twice that at night.
    assert morning["low"] < 0.075 < morning["high"]
    assert evening["low"] < 0.15 < evening["high"]
    assert morning["high"] < evening["low"]


@pytest.mark.parametrize("people", [0, 3])
def test_an_agent_with_hardly_any_decision_has_insights_that_say_so(people: int) -> None:
    records = run_days(Mailing(people), EVEN, [0])[0] if people else AGENT_DECISION_SCHEMA.empty_table()
    events, sends = purchases([], []), SEND_SCHEMA.empty_table()
    told = find_insights(EVEN, records, events, sends, LATER_MS)
    assert told["activity"]["decisions"] == people
    assert [group for part in told["segments"] for group in part["groups"] if group["differs"]["is_proven"]] == []
    assert expected_gains(Evidence.of(EVEN, records, events, LATER_MS)).schema == AFFINITY_SCHEMA


@pytest.mark.slow
def test_affinities_rank_the_voucher_first_for_the_thrifty_and_news_for_the_others(mailing_evidence: Evidence) -> None:
    table = expected_gains(mailing_evidence)
    assert len(table) == 4000 * 2
    assert pc.all(pc.equal(table["evidence_count"], 3)).as_py()
    first = table.filter(pc.equal(table["rank"], 1)).sort_by("user_id")
    thrifty = Mailing(4000).audience().table["is_thrifty"].to_numpy()
    assert ((np.array(first["action"].to_pylist()) == "voucher") == thrifty).mean() > 0.95


def tiring_log(fatigue_by_count: float) -> tuple[Evidence, pa.Table, pa.Table]:
    """Every day a random two in five of 2,000 people are decided for, so how much they had is drawn; a message adds
    0.3 less `fatigue_by_count` for each of the six days before, and nothing else makes anybody buy."""
    agent = replace(EVEN, goal=Goal({"purchase": 1.0}, window_days=1.0), actions=(Action("news", "email"),))
    agent = replace(agent, frequency=Frequency(()))
    whole, rng = Mailing(2000).audience().table, np.random.default_rng(3)
    records, events, sent = [], [], [np.zeros(2000)] * 6
    for day in range(14):
        here = np.flatnonzero(rng.random(2000) < 0.4)
        audience = Audience.read(whole.take(pa.array(here)))
        at_ms = START_MS + day * DAY_MS
        found = decide_for(agent, audience, Sends.of(SEND_SCHEMA.empty_table(), audience), Run(at_ms))
        got = np.asarray(pc.not_equal(found["action"], "nothing").to_numpy())
        chance = got * np.maximum(0.3 - fatigue_by_count * np.sum(sent[-6:], axis=0)[here], 0.0)
        buyers = [user for user, does in zip(audience.user_ids, rng.random(len(here)) < chance, strict=True) if does]
        today = np.zeros(2000)
        today[here] = got
        sent.append(today)
        records.append(found)
        events.append(purchases(buyers, [at_ms + DAY_MS - 3_600_000] * len(buyers)))
    told = pa.concat_tables(records)
    return Evidence.of(agent, told, pa.concat_tables(events), LATER_MS), sends_of(told), pa.concat_tables(events)


@pytest.mark.slow
@pytest.mark.parametrize("by_count", [0.0, 0.07])
def test_people_are_said_to_tire_only_where_they_do(by_count: float) -> None:
    evidence, sends, events = tiring_log(by_count)
    week, _, _ = fatigue(evidence, sends, events)
    change = week["change"]
    assert change["is_proven"] == (by_count > 0)
    for count, own in enumerate(week["bins"][:4]):
        truth = 0.3 - by_count * count
        # Four errors of the interval's two: five bins of two logs must not fail by chance.
        half = own["gain"]["high"] - own["gain"]["value"]
        assert abs(own["gain"]["value"] - truth) < 2 * half, own


def test_what_was_never_seen_side_by_side_is_not_compared() -> None:
    """Everybody got a first message on one day and a second one on the next: a later day, or one more?"""
    records, events, _ = run_days(Mailing(400), replace(EVEN, goal=Goal({"purchase": 1.0}, window_days=1.0)), [0, 1])
    curves = fatigue(Evidence.of(EVEN, records, events, LATER_MS), sends_of(records), events)
    assert curves[0]["change"] is None
    assert all(own["gain"]["value"] is None for own in curves[0]["bins"])


def test_messages_are_told_by_action_and_period() -> None:
    records, _, _ = run_days(Mailing(100), EVEN, [0, 1, 20])
    told = activity(records)
    assert [period["from"] for period in told["periods"]] == ["2026-06-01", "2026-06-15"]
    assert sum(sum(period["actions"].values()) for period in told["periods"]) == told["messages"]
    assert rewards_of(EVEN, records, purchases([], [])).sum() == 0.0


@pytest.mark.slow
@pytest.mark.parametrize("world", ["alike", "different"])
def test_in_simulated_worlds_intervals_hold_and_nothing_is_invented(world: str) -> None:
    """Short; the whole is `python -m benchmarks.insights`."""
    found = judge(world, 1500, range(500, 504))
    assert found.logs == 4
    assert found.held >= 0.8 * found.shown > 0
    assert found.differ <= (4 if world == "different" else 1)
