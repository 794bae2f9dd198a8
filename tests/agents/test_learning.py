"""What an agent learns from its own records: what is there, and nothing where there is nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from recommender.agents.agent import Frequency, Goal, Timing
from recommender.agents.agent_model import COLD, load_agent_model, save_agent_model
from recommender.agents.attribution import closed, rewards_of, sending_log, to_log
from recommender.agents.deciding import Run, decide_for
from recommender.agents.learning import learn
from recommender.agents.sends import SEND_SCHEMA, Sends
from recommender.errors import IntegrityError
from recommender.events import DAY_MS
from tests.agents.mailing import AGENT, EVENING, START_MS, Mailing, purchases, run_days

DAYS = list(range(0, 9, 3))  # windows of two days that do not overlap
LATER_MS = START_MS + 100 * DAY_MS


def test_a_decision_earns_what_comes_in_its_window_less_its_costs() -> None:
    records, _, _ = run_days(Mailing(4), replace(AGENT, shares=replace(AGENT.shares, holdout=0.0)), [0])
    ids = records["user_id"].to_pylist()
    window = round(2.0 * DAY_MS)
    events = purchases(
        [ids[0], ids[0], ids[1], ids[2], ids[3], ids[3]],
        [START_MS + 1, START_MS + window, START_MS, START_MS + window + 1, START_MS + 5, START_MS - 5],
    )
    assert rewards_of(AGENT, records, events).tolist() == [2.0, 0.0, 0.0, 1.0]
    costly = tuple(replace(action, cost=0.25, offer_cost=0.5) for action in AGENT.actions)
    euros = replace(AGENT, goal=Goal({"purchase": 0.5}, "revenue", 2.0), actions=costly)
    worth = 0.5 * 2 * 5.0  # weight × quantity × price
    assert rewards_of(euros, records, events).tolist() == [2 * worth - 0.75, -0.25, -0.25, worth - 0.75]


def test_a_decision_whose_window_is_open_is_left_out() -> None:
    records, _, _ = run_days(Mailing(10), AGENT, [0, 1])
    assert closed(records, AGENT.goal, START_MS + 2 * DAY_MS - 1).num_rows == 0
    assert closed(records, AGENT.goal, START_MS + 2 * DAY_MS).num_rows == 10
    assert closed(records, AGENT.goal, START_MS + 3 * DAY_MS).num_rows == 20


def test_holdout_and_agent_are_one_experiment_whose_propensities_add_up() -> None:
    agent = replace(AGENT, frequency=Frequency((), suppressed_share=0.3))
    records, events, _ = run_days(Mailing(4000), agent, DAYS)
    rewards = rewards_of(agent, records, events)
    log = sending_log(records, rewards)
    assert log is not None
    assert log.actions == ("nothing", "message")
    inverse = [np.where(log.action == place, 1 / log.propensity, 0.0) for place in (0, 1)]
    # The holdout is drawn once a person: 12,000 rows are 4,000 draws.
    assert [abs(part.mean() - 1) < 4 * part.std() / np.sqrt(4000) for part in inverse] == [True, True]
    whole = to_log(agent, records, rewards)
    assert whole is not None
    assert whole.actions == ("news", "voucher", "nothing")
    for place in range(3):
        part = np.where(whole.action == place, 1 / whole.propensity, 0.0)
        assert abs(part.mean() - 1) < 4 * part.std() / np.sqrt(4000)


@pytest.mark.slow
def test_strong_differences_are_learnt_and_earn_more_than_one_message_for_all(tmp_path: Path) -> None:
    mailing = Mailing(4000)
    agent = replace(AGENT, exploration=1.0, policy="lints")
    records, events, audience = run_days(mailing, agent, DAYS)
    model = learn(agent, records, events, LATER_MS)
    assert model.messages is not None, model.facts
    version = save_agent_model(model, tmp_path / "model")
    loaded = load_agent_model(tmp_path / "model")
    assert loaded.version == version == save_agent_model(learn(agent, records, events, LATER_MS), tmp_path / "again")
    careful = replace(AGENT, exploration=0.05)
    day = Run(LATER_MS, "v2")
    told = decide_for(careful, audience, Sends.of(SEND_SCHEMA.empty_table(), audience), day, loaded)
    cold = decide_for(careful, audience, Sends.of(SEND_SCHEMA.empty_table(), audience), day, COLD)
    own = np.asarray(pc.equal(told["arm"], "agent").to_numpy())
    earned = [float(mailing.chances(audience, table)[own].mean()) for table in (told, cold)]
    # Perfect: 0.1 + (0.4 + 0.2) / 2 in the evening. A cold one writes anything, anytime: 0.1 + 1.5 × (0.05 + 0.1) / 2.
    assert earned[0] > 0.1 + 0.9 * 0.3
    assert earned[1] < 0.1 + 0.1125 * 1.1
    evenings = pc.equal(told.filter(pa.array(own))["send_window"], EVENING.name)
    assert pc.mean(evenings).as_py() > 0.95


def test_where_nothing_differs_that_is_said_and_nobody_is_left_alone() -> None:
    mailing = Mailing(700, strength=0.0)
    agent = replace(AGENT, timing=Timing(AGENT.timing.windows[:1]))
    records, events, audience = run_days(mailing, agent, DAYS)
    model = learn(agent, records, events, LATER_MS)
    assert not model.facts["messages"]["personal"]
    assert model.facts["messages"]["sentence"].startswith("Nearly one for all: differences between people")
    assert model.sending is None
    assert not model.preferences(agent, audience).gains.any()


@pytest.mark.slow
def test_where_one_message_is_best_for_all_hardly_anybody_gets_another() -> None:
    """Differences between people are shrunk as far as they are not there: news gains each 0.1, a voucher nobody."""
    rng = np.random.default_rng(3)
    people = 4000
    audience = Mailing(people).audience()
    records, events = [], []
    for day in DAYS:
        found = decide_for(
            AGENT, audience, Sends.of(SEND_SCHEMA.empty_table(), audience), Run(START_MS + day * DAY_MS, "v1")
        )
        bought = rng.random(people) < 0.1 + 0.1 * pc.equal(found["action"], "news").to_numpy()
        ids = [user for user, has in zip(audience.user_ids, bought, strict=True) if has]
        records.append(found)
        events.append(purchases(ids, [START_MS + day * DAY_MS + DAY_MS // 2] * len(ids)))
    model = learn(AGENT, pa.concat_tables(records), pa.concat_tables(events), LATER_MS)
    wants = model.preferences(AGENT, audience).actions
    assert (wants[:, 0] > wants[:, 1]).mean() > 0.99


def test_thin_evidence_is_named_and_the_folder_of_a_cold_agent_is_none(tmp_path: Path) -> None:
    records, events, _ = run_days(Mailing(60), AGENT, [0])
    model = learn(AGENT, records, events, LATER_MS)
    assert "of 500 that a choice by person needs" in model.facts["messages"]["sentence"]
    assert load_agent_model(tmp_path / "nowhere") == COLD


def test_a_changed_byte_is_found(tmp_path: Path) -> None:
    records, events, _ = run_days(Mailing(60), AGENT, [0])
    save_agent_model(learn(AGENT, records, events, LATER_MS), tmp_path / "model")
    path = tmp_path / "model" / "agent.json"
    path.write_bytes(path.read_bytes().replace(b'"decisions": 60', b'"decisions": 61'))
    with pytest.raises(IntegrityError, match=r"other bytes than were written in agent\.json"):
        load_agent_model(tmp_path / "model")


@pytest.mark.slow
def test_who_gains_nothing_is_left_alone_once_that_is_proven() -> None:
    """Vouchers for all: the thrifty gain 0.2 to 0.4, the others nothing; a third of the people may be left alone."""
    mailing = Mailing(4000)
    agent = replace(AGENT, actions=AGENT.actions[1:], frequency=Frequency((), suppressed_share=0.3), policy="lints")
    records, events, audience = run_days(mailing, agent, DAYS)
    model = learn(agent, records, events, LATER_MS)
    assert model.sending is not None, model.facts
    told = decide_for(agent, audience, Sends.of(SEND_SCHEMA.empty_table(), audience), Run(LATER_MS, "v2"), model)
    thrifty = np.asarray(audience.table["is_thrifty"].to_numpy())
    alone = np.asarray(pc.equal(told["reason"], "suppressed").to_numpy())
    own = int(np.asarray(pc.equal(told["arm"], "agent").to_numpy()).sum())
    # 30 % of the agent's people less one in twenty, who is still written to.
    assert abs(alone.sum() / own - 0.3 * 0.95) < 4 * np.sqrt(0.285 * 0.715 / own)
    assert not (alone & thrifty).any()
    shares = told["send_share"].to_numpy()[alone]  # of people who gain just as much as the bound, some are written to
    assert (shares == 0.05).mean() > 0.95
    never = replace(agent, frequency=Frequency(()))
    assert (model.preferences(never, audience).send == 1.0).all()
