"""python -m benchmarks.agent_policies [--seeds N] [--first N] [--people N] [--out FILE]

Two policies of one agent, tried against each other in simulated crowds of known truth: who learns by person against one
choice for all, and who explores much against who explores little. Each seed is another crowd, met sixteen times, three
days apart; decisions, learning and readout are those of operation. Each pair is tried with learning from all decisions
and from one's own. Beside what the readout measures: the true difference in the crowd, and that between two crowds of
the same people, where everybody has the one policy and where everybody has the other.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console
from rich.table import Table
from scipy import stats

from benchmarks.agents import AGENT, APART_DAYS, LEARN_AFTER, ROUNDS, START_MS
from recommender.agents.agent import Agent, Variant
from recommender.agents.agent_model import COLD
from recommender.agents.audience import Audience
from recommender.agents.deciding import Run, decide_for
from recommender.agents.learning import learn
from recommender.agents.policy_trial import policy_trial_of, with_people_needed
from recommender.agents.sends import SEND_SCHEMA, Sends
from recommender.events import DAY_MS
from recommender.experiments.effects import EffectConfig
from recommender.experiments.readout import ReadoutConfig, read_out
from recommender.simulation.campaigns import MESSAGES, Campaign

MUCH, LITTLE = 0.3, 0.02
PAIRS = {
    "by person, beside one for all": (
        Variant("fixed", 0.5, "fixed", MUCH, 0.0),
        Variant("lints", 0.5, "lints", MUCH, 0.0),
    ),
    "exploring much, beside little": (
        Variant("little", 0.5, "lints", LITTLE, 0.0),
        Variant("much", 0.5, "lints", MUCH, 0.0),
    ),
}

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Lived:
    """What a crowd did: records and events by round, and the true chance to buy of each decision."""

    records: pa.Table
    events: pa.Table
    chances: Floats

    def mean(self, rounds: int, variant: str | None = None) -> float:
        """True purchases of one of the agent's people in all rounds."""
        own = pc.equal(self.records["arm"], "agent")
        if variant is not None:
            own = pc.and_(own, pc.equal(self.records["variant"], variant))
        return rounds * float(self.chances[own.to_numpy()].mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first", type=int, default=200, help="the first seed")
    parser.add_argument("--people", type=int, default=4000)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    found = []
    for seed in range(options.seeds):
        found.append(one_seed(Campaign(options.people, options.first + seed)))
        Console(stderr=True).print(f"seed {seed + 1} of {options.seeds}")
    report = {"people": options.people, "seeds": options.seeds, "first": options.first, "pairs": compare(found)}
    show(report)
    if options.out:
        options.out.write_text(json.dumps(report, indent=1))


def one_seed(campaign: Campaign) -> dict[str, dict[str, Any]]:
    """By pair and by whom is learnt from: the verdict, and the three differences."""
    found: dict[str, dict[str, Any]] = {}
    for name, pair in PAIRS.items():
        alone = [live(campaign, AGENT.taking(variant)).mean(ROUNDS) for variant in pair]
        for is_own in (False, True):
            agent = replace(AGENT, variants=pair, learns_from_own=is_own)
            lived = live(campaign, agent)
            trial = policy_trial_of(agent, lived.records, lived.events, START_MS + (ROUNDS + 1) * APART_DAYS * DAY_MS)
            config = ReadoutConfig(pair[0].name, effects=EffectConfig(0.05, float(trial.started)))
            report = with_people_needed(read_out(trial.table, trial.columns, trial.shares, config))
            (own,) = report["comparisons"]
            there = [lived.mean(ROUNDS, variant.name) for variant in pair]
            found[f"{name}, learning from {'their own' if is_own else 'all'}"] = {
                "verdict": report["verdict"],
                "sentence": report["sentence"],
                "covers": own["low"] <= there[1] - there[0] <= own["high"],
                "measured": own["difference"],
                "true there": there[1] - there[0],
                "true alone": alone[1] - alone[0],
                "control": alone[0],
            }
    return found


def live(campaign: Campaign, agent: Agent) -> Lived:
    """Decide, let people answer, learn, round by round."""
    audience, model = Audience.read(campaign.audience), COLD
    windows, names = pa.array([window.name for window in agent.timing.windows]), pa.array(MESSAGES)
    records, events, truths, sent = [], [], [], []
    for step in range(ROUNDS):
        decided_ms = START_MS + step * APART_DAYS * DAY_MS
        found = decide_for(agent, audience, Sends.of(SEND_SCHEMA.empty_table(), audience), Run(decided_ms), model)
        message, window = (
            pc.fill_null(pc.index_in(found[column], value_set=known), -1).to_numpy().astype(np.int64)
            for column, known in (("action", names), ("send_window", windows))
        )
        recent = sum((one.astype(np.int64) for one in sent[-2:]), np.zeros(len(message), dtype=np.int64))
        chances = campaign.chances(message, window, recent)
        sent.append(message >= 0)
        records.append(found)
        truths.append(chances)
        events.append(_purchases(audience, campaign.buys(chances, step), decided_ms + DAY_MS))
        if step + 1 in LEARN_AFTER:
            model = learn(agent, pa.concat_tables(records), pa.concat_tables(events), decided_ms + APART_DAYS * DAY_MS)
    return Lived(pa.concat_tables(records), pa.concat_tables(events), np.concatenate(truths))


def compare(found: list[dict[str, dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Verdicts counted, differences relative to the control alone, with 95 % intervals over seeds."""
    report = {}
    for name in found[0]:
        mine = [one[name] for one in found]
        base = np.array([one["control"] for one in mine])
        report[name] = {
            "verdicts": dict(Counter(one["verdict"] for one in mine)),
            "first sentence": mine[0]["sentence"],
            "interval holds what is true there": sum(one["covers"] for one in mine),
            **{
                key: _mean(np.array([one[key] for one in mine]) / base)
                for key in ("measured", "true there", "true alone")
            },
        }
    return report


def _mean(values: Floats) -> dict[str, float]:
    error = float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")
    half = float(stats.t.ppf(0.975, max(len(values) - 1, 1))) * error
    return {"mean": float(values.mean()), "low": float(values.mean()) - half, "high": float(values.mean()) + half}


def _purchases(audience: Audience, bought: npt.NDArray[np.bool_], at_ms: int) -> pa.Table:
    ids = pa.array(audience.user_ids).filter(pa.array(bought))
    whole = {
        "quantity": pa.array([1] * len(ids), pa.int64()),
        "price_micros": pa.array([1_000_000] * len(ids), pa.int64()),
    }
    at = pa.array([at_ms] * len(ids), pa.int64()).cast(pa.timestamp("ms"))
    return pa.table(
        {"user_id": ids, "event_type": pa.array(["purchase"] * len(ids), pa.string()), "occurred_at": at, **whole}
    )


def show(report: dict[str, Any]) -> None:
    table = Table(
        "pair",
        "verdicts",
        "measured",
        "true there",
        "true alone",
        title=f"{report['seeds']} seeds of {report['people']:,} people",
    )
    for name, own in report["pairs"].items():
        spans = (
            f"{one['mean']:+.1%} [{one['low']:+.1%}, {one['high']:+.1%}]"
            for one in (own["measured"], own["true there"], own["true alone"])
        )
        table.add_row(name, ", ".join(f"{count} {verdict}" for verdict, count in own["verdicts"].items()), *spans)
    console = Console()
    console.print(table)
    console.print_json(json.dumps(report["pairs"]))


if __name__ == "__main__":
    main()
