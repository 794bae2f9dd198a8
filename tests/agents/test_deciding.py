"""A run of an agent: one record a person, from which everything that follows can be read."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from scipy.stats import chi2

from recommender.agents.agent import NOTHING, Action, Frequency
from recommender.agents.agent_model import AgentModel
from recommender.agents.audience import Audience
from recommender.agents.beliefs import Beliefs
from recommender.agents.deciding import Run, decide_for
from recommender.agents.learning import learn
from recommender.agents.record import AGENT_DECISION_SCHEMA, sends_of
from recommender.agents.sends import SEND_SCHEMA, Sends
from recommender.events import DAY_MS
from tests.agents.mailing import AGENT, EVENING, MORNING, START_MS, Mailing, run_days

RUN = Run(START_MS, "v1")
KNOWN = AgentModel(
    Beliefs(("news", "voucher"), (0.1, 0.12), (0.02, 0.02)),
    Beliefs((MORNING.name, EVENING.name), (0.0, 0.1), (0.1, 0.1)),
)


def nobody_yet(mailing: Mailing) -> Sends:
    return Sends.of(SEND_SCHEMA.empty_table(), mailing.audience())


def test_everybody_has_a_record_and_the_holdout_gets_nothing() -> None:
    mailing = Mailing()
    records = decide_for(AGENT, mailing.audience(), nobody_yet(mailing), RUN)
    assert records.schema == AGENT_DECISION_SCHEMA
    assert records["user_id"].to_pylist() == mailing.audience().user_ids
    assert pc.count_distinct(records["decision_id"]).as_py() == 2000
    arms = dict(zip(*(part.to_pylist() for part in pc.value_counts(records["arm"]).flatten()), strict=True))
    assert abs(arms["holdout"] - 0.2 * 2000) < 4 * np.sqrt(2000 * 0.2 * 0.8)
    held = records.filter(pc.equal(records["arm"], "holdout"))
    assert set(held["action"].to_pylist()) == {NOTHING}
    assert set(held["reason"].to_pylist()) == {"holdout"}
    assert sends_of(records).num_rows == 2000 - arms["holdout"]


def test_the_factors_multiply_to_the_whole_and_the_offers_to_one() -> None:
    mailing = Mailing(500)
    records = decide_for(AGENT, mailing.audience(), nobody_yet(mailing), RUN, KNOWN)
    factors = [records[f"{name}_propensity"].to_numpy() for name in ("send", "action", "window", "item")]
    assert np.array_equal(np.prod(factors, axis=0), records["propensity"].to_numpy())
    for row in records.filter(pc.not_equal(records["action"], NOTHING)).to_pylist():
        offered = dict(zip(row["offered_actions"], row["offered_propensities"], strict=True))
        assert sum(offered.values()) == pytest.approx(1.0, abs=1e-12)
        assert offered[row["action"]] == row["action_propensity"]


def test_the_same_run_gives_the_same_bytes_and_another_moment_another_draw() -> None:
    mailing = Mailing(300)
    again = [decide_for(AGENT, mailing.audience(), nobody_yet(mailing), RUN, KNOWN) for _ in range(2)]
    assert again[0].equals(again[1])
    later = decide_for(AGENT, mailing.audience(), nobody_yet(mailing), Run(START_MS + 3_600_000, "v1"), KNOWN)
    assert later["arm"].equals(again[0]["arm"])
    assert not set(later["decision_id"].to_pylist()) & set(again[0]["decision_id"].to_pylist())
    assert not later["action"].equals(again[0]["action"])


@pytest.mark.slow
def test_a_person_alone_is_decided_on_as_among_all_others() -> None:
    """By a model that has learnt messages and whom to leave alone: batch and online are one policy."""
    agent = replace(AGENT, policy="lints", exploration=0.6, frequency=Frequency((), suppressed_share=0.3))
    vouchers = replace(agent, actions=agent.actions[1:])  # they move the thrifty only
    (records, events, audience), (others, answers, _) = (
        run_days(Mailing(3000), one, [0, 3]) for one in (agent, vouchers)
    )
    now_ms = START_MS + 100 * DAY_MS
    moved = learn(vouchers, others, answers, now_ms)
    model = replace(learn(agent, records, events, now_ms), sending=moved.sending, suppression=moved.suppression)
    assert (model.messages, model.sending, model.suppression).count(None) == 0, model.facts
    run = Run(START_MS + 9 * DAY_MS, "v2")
    few = audience.table.slice(0, 60)
    together = decide_for(agent, audience, Sends.of(SEND_SCHEMA.empty_table(), audience), run, model).slice(0, 60)
    assert set(together["send_share"].to_pylist()) >= {1.0, 0.05}
    for row in range(60):
        one = Audience.read(few.slice(row, 1))
        alone = decide_for(agent, one, Sends.of(SEND_SCHEMA.empty_table(), one), run, model)
        assert alone.equals(together.slice(row, 1)), row


def test_a_cold_agent_keeps_to_its_budget_and_begins_with_what_was_done_before() -> None:
    mailing = Mailing(10_000)
    usual = replace(AGENT, shares=replace(AGENT.shares, holdout=0.0, baseline=0.0, baseline_action="voucher"))
    records = decide_for(usual, mailing.audience(), nobody_yet(mailing), RUN)
    others = float((records["action"].to_numpy(zero_copy_only=False) == "news").mean())
    # Half of the budget of 0.4 is for actions, the other half for windows.
    assert abs(others - 0.2) < 4 * np.sqrt(0.2 * 0.8 / 10_000)


def test_the_record_holds_what_the_policy_could_read() -> None:
    mailing = Mailing(50)
    records = decide_for(AGENT, mailing.audience(), nobody_yet(mailing), RUN)
    told = [json.loads(text) for text in records["features"].to_pylist()]
    assert told == mailing.audience().table.select(["is_thrifty", "age", "town"]).to_pylist()


def test_what_has_run_out_is_given_to_nobody_and_leaves_no_choice() -> None:
    mailing = Mailing(200)
    scarce = replace(AGENT, actions=(Action("voucher", "email", inventory=30),))
    records = decide_for(scarce, mailing.audience(), nobody_yet(mailing), RUN, remaining={"voucher": 7})
    assert sends_of(records).num_rows == 7
    none = decide_for(scarce, mailing.audience(), nobody_yet(mailing), RUN, remaining={"voucher": 0})
    assert sends_of(none).num_rows == 0
    assert none["send_share"].null_count == 200


@pytest.mark.slow
def test_a_hundred_thousand_replays_draw_as_they_say() -> None:
    """2,000 replays of 50 people: how often each action and window came, against the probabilities in the record."""
    mailing = Mailing(50, seed=3)
    audience, sends = mailing.audience(), nobody_yet(mailing)
    agent = replace(AGENT, frequency=Frequency((), suppressed_share=0.3))
    options = [(a.name, w.name) for a in agent.actions for w in agent.timing.windows]
    seen, expected = np.zeros((50, len(options) + 1)), np.zeros((50, len(options) + 1))
    for replay in range(2000):
        records = decide_for(agent, audience, sends, replace(RUN, salt=f"#{replay}"), KNOWN)
        whole = records["propensity"].to_numpy()
        pairs = zip(records["action"].to_pylist(), records["send_window"].to_pylist(), strict=True)
        place = np.array([options.index(pair) if pair in options else len(options) for pair in pairs])
        seen[np.arange(50), place] += 1
        expected[np.arange(50), place] = whole
    own = np.asarray(pc.equal(records["arm"], "agent").to_numpy())
    assert np.allclose(expected[own].sum(axis=1), 1.0)  # every option of every person came at least once in 2,000
    cells = expected[own] > 0
    statistic = ((seen[own] - 2000 * expected[own]) ** 2)[cells] / (2000 * expected[own][cells])
    assert chi2.sf(statistic.sum(), int((cells.sum(axis=1) - 1).sum())) > 0.001
    assert pa.compute.all(pc.equal(records.filter(pa.array(~own))["action"], NOTHING)).as_py()
