"""A small mailing with a known truth, for the tests of agents at work: who is moved by what is written down below."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from recommender.agents.agent import Action, Agent, Frequency, Goal, Shares, Timing, Window
from recommender.agents.agent_model import COLD, AgentModel
from recommender.agents.audience import Audience
from recommender.agents.deciding import Run, decide_for
from recommender.agents.record import sends_of
from recommender.agents.sends import SEND_SCHEMA, Sends
from recommender.events import DAY_MS

START_MS = 1_780_272_000_000  # Monday 2026-06-01, 00:00 UTC
MORNING, EVENING = Window(9 * 60, 12 * 60), Window(17 * 60, 20 * 60)

AGENT = Agent(
    "spring",
    Goal({"purchase": 1.0}, window_days=2.0),
    (Action("news", "email"), Action("voucher", "email")),
    timing=Timing((MORNING, EVENING)),
    frequency=Frequency(()),
    shares=Shares(holdout=0.2),
    exploration=0.4,
)


@dataclass(frozen=True)
class Mailing:
    """Purchase chances: 0.1 without a message; +0.1 by news to those who love it, +0.2 by a voucher to the thrifty (+0
    to others); evenings double what a message adds. `strength` scales all of it.
    """

    people: int = 2000
    strength: float = 1.0
    seed: int = 0

    def audience(self) -> Audience:
        rng = np.random.default_rng(self.seed)
        return Audience.read(
            pa.table(
                {
                    "user_id": [f"u{number:06}" for number in range(self.people)],
                    "timezone": ["Europe/Berlin"] * self.people,
                    "consent_email": [True] * self.people,
                    "is_thrifty": rng.random(self.people) < 0.5,
                    "age": rng.integers(18, 90, self.people),
                    "town": np.array(["Ulm", 'Al"m', "Bonn"])[rng.integers(0, 3, self.people)],
                }
            )
        )

    def chances(self, audience: Audience, records: pa.Table) -> np.ndarray:
        """float64 (n): the true chance to buy after each decision."""
        thrifty = np.asarray(audience.table["is_thrifty"].to_numpy())
        action = np.asarray(records["action"].to_pylist())
        window = np.asarray([str(name) for name in records["send_window"].to_pylist()])
        added = np.where(action == "voucher", 0.2 * thrifty, np.where(action == "news", 0.1 * ~thrifty, 0.0))
        return 0.1 + self.strength * added * np.where(window == EVENING.name, 2.0, 1.0)

    def respond(self, audience: Audience, records: pa.Table, day: int) -> pa.Table:
        """Purchases, a day after the decision."""
        rng = np.random.default_rng([self.seed, 1, day])  # [seed, 0] would be the stream of the audience
        bought = rng.random(len(records)) < self.chances(audience, records)
        ids = [user for user, has in zip(audience.user_ids, bought, strict=True) if has]
        return purchases(ids, [START_MS + day * DAY_MS + DAY_MS] * len(ids))


def purchases(user_ids: list[str], at_ms: list[int]) -> pa.Table:
    return pa.table(
        {
            "user_id": pa.array(user_ids, pa.string()),
            "event_type": pa.array(["purchase"] * len(user_ids), pa.string()),
            "occurred_at": pa.array(at_ms, pa.int64()).cast(pa.timestamp("ms")),
            "quantity": pa.array([2] * len(user_ids), pa.int64()),
            "price_micros": pa.array([5_000_000] * len(user_ids), pa.int64()),
        }
    )


def run_days(
    mailing: Mailing, agent: Agent, days: list[int], model: AgentModel = COLD
) -> tuple[pa.Table, pa.Table, Audience]:
    """Decisions of these days and all purchases that followed."""
    audience, records, events = mailing.audience(), [], []
    sent = SEND_SCHEMA.empty_table()
    for day in days:
        found = decide_for(agent, audience, Sends.of(sent, audience), Run(START_MS + day * DAY_MS, "v1"), model)
        records.append(found)
        events.append(mailing.respond(audience, found, day))
        sent = pa.concat_tables([sent, sends_of(found)])
    return pa.concat_tables(records), pa.concat_tables(events), audience
