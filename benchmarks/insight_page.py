"""python -m benchmarks.insight_page FOLDER [--people N] [--days N]: six weeks of an agent in a simulated campaign, and
its page. Decisions, learning and the page are those of `nextbest agent`; the people are `Campaign`'s."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from rich.progress import track

from benchmarks.agents import START_MS
from orchestration.agent_insights import write_insights
from orchestration.agent_learning import learn_agent
from orchestration.agents import open_agent, run_agent
from recommender.agents.insights.fatigue import UNSUBSCRIBE
from recommender.events import DAY_MS
from recommender.simulation.campaigns import MESSAGES, Campaign
from recommender.workspace import Workspace

NAME = "comeback"
FILE = """\
goal: {outcomes: {purchase: 1}, window_days: 1}
actions:
  - {name: news, channel: email}
  - {name: voucher, channel: email}
  - {name: reminder, channel: push}
timing: {windows: [{at: "09:00-12:00"}, {at: "17:00-20:00"}]}
frequency: {caps: [{limit: 1, per: day}, {limit: 3, per: week}]}
shares: {holdout: 0.2}
exploration: 0.3
policy: lints
"""
LEAVES = 0.002  # of the people unsubscribe, for each message of the week before and half as many for the first
EVENING_MS = 21 * 3_600_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="a new one")
    parser.add_argument("--people", type=int, default=3000)
    parser.add_argument("--days", type=int, default=42)
    options = parser.parse_args()
    print(live(Workspace(options.folder), Campaign(options.people, seed=5), options.days))


def live(workspace: Workspace, crowd: Campaign, days: int) -> Path:
    """Decide each day, let people answer, learn each week; returns the page."""
    workspace.agents.mkdir(parents=True)
    workspace.marts.mkdir(parents=True)
    (workspace.agents / f"{NAME}.yml").write_text(FILE)
    people = crowd.audience.append_column("consent_push", crowd.audience["consent_email"])
    pq.write_table(people, workspace.mart("users"))
    ids, events, sent = np.array(people["user_id"].to_pylist(), dtype=object), [_events(np.zeros(0), "", 0)], []
    for day in track(range(days), description="days"):
        at_ms = START_MS + day * DAY_MS
        _marts(workspace, events, at_ms)
        work = open_agent(workspace, NAME)
        if day and day % 7 == 0:
            learn_agent(workspace, work, at_ms)
        records, _ = run_agent(workspace, work, at_ms)
        windows = pa.array([window.name for window in work.agent.timing.windows])
        message, window = (
            pc.fill_null(pc.index_in(records[name], value_set=known), -1).to_numpy().astype(np.int64)
            for name, known in (("action", pa.array(MESSAGES)), ("send_window", windows))
        )
        recent = np.sum([np.zeros(crowd.people, np.int64), *sent[-6:]], axis=0)
        leaves = np.random.default_rng([crowd.seed, 4, day]).random(crowd.people) < LEAVES * (recent + 0.5)
        buyers = crowd.buys(crowd.chances(message, window, recent), day)
        sent.append((message >= 0).astype(np.int64))
        events.append(_events(ids[buyers], "purchase", at_ms + EVENING_MS))
        events.append(_events(ids[leaves & (message >= 0)], UNSUBSCRIBE, at_ms + EVENING_MS))
    end_ms = START_MS + (days + 1) * DAY_MS
    _marts(workspace, events, end_ms)
    return write_insights(workspace, NAME, end_ms)


def _marts(workspace: Workspace, events: list[pa.Table], until_ms: int) -> None:
    pq.write_table(pa.concat_tables(events), workspace.mart("events"))
    cut = pa.array([until_ms], pa.int64()).cast(pa.timestamp("ms"))
    pq.write_table(pa.table({"cut_at": cut, "is_serving": [True]}), workspace.mart("feature_cuts"))


def _events(user_ids: np.ndarray, event_type: str, at_ms: int) -> pa.Table:
    n = len(user_ids)
    return pa.table(
        {
            "user_id": pa.array(user_ids.tolist(), pa.string()),
            "event_type": pa.array([event_type] * n, pa.string()),
            "occurred_at": pa.array([at_ms] * n, pa.int64()).cast(pa.timestamp("ms")),
            "quantity": pa.array([1] * n, pa.int64()),
            "price_micros": pa.array([1_000_000] * n, pa.int64()),
        }
    )


if __name__ == "__main__":
    main()
