"""What an agent learnt, before it decides: probabilities must be ones, and outcomes must still come."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from recommender.agents.agent_model import COLD, AgentModel
from recommender.agents.attribution import AGENT_OUTCOME_SCHEMA
from recommender.agents.beliefs import Beliefs
from recommender.agents.learning import learn
from recommender.agents.soundness import SOME, outcomes_ceased, some_of, unsound
from recommender.agents.suppression import Suppression
from recommender.events import DAY_MS
from tests.agents.mailing import AGENT, START_MS, Mailing, run_days

MAILING = Mailing(600)
AUDIENCE = MAILING.audience()
NAN = float("nan")
NAMES = ("news", "voucher")
GOOD = AgentModel(Beliefs(NAMES, (0.1, 0.2), (0.1, 0.1)))


@pytest.fixture(scope="module")
def learnt() -> AgentModel:
    records, events, _ = run_days(MAILING, AGENT, [0, 1, 2])
    return learn(AGENT, records, events, START_MS + 9 * DAY_MS)


def test_what_was_learnt_from_sound_records_is_sound(learnt: AgentModel) -> None:
    assert [unsound(AGENT, model, AUDIENCE, START_MS) for model in (COLD, GOOD, learnt)] == ["", "", ""]
    assert unsound(AGENT, learnt, some_of(Mailing(0).audience()), START_MS) == ""


def test_numbers_that_are_none_are_found(learnt: AgentModel) -> None:
    assert learnt.sending is not None
    lost = replace(learnt.sending, weights=np.full_like(learnt.sending.weights, NAN))
    broken = {
        "actions are none for 600 of 600 people": replace(GOOD, actions=Beliefs(NAMES, (NAN, 0.2), (0.1, 0.1))),
        "gains that it expects are no numbers": replace(GOOD, sending=lost),
        "it fails for people of the audience": replace(GOOD, actions=Beliefs(NAMES, (0.1, 0.2), (0.1,))),
    }
    for told, model in broken.items():
        assert told in unsound(AGENT, model, AUDIENCE, START_MS)


def test_who_is_left_alone_counts_as_well() -> None:
    assert unsound(AGENT, replace(GOOD, suppression=Suppression(0.0)), AUDIENCE, START_MS) == ""


def test_it_is_tried_on_people_from_the_first_to_the_last() -> None:
    some = some_of(Mailing(3 * SOME).audience())
    assert (len(some), some.user_ids[0], some.user_ids[-1]) == (SOME, "u000000", f"u{3 * SOME - 1:06}")
    assert some_of(AUDIENCE).user_ids == AUDIENCE.user_ids


def outcomes(earlier: list[bool], later: list[bool]) -> pa.Table:
    wanted = [*earlier, *later]
    at = pa.array([START_MS] * len(earlier) + [START_MS + 1] * len(later), pa.int64()).cast(pa.timestamp("ms"))
    columns = {
        name: pa.nulls(len(wanted), AGENT_OUTCOME_SCHEMA.field(name).type) for name in AGENT_OUTCOME_SCHEMA.names
    }
    return pa.table({**columns, "decided_at": at, "is_wanted": pa.array(wanted, pa.bool_())})


def test_outcomes_that_come_no_more_are_noticed() -> None:
    """One in ten before: of 300 decisions 30 should be followed by a purchase."""
    usual = [number % 10 == 0 for number in range(1_000)]
    few, enough = ([number < came for number in range(300)] for came in (2, 3))
    told = outcomes_ceased(outcomes(usual, few), START_MS)
    assert told.startswith("of 300 decisions since the last model 2 were followed by a wanted outcome, where 30 would")
    assert outcomes_ceased(outcomes(usual, enough), START_MS) == ""
    assert outcomes_ceased(outcomes(usual, [False] * 199), START_MS) == ""  # 19.9 say too little
    assert outcomes_ceased(outcomes([], few), START_MS - 1) == ""
    assert outcomes_ceased(outcomes(usual, []), START_MS) == ""
    assert np.mean(usual) == 0.1
