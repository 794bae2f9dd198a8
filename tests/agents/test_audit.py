"""The audit of a run: it believes what is sound, and finds each guardrail that a broken record breaks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from recommender.agents.agent import NOTHING, Agent, Cap, Eligibility, Frequency
from recommender.agents.agent_model import COLD, AgentModel
from recommender.agents.audience import Audience
from recommender.agents.audit import Audit, audit_earlier, audit_run
from recommender.agents.beliefs import Beliefs
from recommender.agents.deciding import Run, decide_for
from recommender.agents.record import sends_of
from recommender.agents.sends import SEND_SCHEMA, Sends
from recommender.conditions import parse_condition
from recommender.events import DAY_MS
from tests.agents.mailing import AGENT as MAILING_AGENT
from tests.agents.mailing import START_MS, Mailing

HOUR_MS = 3_600_000
AGENT = replace(
    MAILING_AGENT,
    frequency=Frequency((Cap(1, "day"), Cap(2, "week", channel="email"), Cap(1, "month", action="voucher")), 20.0),
    eligibility=Eligibility(parse_condition({"town": ["Ulm", "Bonn"]})),
    actions=(MAILING_AGENT.actions[0], replace(MAILING_AGENT.actions[1], inventory=50)),
)
AUDIENCE = Mailing(people=400).audience()


def one_run(agent: Agent = AGENT, model: AgentModel = COLD) -> pa.Table:
    return decide_for(agent, AUDIENCE, Sends.of(SEND_SCHEMA.empty_table(), AUDIENCE), Run(START_MS, "v1"), model)


def audited(records: pa.Table, agent: Agent = AGENT, earlier: pa.Table | None = None) -> Audit:
    messages = pa.concat_tables([sends_of(records), earlier or SEND_SCHEMA.empty_table()])
    counts = {row["values"]: row["counts"] for row in pc.value_counts(records["action"]).to_pylist()}
    return audit_run(agent, AUDIENCE, records, messages, counts)


def broken(audit: Audit) -> dict[str, int]:
    return {name: count for name, count in audit.broken.items() if count}


def changed(records: pa.Table, name: str, values: object) -> pa.Table:
    return records.set_column(records.schema.get_field_index(name), records.schema.field(name), values)


def test_a_week_of_sound_runs_is_believed() -> None:
    sent = SEND_SCHEMA.empty_table()
    given: dict[str, int] = {}
    for day in range(7):
        run = Run(START_MS + day * DAY_MS, "v1")
        left = {"voucher": 50 - given.get("voucher", 0)}
        records = decide_for(AGENT, AUDIENCE, Sends.of(sent, AUDIENCE), run, remaining=left)
        sent = pa.concat_tables([sent, sends_of(records)])
        for row in pc.value_counts(records["action"]).to_pylist():
            given[row["values"]] = given.get(row["values"], 0) + row["counts"]
        audit = audit_run(AGENT, AUDIENCE, records, sent, given)
        assert audit.is_sound, audit.sentence
        assert audit.is_within_budget
    assert len(sent) > 400  # most people got both of their week's messages
    assert given["voucher"] == 50
    assert audit.sentence == f"all {len(audit.broken)} guardrails held"


def test_what_a_file_decided_in_a_week_is_judged_together() -> None:
    """Each day by itself is sound; that two of them have too many for one person only both together tell."""
    sent, days = SEND_SCHEMA.empty_table(), []
    for day in range(7):
        days.append(decide_for(AGENT, AUDIENCE, Sends.of(sent, AUDIENCE), Run(START_MS + day * DAY_MS, "v1")))
        sent = pa.concat_tables([sent, sends_of(days[-1])])
    assert audit_earlier(AGENT, AUDIENCE, pa.concat_tables(days)).is_sound
    blind = [one_run(), decide_for(AGENT, AUDIENCE, Sends.of(sent.slice(0, 0), AUDIENCE), Run(START_MS + DAY_MS, "v1"))]
    assert all(audited(day).is_sound for day in blind)
    both = broken(audit_earlier(AGENT, AUDIENCE, pa.concat_tables(blind)))
    assert both["cap 1 a month of voucher"] > 0
    assert "cap 1 a day" not in both
    departed = Audience.read(AUDIENCE.table.slice(0, 1))
    assert sum(broken(audit_earlier(AGENT, departed, pa.concat_tables(blind))).values()) <= len(both)
    held = of_arm(pa.concat_tables(days), "holdout")
    assert broken(audit_earlier(AGENT, AUDIENCE, held)).keys() == {"holdout"}


def sent_rows(records: pa.Table) -> np.ndarray:
    return np.flatnonzero(pc.not_equal(records["action"], NOTHING).to_numpy())


def moved(records: pa.Table, by_ms: int) -> pa.Table:
    at = pc.add(records["send_at"].cast(pa.int64()), by_ms)
    return changed(records, "send_at", at.cast(pa.timestamp("ms")))


def of_arm(records: pa.Table, arm: str) -> pa.Table:
    return changed(records, "arm", pa.array([arm] * len(records)))


def sends(user_ids: list[str], at_ms: list[int], action: str = "other", channel: str = "push") -> pa.Table:
    times = pa.array(at_ms, pa.int64()).cast(pa.timestamp("ms"))
    rows = {"user_id": user_ids, "send_at": times, "agent": ["autumn"] * len(at_ms)}
    return pa.table(rows | {"action": [action] * len(at_ms), "channel": [channel] * len(at_ms)}).cast(SEND_SCHEMA)


@pytest.mark.parametrize(
    ("guardrail", "breaking"),
    [
        ("holdout", lambda records: of_arm(records, "holdout")),
        ("timing", lambda records: moved(records, 5 * HOUR_MS)),
        ("propensity", lambda records: changed(records, "propensity", pc.multiply(records["propensity"], 0.9))),
        ("one decision each", lambda records: pa.concat_tables([records, records])),
        ("cap 1 a day", lambda records: pa.concat_tables([records, moved(records, 1)])),
        ("cool-down", lambda records: pa.concat_tables([records, moved(records, 19 * HOUR_MS)])),
        ("cap 2 a week by email", lambda records: pa.concat_tables([moved(records, k * DAY_MS) for k in (0, 2, 4)])),
        ("cap 1 a month of voucher", lambda records: pa.concat_tables([records, moved(records, 20 * DAY_MS)])),
        (
            "audience",
            lambda records: changed(records, "user_id", pc.binary_join_element_wise("x", records["user_id"], "")),
        ),
    ],
)
def test_what_is_broken_is_found(guardrail: str, breaking: object) -> None:
    records = one_run()
    assert broken(audited(records)) == {}
    found = broken(audited(breaking(records)))  # type: ignore[operator]
    assert found[guardrail] > 0


def test_consent_eligibility_conditions_and_stock_are_asked_for_again() -> None:
    records = one_run()
    people = len(sent_rows(records))
    nobody = AUDIENCE.table.set_column(
        AUDIENCE.table.schema.get_field_index("consent_email"), "consent_email", pa.array([None] * 400, pa.bool_())
    )
    counts = {"news": 0, "voucher": 51}
    audit = audit_run(AGENT, Audience.read(nobody), records, sends_of(records), counts)
    news, vouchers = (int(pc.sum(pc.equal(records["action"], name)).as_py()) for name in ("news", "voucher"))
    assert broken(audit) == {"consent news": news, "consent voucher": vouchers, "inventory voucher": vouchers}
    elsewhere = replace(AGENT, eligibility=Eligibility(parse_condition({"town": ["Paris"]})))
    assert broken(audited(records, elsewhere)) == {"eligibility": people}
    old = (replace(AGENT.actions[0], when=parse_condition({"age": {"min": 200}})), AGENT.actions[1])
    assert broken(audited(records, replace(AGENT, actions=old))) == {"condition news": news}


def test_messages_of_other_agents_count_where_a_cap_says_all() -> None:
    records = one_run()
    first = records.slice(int(sent_rows(records)[0]), 1)
    (user,), at = first["user_id"].to_pylist(), first["send_at"].cast(pa.int64()).to_pylist()[0]
    near = sends([user], [at - HOUR_MS])
    assert broken(audited(records, earlier=near)) == {"cool-down": 1, "cap 1 a day": 1}
    assert audited(records, earlier=near).examples["cool-down"] == [user]
    assert audited(records, earlier=near).sentence == "cool-down: 1 person; cap 1 a day: 1 person"  # and not who
    # A push is no e-mail, a voucher of another agent is none of ours, and 20 hours are long enough.
    far = sends([user] * 2, [at - 3 * DAY_MS, at - 5 * DAY_MS], "voucher")
    assert broken(audited(records, earlier=far)) == {}


def test_more_exploration_than_chance_explains_is_found() -> None:
    generous = replace(AGENT, exploration=0.9)
    known = AgentModel(Beliefs(("news", "voucher"), (0.2, 0.19), (0.05, 0.05)), COLD.windows)
    records = one_run(generous, known)
    assert audited(records, generous).is_within_budget
    strict = audited(records, replace(AGENT, exploration=0.05))
    assert not strict.is_within_budget
    assert strict.explored > 0.05 * strict.messages


def test_before_anything_is_known_and_among_equals_nothing_counts_as_explored() -> None:
    assert audited(one_run()).explored == 0
    alike = AgentModel(Beliefs(("news", "voucher"), (0.2, 0.2), (0.0, 0.0)), COLD.windows)
    assert audited(one_run(AGENT, alike)).explored == 0
