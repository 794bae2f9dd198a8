"""An agent's experiment: who counts, from when on, for which arm, and what of their outcomes and costs."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from recommender.agents.agent import Action, Agent, Goal, Shares
from recommender.agents.record import AGENT_DECISION_SCHEMA
from recommender.agents.trial import trial_of
from recommender.errors import NotReadyError
from recommender.events import DAY_MS
from recommender.experiments.readout import read_out
from tests.agents.mailing import AGENT as MAILING_AGENT
from tests.agents.mailing import START_MS, Mailing, purchases, run_days

AGENT = Agent(
    "spring",
    Goal({"purchase": 1.0}, window_days=2.0),
    (Action("news", "email", cost=0.25, offer_cost=0.5),),
    shares=Shares(holdout=0.5),
)
HOUR_MS = 3_600_000


def decision(user_id: str, day: int, arm: str, action: str = "nothing", **more: object) -> dict[str, object]:
    known = {"arm_share": 0.5, "send_share": 1.0, "features": '{"plan":"gold","is_new":true,"age":30}'}
    row = {"user_id": user_id, "decided_at": START_MS + day * DAY_MS, "arm": arm, "action": action}
    return dict.fromkeys(AGENT_DECISION_SCHEMA.names) | known | row | more


def records(*rows: dict[str, object]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=AGENT_DECISION_SCHEMA)


def worth(trial_table: pa.Table) -> dict[str, float]:
    grouped = trial_table.group_by("user_id").aggregate([("value", "sum")])
    return dict(zip(grouped["user_id"].to_pylist(), grouped["value_sum"].to_pylist(), strict=True))


def test_a_person_is_worth_what_came_after_their_first_decision_less_what_was_sent() -> None:
    decisions = records(
        decision("ann", 0, "agent", "news"),
        decision("bob", 0, "holdout"),
        decision("ann", 1, "agent", "news"),
        decision("cid", 3, "agent"),
    )
    bought = [
        ("ann", -1.0), ("ann", 0.0),  # before, and at the very moment: not after
        ("ann", 0.5), ("ann", 1.5),  # the second falls into the windows of both mails
        ("bob", 9.0),
        ("cid", 2.0),  # before their entry
        ("cid", 3.5),
    ]  # fmt: skip
    events = purchases([user for user, _ in bought], [START_MS + round(day * DAY_MS) for _, day in bought])
    trial = trial_of(AGENT, decisions, events, START_MS + 10 * DAY_MS)
    assert worth(trial.table) == {"ann": 2 - 2 * 0.25 - 2 * 0.5, "bob": 1.0, "cid": 1.0}
    assert dict(zip(*(trial.table[name].to_pylist() for name in ("user_id", "before")), strict=True)) == {
        "ann": 1.0,
        "bob": 0.0,
        "cid": 1.0,
    }
    assert trial.shares == {"agent": 0.5, "holdout": 0.5}
    assert (trial.people, trial.started, trial.left_out, trial.moved) == (3, 2, 0, 0)


def test_nothing_after_the_end_is_looked_at() -> None:
    decisions = records(decision("ann", 0, "agent", "news"), decision("bob", 0, "holdout"), decision("cid", 5, "agent"))
    events = purchases(["ann", "ann"], [START_MS + HOUR_MS, START_MS + 3 * DAY_MS])
    early = trial_of(AGENT, decisions, events, START_MS + DAY_MS)
    assert worth(early.table) == {"ann": 1 - 0.25 - 0.5, "bob": 0.0}


def test_people_to_whom_nothing_can_be_sent_stay_out_of_both_arms() -> None:
    decisions = records(
        decision("ann", 0, "agent", send_share=None),
        decision("bob", 0, "holdout", send_share=None),
        decision("cid", 0, "agent", "news"),
        decision("ann", 1, "agent", "news"),  # said yes meanwhile, and enters now
    )
    events = purchases(["ann", "bob", "ann"], [START_MS + HOUR_MS, START_MS + HOUR_MS, START_MS + 3 * DAY_MS // 2])
    trial = trial_of(AGENT, decisions, events, START_MS + 9 * DAY_MS)
    assert worth(trial.table) == {"ann": 1 - 0.25 - 0.5, "cid": -0.25}
    # What ann bought before her entry is no outcome, nor, after the agent's first decision about her, a covariate.
    assert set(trial.table["before"].to_pylist()) == {0.0}
    assert trial.left_out == 1
    scarce = replace(AGENT, actions=(replace(AGENT.actions[0], inventory=3),))
    assert trial_of(scarce, decisions, events, START_MS + 9 * DAY_MS).people == 3


def test_other_shares_are_another_experiment() -> None:
    decisions = records(
        decision("ann", 0, "agent", arm_share=0.9),
        decision("bob", 0, "holdout", arm_share=0.1),
        decision("ann", 4, "agent"),
        decision("bob", 4, "holdout"),
    )
    events = purchases(["ann", "bob"], [START_MS + DAY_MS, START_MS + 5 * DAY_MS])
    trial = trial_of(AGENT, decisions, events, START_MS + 9 * DAY_MS)
    assert trial.since_ms == START_MS + 4 * DAY_MS
    assert worth(trial.table) == {"ann": 0.0, "bob": 1.0}
    # The agent could have moved what ann bought in its first days, so it is not taken for what was before.
    assert set(trial.table["before"].to_pylist()) == {0.0}


def test_people_who_change_their_arm_count_for_the_first_one_and_are_told_of() -> None:
    decisions = records(
        decision("ann", 0, "agent"),
        decision("bob", 0, "holdout"),
        decision("ann", 1, "holdout"),
    )
    trial = trial_of(AGENT, decisions, purchases([], []), START_MS + 9 * DAY_MS)
    assert dict(zip(trial.table["user_id"].to_pylist(), trial.table["arm"].to_pylist(), strict=True))["ann"] == "agent"
    assert trial.moved == 1
    assert "1 people came into another arm" in trial.cautions[0]


def test_segments_are_texts_and_flags_of_the_moment_of_entry() -> None:
    decisions = records(
        decision("ann", 0, "agent"),
        decision("bob", 0, "holdout", features='{"plan":"free","is_new":true,"age":31}'),
        decision("ann", 1, "agent", features='{"plan":"free","is_new":false,"age":30}'),
    )
    trial = trial_of(AGENT, decisions, purchases([], []), START_MS + 9 * DAY_MS)
    assert trial.columns.segments == ("plan",)  # all are new, and ages are no names of groups
    assert trial.table["plan"].to_pylist() == ["gold", "free"]


def test_before_any_decision_there_is_nothing_to_read() -> None:
    with pytest.raises(NotReadyError, match="no decision so far"):
        trial_of(AGENT, records(), purchases([], []), START_MS)


def test_a_mailing_that_works_is_read_as_better_and_one_that_does_not_is_not() -> None:
    days = [0, 3, 6]
    for strength, verdict in ((1.0, "better"), (0.0, "not_enough_evidence")):
        decisions, events, _ = run_days(Mailing(strength=strength), MAILING_AGENT, days)
        trial = trial_of(MAILING_AGENT, decisions, events, START_MS + 9 * DAY_MS)
        report = read_out(trial.table, trial.columns, trial.shares)
        assert report["verdict"] == verdict
        assert report["control"] == "holdout"
        assert sum(arm["people"] for arm in report["arms"].values()) == Mailing().people
        assert [own["segment"] for own in report["segments"]["agent"]] == ["is_thrifty", "town"]
        assert len(report["days"]) == 4  # they enter on day 0, and buy a day after each decision
    bought = pc.sum(trial.table["value"]).as_py()
    assert bought == len(events)  # at no cost every purchase is worth one
