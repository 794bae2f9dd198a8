"""A run decided before its turn: mended for whom somebody wrote to meanwhile, it is what deciding anew would give."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pytest

from recommender.agents.agent import Agent, Cap, Frequency
from recommender.agents.agent_model import COLD
from recommender.agents.deciding import Run, decide_for
from recommender.agents.draft import Draft
from recommender.agents.sends import SEND_SCHEMA, Sends
from tests.agents.mailing import AGENT as MAILING_AGENT
from tests.agents.mailing import START_MS, Mailing

AUDIENCE = Mailing(200).audience()
AGENT = replace(MAILING_AGENT, frequency=Frequency((Cap(1, "day"),)))
LIMITED = replace(AGENT, actions=(AGENT.actions[0], replace(AGENT.actions[1], inventory=30)))
RUN = Run(START_MS, "v1")
TEN = START_MS + 8 * 3_600_000  # ten o'clock in Berlin


def messages(user_ids: list[str], agent: str = "autumn", action: str = "rebate") -> pa.Table:
    at = pa.array([TEN] * len(user_ids), pa.int64()).cast(pa.timestamp("ms"))
    columns = {"user_id": user_ids, "send_at": at, "agent": [agent] * len(user_ids), "action": [action] * len(user_ids)}
    return pa.table(columns | {"channel": ["email"] * len(user_ids)}).cast(SEND_SCHEMA)


EARLIER = messages(AUDIENCE.user_ids[:20])


def drafted(agent: Agent, left: dict[str, int]) -> Draft:
    return Draft.of(agent, AUDIENCE, EARLIER, RUN, COLD, left)


@pytest.mark.parametrize(
    ("agent", "left", "news", "left_then"),
    [
        (AGENT, {}, messages([AUDIENCE.user_ids[k] for k in (0, 25, 77, 199)]), {}),
        (AGENT, {}, messages(AUDIENCE.user_ids), {}),
        (LIMITED, {"voucher": 30}, messages(AUDIENCE.user_ids[50:60]), {"voucher": 30}),
        (LIMITED, {"voucher": 30}, messages(["stranger"] * 7, "spring", "voucher"), {"voucher": 23}),
        (LIMITED, {"voucher": 3}, messages(AUDIENCE.user_ids[90:95], "spring", "voucher"), {"voucher": 0}),
    ],
)
def test_it_is_what_deciding_anew_would_give(
    agent: Agent, left: dict[str, int], news: pa.Table, left_then: dict[str, int]
) -> None:
    both = Sends.of(pa.concat_tables([EARLIER, news]), AUDIENCE)
    anew = decide_for(agent, AUDIENCE, both, RUN, COLD, left_then)
    draft = drafted(agent, left)
    assert draft.after(news).equals(anew)
    assert not draft.records.equals(anew)


def test_where_nobody_of_the_audience_was_written_to_nothing_is_done_again() -> None:
    for draft in (drafted(AGENT, {}), drafted(LIMITED, {"voucher": 30})):
        assert draft.after(messages([])) is draft.records
        assert draft.after(messages(["stranger"])) is draft.records
