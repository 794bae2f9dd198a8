"""A run decided before its turn, and mended for whoever was written to meanwhile. Nothing is read or written here.

Others wait while a run has its turn, so as little as possible is done in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recommender.agents.agent import Agent
from recommender.agents.agent_model import AgentModel
from recommender.agents.audience import Audience
from recommender.agents.deciding import Run, decide_for
from recommender.agents.sends import Sends
from recommender.agents.slots import SlotFiller

__all__ = ["Draft"]


@dataclass(frozen=True)
class Draft:
    """What a run decides on what was known: `records` as `decide_for` gives them for everything else here; `messages`
    in SEND_SCHEMA, `left` by action what is in stock.
    """

    agent: Agent
    audience: Audience
    messages: pa.Table
    run: Run
    model: AgentModel
    left: Mapping[str, int]
    slots: SlotFiller | None
    records: pa.Table

    @classmethod
    def of(
        cls,
        agent: Agent,
        audience: Audience,
        messages: pa.Table,
        run: Run,
        model: AgentModel,
        left: Mapping[str, int],
        slots: SlotFiller | None = None,
    ) -> Draft:
        """Decide for everybody."""
        sends = Sends.of(messages, audience)
        records = decide_for(agent, audience, sends, run, model, left, slots)
        return cls(agent, audience, messages, run, model, left, slots, records)

    def after(self, news: pa.Table) -> pa.Table:
        """What deciding again would give, byte for byte, now that these messages too are known (SEND_SCHEMA).

        Only people who got one are decided on again, unless something is limited: then what one gets depends on all.
        """
        ids = self.audience.table["user_id"]
        touched = pc.is_in(ids, value_set=news["user_id"].combine_chunks()).to_numpy()
        left = self._left_after(news)
        rows = np.arange(len(ids)) if left != self.left or (left and touched.any()) else np.flatnonzero(touched)
        if not len(rows):
            return self.records
        people = Audience(self.audience.table.take(pa.array(rows)))
        messages = pa.concat_tables([self.messages, news])
        again = decide_for(self.agent, people, Sends.of(messages, people), self.run, self.model, left, self.slots)
        place = np.arange(len(ids))
        place[rows] = len(ids) + np.arange(len(rows))
        return pa.concat_tables([self.records, again]).take(pa.array(place))

    def _left_after(self, news: pa.Table) -> dict[str, int]:
        own = news.filter(pc.equal(news["agent"], self.agent.name))["action"]
        gone = {one["values"]: one["counts"] for one in pc.value_counts(own).to_pylist()}
        return {action: max(0, left - gone.get(action, 0)) for action, left in self.left.items()}
