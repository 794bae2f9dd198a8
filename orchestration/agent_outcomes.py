"""What each decision of an agent earned, written for the warehouse. How that is told, the core knows: `attribution`."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq

from orchestration.agent_learning import learnt_from
from orchestration.agents import AgentAtWork
from recommender.agents.attribution import outcomes_of
from recommender.workspace import Workspace, write_bytes_atomically

__all__ = ["write_outcomes"]

DECISION_COLUMNS = ["decision_id", "agent", "user_id", "decided_at", "action"]


def write_outcomes(workspace: Workspace, work: AgentAtWork, now_ms: int) -> pa.Table:
    """Write `outcomes.parquet` of all decisions whose window has closed, anew: what is recorded late still counts.

    The same function as the one that learning calls, so a mart and a model never differ in what a decision earned.
    """
    agent = work.agent
    records, events, until_ms = learnt_from(workspace, agent, DECISION_COLUMNS)
    found = outcomes_of(agent, records, events, min(now_ms, until_ms))
    buffer = io.BytesIO()
    pq.write_table(found, buffer)
    write_bytes_atomically(workspace.agent_outcomes(agent.name), buffer.getvalue())
    return found
