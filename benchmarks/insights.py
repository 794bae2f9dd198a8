"""python -m benchmarks.insights [--logs N] [--first N] [--people N] [--exploration E] [--out FILE]: are they true?

Three worlds of simulated campaigns, `--logs` logs each: people who respond as differently as `Campaign` says, people
who all respond alike, and people whom nothing moves. In each log the groups are found and judged by the code that runs
in operation, and compared with what the same groups of 100,000 other people of that world truly gain.

Asked is: how often an interval holds the truth (95 % promised); how often a page calls a group different where all are
alike, or an effect proven where there is none (one page in twenty at most); and how often what is there is found.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console
from rich.table import Table

from benchmarks.agents import AGENT, START_MS
from recommender.agents.agent import Agent, Goal, Shares
from recommender.agents.audience import Audience
from recommender.agents.context import features_of
from recommender.agents.deciding import Run, decide_for
from recommender.agents.insights.evidence import Evidence
from recommender.agents.insights.segments import what_works
from recommender.agents.sends import SEND_SCHEMA, Sends
from recommender.decision.logged.contexts import ContextEncoder
from recommender.events import DAY_MS
from recommender.simulation.campaigns import MESSAGES, WINDOWS, Campaign

WORLDS = ("different", "alike", "unmoved")
EVEN = replace(AGENT, goal=Goal({"purchase": 1.0}, window_days=1.0), policy="uniform", exploration=1.0)
EVEN = replace(EVEN, shares=Shares(holdout=0.2))
WINDOW_NAMES = [window.name for window in EVEN.timing.windows]
ROUNDS, APART_DAYS = 6, 3
CROWD = 100_000
CROWD_SEED = 10_000

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Alike(Campaign):
    """Every message adds the same to everybody."""

    @property
    def added(self) -> Floats:  # type: ignore[override]
        return np.full((self.people, len(MESSAGES), len(WINDOWS)), 0.04)


@dataclass
class Found:
    """Of the logs of one world so far."""

    logs: int = 0
    shown: int = 0
    held: int = 0
    differ: int = 0  # pages with a group called different
    proven: int = 0  # pages with an effect called proven
    falsely: int = 0  # pages with an effect proven to be on the wrong side of 0, or where there is none


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--logs", type=int, default=200)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--people", type=int, default=3000)
    parser.add_argument("--exploration", type=float, default=1.0, help="below 1 one message and one window lead")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    report = {}
    for world in WORLDS:
        seeds = range(options.first, options.first + options.logs)
        found = judge(world, options.people, seeds, replace(EVEN, exploration=options.exploration))
        report[world] = {
            "logs": found.logs,
            "intervals": found.shown,
            "held the truth": found.held / max(found.shown, 1),
            "pages that call a group different": found.differ / found.logs,
            "pages that call an effect proven": found.proven / found.logs,
            "pages that call one proven that is not so": found.falsely / found.logs,
        }
        Console(stderr=True).print(f"{world}: done")
    show(report)
    if options.out:
        options.out.write_text(json.dumps({"people": options.people, **report}, indent=1))


def judge(world: str, people: int, seeds: range, agent: Agent = EVEN) -> Found:
    """Insights of one log a seed beside the truth."""
    found, crowd = Found(), campaign(world, CROWD, CROWD_SEED)
    seen = features_of(Audience.read(crowd.audience))
    for seed in seeds:
        records, events = simulate(campaign(world, people, seed), agent)
        evidence = Evidence.of(agent, records, events, START_MS + 1000 * DAY_MS, seed)
        contexts, _ = evidence.encoder.transform(seen)
        parts = what_works(evidence)
        mix = _mix(evidence, "action", list(MESSAGES)), _mix(evidence, "send_window", WINDOW_NAMES)
        _note(found, parts, crowd, contexts, evidence.encoder, mix)
    return found


def campaign(world: str, people: int, seed: int) -> Campaign:
    """Nobody tires: then what a message adds is the same in every round."""
    if world == "alike":
        return Alike(people, seed, fatigue=0.0)
    return Campaign(people, seed, strength=1.0 if world == "different" else 0.0, fatigue=0.0)


def simulate(crowd: Campaign, agent: Agent) -> tuple[pa.Table, pa.Table]:
    """Decisions of all rounds and the purchases that followed; messages and windows at random."""
    audience, records, bought = Audience.read(crowd.audience), [], []
    names, windows = pa.array(MESSAGES), pa.array([window.name for window in agent.timing.windows])
    ids, none = np.array(audience.user_ids, dtype=object), np.zeros(crowd.people, np.int64)
    for step in range(ROUNDS):
        at_ms = START_MS + step * APART_DAYS * DAY_MS
        own = decide_for(agent, audience, Sends.of(SEND_SCHEMA.empty_table(), audience), Run(at_ms))
        message, window = (_codes(own[name], known) for name, known in (("action", names), ("send_window", windows)))
        buyers = ids[crowd.buys(crowd.chances(message, window, none), step)]
        records.append(own)
        bought.append((buyers, at_ms + 20 * 3_600_000))
    times = np.concatenate([np.full(len(buyers), at) for buyers, at in bought])
    events = {
        "user_id": pa.array(np.concatenate([buyers for buyers, _ in bought]), pa.string()),
        "event_type": pa.array(["purchase"] * len(times), pa.string()),
        "occurred_at": pa.array(times, pa.int64()).cast(pa.timestamp("ms")),
    }
    return pa.concat_tables(records), pa.table(events)


def true_effects(crowd: Campaign, question: str, mix: tuple[Floats, Floats]) -> dict[str, Floats]:
    """Option → float64 (n): what it truly gains each person, messages and windows drawn as the agent's were."""
    each = crowd.added @ mix[1]
    if question == "message":
        return {"message": each @ mix[0]}
    others = (each.sum(axis=1, keepdims=True) - each) / (len(MESSAGES) - 1)
    return {name: each[:, place] - others[:, place] for place, name in enumerate(MESSAGES)}


