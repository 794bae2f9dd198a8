"""An agent's policies against each other: whose outcomes count, since when, and what is said of them."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pytest
from scipy.stats import binomtest

from recommender.agents.agent import Frequency, Shares, Variant
from recommender.agents.deciding import Run, decide_for
from recommender.agents.learning import learn
from recommender.agents.policy_trial import policy_trial_of, with_people_needed
from recommender.agents.record import AGENT_DECISION_SCHEMA
from recommender.agents.sends import SEND_SCHEMA, Sends
from recommender.errors import NotReadyError
from recommender.events import DAY_MS
from recommender.experiments.effects import EffectConfig
from recommender.experiments.readout import ReadoutConfig, read_out
from tests.agents.mailing import AGENT, START_MS, Mailing, purchases, run_days

END_MS = START_MS + 30 * DAY_MS
TWICE = (Variant("one", 0.5, "lints", 0.4, 0.0), Variant("two", 0.5, "lints", 0.4, 0.0))
SAME = replace(AGENT, shares=Shares(holdout=0.1), variants=TWICE)


def decision(user_id: str, day: int, variant: str | None, share: float = 0.5, arm: str = "agent") -> dict[str, object]:
    row = {"user_id": user_id, "decided_at": START_MS + day * DAY_MS, "arm": arm, "variant": variant}
    known = {"arm_share": 0.8, "variant_share": share, "action": "nothing", "send_share": 1.0, "features": "{}"}
    return dict.fromkeys(AGENT_DECISION_SCHEMA.names) | known | row


def records(*rows: dict[str, object]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=AGENT_DECISION_SCHEMA)


def test_only_the_agents_own_people_count_each_for_their_policy() -> None:
    found = records(
        decision("ann", 0, "one"),
        decision("bob", 0, "two"),
        decision("cid", 0, "two", arm="holdout"),
        decision("dan", 0, None),  # of before
    )
    trial = policy_trial_of(AGENT, found, purchases(["ann", "cid"], [START_MS + 1] * 2), END_MS)
    assert trial.shares == {"one": 0.5, "two": 0.5}
    values = trial.table.group_by("arm").aggregate([("value", "sum")]).to_pylist()
    assert {row["arm"]: row["value_sum"] for row in values} == {"one": 1.0, "two": 0.0}
    with pytest.raises(NotReadyError):
        policy_trial_of(AGENT, records(decision("dan", 0, None)), purchases([], []), END_MS)


@pytest.mark.parametrize(
    "before",
    [
        (("one", 0.9), ("two", 0.1)),  # other shares
        (("one", 0.5), ("three", 0.5)),  # another policy
        (("one", 0.25), ("two", 0.5), ("three", 0.25)),  # one less
    ],
)
def test_it_begins_where_policies_or_shares_were_last_changed(before: tuple[tuple[str, float], ...]) -> None:
    earlier = [decision(f"p{place}", 0, name, share) for place, (name, share) in enumerate(before)]
    found = records(*earlier, decision("p0", 4, "one"), decision("p1", 4, "two"), decision("p0", 5, "one"))
    trial = policy_trial_of(AGENT, found, purchases([], []), END_MS)
    assert trial.since_ms == START_MS + 4 * DAY_MS
    assert trial.shares == {"one": 0.5, "two": 0.5}


def test_people_needed_follow_from_the_difference_that_was_seen() -> None:
    own = {"arm": "two", "control": "one", "difference": 0.01, "detectable": 0.02, "low": -0.004, "high": 0.024}
    report = {
        "verdict": "not_enough_evidence", "sentence": "", "people": 1000, "comparisons": [own], "basis": "one look",
        "outcome": "value", "confidence": 0.95,
    }  # fmt: skip
    found = with_people_needed(report)
    assert found["comparisons"][0]["people_needed"] == 1000 * 2**2
    assert "not told apart yet" in found["sentence"]
    assert "about 4,000 people, 3,000 more" in found["sentence"]
    odd = with_people_needed(report | {"people": 1234})
    assert odd["comparisons"][0]["people_needed"] == 4936
    assert "about 4,900 people, 3,700 more" in odd["sentence"]
    far = with_people_needed(report | {"comparisons": [own | {"difference": 0.001}]})
    assert "more than 100 times as many" in far["sentence"]
    none = with_people_needed(report | {"comparisons": [own | {"difference": 0.0}]})
    assert none["comparisons"][0]["people_needed"] is None
    # By every look the interval is wider by 0.006 on each side, and 0.026 is what is seen.
    wide = own | {"always_low": -0.010, "always_high": 0.030}
    daily = with_people_needed(report | {"comparisons": [wide], "basis": "every look"})
    assert daily["comparisons"][0]["people_needed"] == round(1000 * 2.6**2)
    assert "(95% from -0.01 to 0.03, however often one looks) among 1,000 people. 0.026 would" in daily["sentence"]
    few = with_people_needed(report | {"comparisons": [own | {"difference": 0.03}]})  # not proven all the same
    assert "few decide these figures" in few["sentence"]
    better = with_people_needed(report | {"verdict": "better", "sentence": "two brings more."})
    assert better["sentence"] == "two brings more."


@pytest.mark.slow
def test_the_same_policy_twice_is_called_different_in_one_of_twenty() -> None:
    """A/A: 200 crowds of 500 people, each divided and decided for anew."""
    flags = at_any_look = refused = 0
    for crowd in range(200):
        mailing = Mailing(500, seed=crowd)
        audience, agent = mailing.audience(), replace(SAME, salt=f"crowd {crowd}")
        found = decide_for(agent, audience, Sends.of(SEND_SCHEMA.empty_table(), audience), Run(START_MS, "v1"))
        trial = policy_trial_of(agent, found, mailing.respond(audience, found, 0), END_MS)
        config = ReadoutConfig("one", effects=EffectConfig(0.05, float(trial.started)))
        report = read_out(trial.table, replace(trial.columns, segments=(), day=None), trial.shares, config)
        refused += report["verdict"] == "refused"
        for own in report["comparisons"]:
            flags += own["proven"] != "no"
            at_any_look += own["always_low"] > 0 or own["always_high"] < 0
    assert refused <= 2
    assert binomtest(flags, 200, 0.05).pvalue > 0.01
    assert at_any_look <= flags


@pytest.mark.slow
def test_a_policy_that_learns_is_found_better_than_chance() -> None:
    even = Variant("even", 0.5, "uniform", 1.0, 0.0)
    agent = replace(AGENT, frequency=Frequency(()), variants=(even, Variant("lints", 0.5, "lints", 0.1, 0.0)))
    before, bought, _ = run_days(Mailing(3000), agent, [0, 3])
    model = learn(agent, before, bought, START_MS + 6 * DAY_MS)
    found, answers, _ = run_days(Mailing(3000, seed=0), agent, [6, 9, 12], model)
    trial = policy_trial_of(agent, found, answers, END_MS)
    report = with_people_needed(read_out(trial.table, trial.columns, trial.shares, ReadoutConfig("even")))
    assert report["verdict"] == "better", report["sentence"]
    assert report["sentence"].startswith("lints brings ")
    # A decision in the evening earns 0.1 + (0.4 + 0.2) / 2 by the right message, by any of them 0.1 + (0.4 + 0.2) / 4.
    own = report["comparisons"][0]
    assert own["control_value"] / 3 == pytest.approx(0.1 + 0.6 / 4, abs=0.03)
    assert own["value"] / 3 > 0.1 + 0.25
