"""Agents that learn as they act, on simulated streams of known truth: regret beside uniform, the best single action
and Vowpal Wabbit's explorations, with and without pairs of features. A table, a JSON.

A stream is 12,000 people in 24 batches; an agent decides a batch, sees its outcomes, learns, and meets the next one. In
the world `mail` answers follow a few features one by one; in `pairs` the right action depends on two of them together.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from rich.console import Console
from rich.table import Table

from benchmarks.decisioning.mail_log import simulate_mail_log
from recommender.decision.logged.bandit_log import BanditLog
from recommender.decision.logged.columns import ColumnChoice
from recommender.decision.logged.contexts import ContextEncoder
from recommender.decision.policies.fitting import PolicyConfig, fit_policy
from recommender.decision.policies.protocol import ActionPolicy, choose
from recommender.decision.policies.simple import Uniform
from recommender.decision.policies.vowpal import EXPLORATIONS, VowpalLearner

__all__ = ["WORLDS", "Seen", "Stream", "regret", "regrets"]

Matrix = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

WORLDS, PEOPLE, BATCHES, K = ("mail", "pairs"), 12_000, 24, 3
RIVAL = "Vowpal Wabbit"


@dataclass(frozen=True)
class Stream:
    """`contexts` float32 (n, d) and what every action would earn of each, `truth` float64 (n, K), a probability."""

    contexts: Matrix
    truth: Floats


@dataclass(frozen=True)
class Seen:
    """What an agent has done and earned so far."""

    contexts: Matrix
    action: Codes
    reward: Floats
    propensity: Floats


def stream(world: str, seed: int) -> Stream:
    """12,000 people of a world, others for every seed."""
    if world == "mail":
        mail = simulate_mail_log(PEOPLE, "strong", 9_000 + seed)
        features = mail.table.select(["recency", "history", "mens", "womens", "zip_code", "newbie", "channel"])
        return Stream(ContextEncoder.fit(features).transform(features)[0], mail.truth["visit"])
    rng = np.random.default_rng([9, seed])
    contexts = rng.normal(size=(PEOPLE, 6)).astype(np.float32)
    together = (contexts[:, 0] > 0) ^ (contexts[:, 1] > 0)
    lift = np.stack([np.where(together, 0.18, 0.0), np.where(together, 0.0, 0.18), np.full(PEOPLE, 0.08)], axis=1)
    return Stream(contexts, 0.1 + 0.05 * (contexts[:, [2]] > 0) + lift)


# As `nextbest policy fit --kind` makes them.
KINDS = ("lints", "treets", "linucb", "thompson", "epsilon_greedy")


def _fitted(kind: str) -> Callable[[Seen, int], ActionPolicy]:
    """A kind learnt anew from all that was seen."""

    def learn(seen: Seen, seed: int) -> ActionPolicy:
        features = pa.table({f"x{place}": column for place, column in enumerate(seen.contexts.T)})
        names, columns = tuple(map(str, range(K))), ColumnChoice(tuple(features.column_names), {})
        log = BanditLog(names, pa.string(), seen.action, seen.reward, seen.propensity, features, "reward", columns)
        return fit_policy(log, PolicyConfig(kind), seed).policy

    return learn


def regrets(world: str, seed: int) -> dict[str, float]:
    """agent → Σ over people of (best action's value − chosen action's value)."""
    own = stream(world, seed)
    best = own.truth.max(axis=1)
    found = {
        "uniform": float((best - own.truth.mean(axis=1)).sum()),
        "best single action": float((best - own.truth[:, own.truth.mean(axis=0).argmax()]).sum()),
    }
    for kind in KINDS:
        found[kind] = _run(own, _fitted(kind), seed)
    for exploration in EXPLORATIONS:
        for paired in (False, True):
            name = f"{RIVAL}, {exploration}{' on pairs of features' if paired else ''}"
            found[name] = _run(own, _vowpal(own, exploration, seed, paired), seed)
    return found


def _vowpal(own: Stream, exploration: str, seed: int, paired: bool) -> Callable[[Seen, int], ActionPolicy]:
    """Learns from each batch once, in order, as it is made to."""
    size = PEOPLE // BATCHES
    learner = VowpalLearner.of(own.contexts[:size], np.array([0.0, 1.0]), K, exploration, seed, paired)

    def learn(seen: Seen, seed: int) -> ActionPolicy:
        new = slice(len(seen.action) - size, None)
        learner.learn(seen.contexts[new], seen.action[new], seen.reward[new], seen.propensity[new])
        return learner.policy()

    return learn


def _run(own: Stream, learn: Callable[[Seen, int], ActionPolicy], seed: int) -> float:
    rng = np.random.default_rng([seed, 4])
    luck, policy, size = rng.random(PEOPLE), Uniform(K), PEOPLE // BATCHES
    current: ActionPolicy = policy
    action, chance = np.zeros(PEOPLE, dtype=np.int64), np.zeros(PEOPLE)
    reward, lost = np.zeros(PEOPLE), 0.0
    for start in range(0, PEOPLE, size):
        rows = np.arange(start, start + size)
        seeds = rng.integers(0, 2**63, size).astype(np.uint64)
        action[rows], chance[rows] = choose(current, own.contexts[rows], seeds)
        value = own.truth[rows, action[rows]]
        reward[rows] = luck[rows] < value
        lost += float((own.truth[rows].max(axis=1) - value).sum())
        until = start + size
        current = learn(Seen(own.contexts[:until], action[:until], reward[:until], chance[:until]), seed)
    return lost


def regret(seeds: int, workers: int, out: Path | None) -> None:
    """Mean regret of each agent over so many streams, and its difference to the best of Vowpal Wabbit's, paired."""
    report = {}
    with ProcessPoolExecutor(workers) as pool:
        for world in WORLDS:
            runs = list(pool.map(regrets, [world] * seeds, range(seeds)))
            rows = {name: np.array([run[name] for run in runs]) for name in runs[0]}
            rival = min((name for name in rows if name.startswith(RIVAL)), key=lambda name: rows[name].mean())
            table = Table(
                "agent", "regret", f"less than {rival}", title=f"{world}: {seeds} streams of {PEOPLE:,} people"
            )
            for name, values in sorted(rows.items(), key=lambda entry: entry[1].mean()):
                gap = rows[rival] - values
                reach = 1.96 * gap.std(ddof=1) / np.sqrt(seeds)
                table.add_row(name, f"{values.mean():.1f}", f"{gap.mean():+.1f} ± {reach:.1f}")
            Console(width=120).print(table)
            report[world] = {name: values.tolist() for name, values in rows.items()}
    if out:
        out.write_text(json.dumps({"streams": seeds, "regret": report}, indent=1))