def _mix(evidence: Evidence, column: str, names: list[str]) -> Floats:
    """Shares of what was sent: nobody's chances differ from another's."""
    counts = np.bincount(evidence.codes(column, names)[evidence.is_sent], minlength=len(names))
    return np.asarray(counts / counts.sum())


def _note(
    found: Found,
    parts: list[dict[str, Any]],
    crowd: Campaign,
    contexts: npt.NDArray[np.float32],
    of: ContextEncoder,
    mix: tuple[Floats, Floats],
) -> None:
    found.logs += 1
    groups = [(part, group) for part in parts for group in part["groups"]]
    wrong = False
    for part, group in groups:
        inside = np.ones(len(contexts), dtype=bool)
        for rule in group["rules"]:
            inside &= (contexts[:, of.names.index(rule["column"])] < np.float32(rule["bound"])) == rule["is_below"]
        truths = {name: float(gain[inside].mean()) for name, gain in true_effects(crowd, part["question"], mix).items()}
        for name, own in group["effects"].items():
            if own["value"] is not None:
                found.shown += 1
                found.held += own["low"] <= truths[name] <= own["high"]
            wrong |= own["is_proven"] and own["value"] * truths[name] <= 1e-12
    found.differ += any(group["differs"]["is_proven"] for _, group in groups)
    found.proven += any(own["is_proven"] for _, group in groups for own in group["effects"].values())
    found.falsely += wrong


def _codes(column: pa.ChunkedArray, names: pa.Array) -> Ints:
    return np.asarray(pc.fill_null(pc.index_in(column, value_set=names), -1).to_numpy(), dtype=np.int64)


def show(report: dict[str, dict[str, Any]]) -> None:
    table = Table("world", *next(iter(report.values())))
    for world, own in report.items():
        table.add_row(world, *(f"{value:,}" if isinstance(value, int) else f"{value:.1%}" for value in own.values()))
    Console().print(table)


if __name__ == "__main__":
    main()
