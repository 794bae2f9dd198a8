"""python -m benchmarks.agents [--seeds N] [--first N] [--people N] [--differences D] [--jobs N] [--out FILE]

Agents in simulated crowds. Every seed is another crowd, met sixteen times, three days apart. The agent decides and
learns by the code that runs in operation; beside it, on the same people with the same luck: messages and hours at
random, the best single message and hour (told by the truth, which nobody has beforehand), the same agent choosing one
for all (by what it has learnt), and Vowpal Wabbit's explorations over the same six choices, as they come and within the
agent's budget of exploration. What is compared is the true chance to buy of what was chosen, summed over people outside
of the holdout and all rounds.
"""

from __future__ import annotations

import argparse
import json
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console
from rich.table import Table
from scipy import stats

from recommender.agents.agent import Action, Agent, Frequency, Goal, Shares, Timing, Window
from recommender.agents.agent_model import COLD, PRIOR
from recommender.agents.audience import Audience
from recommender.agents.context import features_of
from recommender.agents.deciding import Run, decide_for
from recommender.agents.learning import learn
from recommender.agents.sends import SEND_SCHEMA, Sends
from recommender.decision.logged.contexts import ContextEncoder
from recommender.decision.policies.protocol import draw
from recommender.decision.policies.vowpal import EXPLORATIONS, VowpalLearner
from recommender.events import DAY_MS
from recommender.experiments.assignment import assign
from recommender.simulation.campaigns import MESSAGES, WINDOWS, Campaign

START_MS = 1_780_272_000_000  # Monday 2026-06-01, 00:00 UTC
ROUNDS, APART_DAYS, LEARN_AFTER = 16, 3, (1, 2, 3, 4, 5, 6, 8, 10, 12, 14)
BOUNDED = "bounded vw "  # the same within the agent's budget of exploration
AGENT = Agent(
    "campaign",
    Goal({"purchase": 1.0}, window_days=2.0),
    tuple(Action(name, "email") for name in MESSAGES),
    timing=Timing((Window(9 * 60, 12 * 60), Window(17 * 60, 20 * 60))),
    frequency=Frequency(()),
    shares=Shares(holdout=0.15),
    exploration=0.3,
    policy="lints",
)
SUPPRESSING = replace(AGENT, frequency=Frequency((), suppressed_share=0.35))
RANDOM = replace(AGENT, policy="uniform", exploration=1.0)
FOR_ALL = replace(AGENT, policy="fixed")

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Earned:
    """Sums over the people outside of the holdout, by round: true chances, messages, and those not held best."""

    value: Floats
    messages: Floats
    explored: float = 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--people", type=int, default=2000)
    parser.add_argument("--differences", type=float, default=1.0, help="0: every message moves everybody alike")
    parser.add_argument("--jobs", type=int, default=1, help="processes at work at once")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    crowds = [
        Campaign(options.people, options.first + seed, differences=options.differences) for seed in range(options.seeds)
    ]
    found: list[dict[str, Earned]] = []
    with ProcessPoolExecutor(options.jobs, get_context("spawn")) as pool:
        for earned in pool.map(one_seed, crowds):
            found.append(earned)
            Console(stderr=True).print(f"seed {len(found)} of {options.seeds}")
    report = {"people": options.people, "seeds": options.seeds, "differences": options.differences, **compare(found)}
    show(report)
    if options.out:
        options.out.write_text(json.dumps(report, indent=1))


def one_seed(campaign: Campaign) -> dict[str, Earned]:
    earned = {
        "agent": run_agent(campaign, AGENT),
        "suppressing": run_agent(campaign, SUPPRESSING),
        "random": run_agent(campaign, RANDOM),
        "one for all": run_agent(campaign, FOR_ALL),
        "best single": best_single(campaign),
    }
    for exploration in EXPLORATIONS:
        earned[f"vw {exploration}"] = run_vowpal(campaign, exploration)
        earned[f"{BOUNDED}{exploration}"] = run_vowpal(campaign, exploration, AGENT.exploration)
    return earned


