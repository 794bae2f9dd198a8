"""Everything an agent's records show, as plain values for a page and for machines. No page is drawn here."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from recommender.agents.agent import Agent
from recommender.agents.insights.earnings import activity, cost_of_trying, left_alone
from recommender.agents.insights.evidence import Evidence
from recommender.agents.insights.fatigue import fatigue
from recommender.agents.insights.segments import what_works
from recommender.agents.insights.when import by_channel, by_hour, by_place, by_window

__all__ = ["find_insights"]


def find_insights(
    agent: Agent,
    records: pa.Table,
    events: pa.Table,
    sends: pa.Table,
    now_ms: int,
    people: pa.Table | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """What the agent did (`activity`, of all decisions) and what follows from those whose window had closed at
    `now_ms`: `segments`, `windows`, `hours`, `channels`, `places`, `fatigue`, `trying`, `left_alone`. Every figure of
    an effect has value, low and high (95 %), None where there is too little evidence.

    `records` in AGENT_DECISION_SCHEMA; `events` as in `rewards_of`, unsubscribes among them; `sends` in SEND_SCHEMA by
    all agents; `people`: `user_id` with `timezone` and `country`, where they are known. The same input and seed give
    the same figures.
    """
    evidence = Evidence.of(agent, records, events, now_ms, seed)
    return {
        "agent": agent.name,
        "goal": {
            "outcomes": dict(agent.goal.outcomes),
            "value": agent.goal.value,
            "window_days": agent.goal.window_days,
        },
        "activity": activity(records),
        "closed_decisions": len(evidence),
        "share_of_people": evidence.share,
        "segments": what_works(evidence),
        "windows": by_window(evidence, people),
        "hours": by_hour(evidence, people),
        "channels": by_channel(evidence),
        "places": by_place(evidence, people),
        "fatigue": fatigue(evidence, sends, events),
        "trying": cost_of_trying(evidence),
        "left_alone": left_alone(evidence),
    }