def run_agent(campaign: Campaign, agent: Agent) -> Earned:
    """Decide, let people answer, learn: as `nextbest agent run` and `learn` do, without the files."""
    audience, model = Audience.read(campaign.audience), COLD
    windows = pa.array([window.name for window in agent.timing.windows])
    names, records, events = pa.array(MESSAGES), [], []
    tally = Tally(campaign)
    for step in range(ROUNDS):
        decided_ms = START_MS + step * APART_DAYS * DAY_MS
        found = decide_for(agent, audience, Sends.of(SEND_SCHEMA.empty_table(), audience), Run(decided_ms), model)
        message, window = (
            pc.fill_null(pc.index_in(found[column], value_set=known), -1).to_numpy().astype(np.int64)
            for column, known in (("action", names), ("send_window", windows))
        )
        bought = tally.add(step, message, window)
        tally.explored += _explored(found, message >= 0)
        records.append(found)
        events.append(_purchases(audience, bought, decided_ms + DAY_MS))
        if step + 1 in LEARN_AFTER and agent.policy != "uniform":
            model = learn(agent, pa.concat_tables(records), pa.concat_tables(events), decided_ms + 3 * DAY_MS)
    return tally.earned()


def run_vowpal(campaign: Campaign, exploration: str, budget: float = 1.0) -> Earned:
    """Vowpal Wabbit over the six pairs of message and hour; it learns after every round, the agent after some. At most
    `budget` of a person's probability goes to others than the likeliest pair.
    """
    audience, pairs = Audience.read(campaign.audience), len(MESSAGES) * len(WINDOWS)
    features = features_of(audience)
    contexts, _ = ContextEncoder.fit(features).transform(features)
    learner = VowpalLearner.of(contexts, np.array([0.0, 1.0]), pairs, exploration, campaign.seed)
    rng, tally = np.random.default_rng([campaign.seed, 3]), Tally(campaign)
    for step in range(ROUNDS):
        chances = learner.policy().probabilities(contexts) if step else np.full((campaign.people, pairs), 1 / pairs)
        chances = _within(chances, budget)
        pair, propensity = draw(chances, rng.integers(0, 2**63, campaign.people).astype(np.uint64))
        bought = tally.add(step, pair // len(WINDOWS), pair % len(WINDOWS))
        rows = np.flatnonzero(tally.counted)
        learner.learn(contexts[rows], pair[rows], bought[rows].astype(np.float64), propensity[rows])
    return tally.earned()


def _within(chances: Floats, budget: float) -> Floats:
    """Each row drawn towards its likeliest pair until at most `budget` is given to others."""
    best = np.zeros_like(chances)
    best[np.arange(len(chances)), chances.argmax(axis=1)] = 1.0
    others = 1.0 - chances.max(axis=1, keepdims=True)
    return np.asarray(best + (chances - best) * np.minimum(1.0, budget / np.maximum(others, 1e-12)))


def best_single(campaign: Campaign) -> Earned:
    """The pair that the truth says is best for all, from the first round on."""
    tallies = []
    for pair in range(len(MESSAGES) * len(WINDOWS)):
        tally = Tally(campaign)
        for step in range(ROUNDS):
            tally.add(step, *(np.full(campaign.people, place) for place in divmod(pair, len(WINDOWS))))
        tallies.append(tally.earned())
    return max(tallies, key=lambda earned: float(earned.value.sum()))


class Tally:
    """What one way of choosing earns of a campaign, round by round."""

    def __init__(self, campaign: Campaign) -> None:
        self._campaign = campaign
        shares = AGENT.shares.named()
        ids = campaign.audience["user_id"].to_pylist()
        self.counted = assign(AGENT.salt, ids, shares) == list(shares).index("agent")
        self._sent: list[npt.NDArray[np.bool_]] = []
        self._value: list[float] = []
        self._messages: list[float] = []
        self.explored = 0.0

    def add(self, step: int, message: Ints, window: Ints) -> npt.NDArray[np.bool_]:
        """Who bought; the holdout never gets a message, whatever was chosen."""
        message = np.where(self.counted, message, -1)
        recent = sum((sent.astype(np.int64) for sent in self._sent[-2:]), np.zeros(len(message), dtype=np.int64))
        chances = self._campaign.chances(message, window, recent)
        self._sent.append(message >= 0)
        self._value.append(float(chances[self.counted].sum()))
        self._messages.append(float((message >= 0).sum()))
        return self._campaign.buys(chances, step)

    def earned(self) -> Earned:
        explored = self.explored / max(sum(self._messages), 1.0)
        return Earned(np.array(self._value), np.array(self._messages), explored)


def compare(found: list[dict[str, Earned]]) -> dict[str, object]:
    """Sums by way, differences of the agent to each with 95 % intervals over seeds, suppression."""
    sums = {name: np.array([float(one[name].value.sum()) for one in found]) for name in found[0]}
    best_vowpals = [
        max((name for name in sums if name.startswith(kind)), key=lambda name: float(sums[name].mean()))
        for kind in (BOUNDED, "vw ")
    ]
    gains = {
        name: _relative(sums["agent"], sums[name]) for name in ("random", "best single", "one for all", *best_vowpals)
    }
    value = _relative(sums["suppressing"], sums["agent"])
    half = ROUNDS // 2
    late = [1.0 - float(one["suppressing"].messages[half:].sum() / one["agent"].messages[half:].sum()) for one in found]
    whole = [1.0 - float(one["suppressing"].messages.sum() / one["agent"].messages.sum()) for one in found]
    return {
        "value": {name: float(total.mean()) for name, total in sums.items()},
        "agent over": gains,
        "explored": max(one["agent"].explored for one in found),
        "suppression": {
            "value": value,
            "messages saved": float(np.mean(whole)),
            "messages saved in the second half": float(np.mean(late)),
        },
    }


def _relative(one: Floats, other: Floats) -> dict[str, float]:
    """Mean relative difference and its 95 % interval by Student's t; seeds are pairs."""
    ratio = one / other - 1.0
    error = float(ratio.std(ddof=1) / np.sqrt(len(ratio))) if len(ratio) > 1 else float("nan")
    half = float(stats.t.ppf(0.975, max(len(ratio) - 1, 1))) * error
    return {"mean": float(ratio.mean()), "low": float(ratio.mean()) - half, "high": float(ratio.mean()) + half}


def _explored(records: pa.Table, sent: npt.NDArray[np.bool_]) -> float:
    """How many messages went out by another choice than the likeliest of both factors; before anything was known, as
    many as would have been another than any single choice."""
    if pc.all(pc.equal(records["policy"], PRIOR)).as_py():
        return float(sent.sum()) * (1.0 - 1.0 / (len(MESSAGES) * len(WINDOWS)))
    best = np.array([max(chances, default=1.0) for chances in records["offered_propensities"].to_pylist()])
    other_action = records["action_propensity"].to_numpy() < best - 1e-12
    other_window = records["window_propensity"].to_numpy() < 0.5
    return float((sent & (other_action | other_window)).sum())


def _purchases(audience: Audience, bought: npt.NDArray[np.bool_], at_ms: int) -> pa.Table:
    ids = pa.array(audience.user_ids).filter(pa.array(bought))
    return pa.table(
        {
            "user_id": ids,
            "event_type": pa.array(["purchase"] * len(ids), pa.string()),
            "occurred_at": pa.array([at_ms] * len(ids), pa.int64()).cast(pa.timestamp("ms")),
            "quantity": pa.array([1] * len(ids), pa.int64()),
            "price_micros": pa.array([1_000_000] * len(ids), pa.int64()),
        }
    )


def show(report: dict[str, object]) -> None:
    table = Table("way", "purchases", title=f"{report['seeds']} seeds of {report['people']:,} people")
    values = report["value"]
    assert isinstance(values, dict)
    for name, value in sorted(values.items(), key=lambda entry: -entry[1]):
        table.add_row(name, f"{value:,.0f}")
    console = Console()
    console.print(table)
    console.print_json(json.dumps({name: report[name] for name in ("agent over", "explored", "suppression")}))


if __name__ == "__main__":
    main()
