"""How often intervals of off-policy estimates hold the true value, over fresh logs of known truth. A table, a JSON.

Shapes of log: answers yes or no, logged by a policy that leans to some actions (`clicks`) or to none (`even`); amounts
(`amounts`); rare heavy-tailed spend of a mailing (`spend`); and a target so far from the logging policy that a tenth of
the rows count (`far`).
"""

from __future__ import annotations

import json
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from rich.console import Console
from rich.table import Table

from benchmarks.decisioning.mail_log import ARMS, simulate_mail_log
from recommender.decision.logged.bandit_log import BanditLog
from recommender.decision.logged.columns import ColumnChoice
from recommender.decision.off_policy.evaluation import EvaluationConfig, estimators_of
from recommender.decision.off_policy.intervals import IntervalConfig, estimates

__all__ = ["SHAPES", "Simulated", "cover", "coverage", "simulate"]

Floats = npt.NDArray[np.float64]
SHAPES = {"clicks": 3_000, "even": 2_000, "amounts": 3_000, "spend": 16_000, "far": 10_000}
METHODS = ("bootstrap", "studentised", "percentile", "normal")
ESTIMATORS = ("ips", "snips", "dr")
D, K = 5, 6


@dataclass(frozen=True)
class Simulated:
    """A log, the target's probabilities on it, and the target's value over the whole population."""

    log: BanditLog
    target: Floats
    truth: float


def simulate(shape: str, n: int, seed: int) -> Simulated:
    """A fresh log of n rows; the population behind a shape is the same for every seed."""
    if shape == "spend":
        return _spend(n, seed)
    rng = np.random.default_rng([seed, 1])
    contexts = rng.normal(size=(n, D))
    scores, logging, target = _world(contexts, shape)
    cumulative = np.cumsum(logging, axis=1)
    action = np.minimum((rng.random((n, 1)) > cumulative).sum(axis=1), K - 1)
    rows = np.arange(n)
    mean = scores[rows, action]
    reward = (rng.random(n) < mean).astype(float) if shape != "amounts" else rng.gamma(2.0, mean / 2.0 + 0.05)
    log = _log(contexts, action, reward, logging[rows, action])
    return Simulated(log, target, _truth(shape))


def cover(shape: str, n: int, seed: int) -> dict[str, dict[str, bool]]:
    """method → estimator → whether its interval held the truth, on one fresh log."""
    case = simulate(shape, n, seed)
    terms = estimators_of(case.log, case.target, EvaluationConfig(), seed)
    held = {}
    for method in METHODS:
        found = estimates([terms[name] for name in ESTIMATORS], seed, IntervalConfig(method), case.log.owner)
        held[method] = {name: own.low <= case.truth <= own.high for name, own in zip(ESTIMATORS, found, strict=True)}
    return held


def coverage(simulations: int, workers: int, out: Path | None) -> dict[str, dict[str, dict[str, float]]]:
    """shape → method → estimator → share of `simulations` logs whose interval held the truth."""
    report: dict[str, dict[str, dict[str, float]]] = {}
    table = Table("log", "rows", "interval", *ESTIMATORS, title=f"true value inside 95 % intervals, {simulations} logs")
    with ProcessPoolExecutor(workers) as pool:
        for shape, n in SHAPES.items():
            count = simulations
            held = list(pool.map(cover, [shape] * count, [n] * count, range(count), chunksize=5))
            report[shape] = {
                method: {name: float(np.mean([own[method][name] for own in held])) for name in ESTIMATORS}
                for method in METHODS
            }
            for method, shares in report[shape].items():
                table.add_row(shape, f"{n:,}", method, *(f"{shares[name]:.1%}" for name in ESTIMATORS))
    Console().print(table)
    if out:
        out.write_text(json.dumps({"simulations": simulations, "coverage": report}, indent=1))
    return report


def _world(contexts: Floats, shape: str) -> tuple[Floats, Floats, Floats]:
    """Expected reward, logging policy and target, float64 (n, K) each; the same world for every log of a shape."""
    rng = np.random.default_rng(20)
    weights, bias = rng.normal(size=(D, K)) * 0.6, rng.normal(size=K) * 0.3
    scores = 1.0 / (1.0 + np.exp(-(contexts @ weights + bias - 1.0)))
    leaning = contexts @ rng.normal(size=(D, K)) * {"even": 0.0, "far": 0.5}.get(shape, 0.25)
    wanted = scores * (12.0 if shape == "even" else 8.0)
    return scores, _softmax(leaning), _softmax(wanted)


def _softmax(values: Floats) -> Floats:
    shifted = np.exp(values - values.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))


@cache
def _truth(shape: str) -> float:
    """Over 2,000,000 contexts: its own error is some 2,000 times smaller in variance than that of a log."""
    total = 0.0
    for part in range(20):
        contexts = np.random.default_rng([99, part]).normal(size=(100_000, D))
        scores, _, target = _world(contexts, shape)
        earned = scores + 0.1 if shape == "amounts" else scores  # a gamma of shape 2 has twice its scale as mean
        total += float((earned * target).sum(axis=1).mean()) / 20
    return total


def _spend(n: int, seed: int) -> Simulated:
    """Spend of a mailing; the target sends by what people buy, the log at random."""
    mail = simulate_mail_log(n, "strong", 1_000 + seed)
    womens = (mail.table["womens"].to_numpy() == 1) & (mail.table["mens"].to_numpy() == 0)
    target = np.where(womens[:, None], [0.1, 0.1, 0.8], [0.8, 0.1, 0.1])
    action = np.searchsorted(ARMS, mail.table["action"].to_pylist())
    features = mail.table.select(["recency", "history", "mens", "womens", "newbie"])
    log = _log(features, action, mail.table["spend"].to_numpy(), np.full(n, 1 / 3), ARMS)
    return Simulated(log, target, _spend_truth())


@cache
def _spend_truth() -> float:
    total = 0.0
    for part in range(20):
        mail = simulate_mail_log(100_000, "strong", 500 + part)
        womens = (mail.table["womens"].to_numpy() == 1) & (mail.table["mens"].to_numpy() == 0)
        target = np.where(womens[:, None], [0.1, 0.1, 0.8], [0.8, 0.1, 0.1])
        total += mail.value("spend", target, np.arange(100_000)) / 20
    return total


def _log(
    contexts: Floats | pa.Table,
    action: npt.NDArray[np.int64],
    reward: Floats,
    propensity: Floats,
    actions: tuple[str, ...] = tuple(map(str, range(K))),
) -> BanditLog:
    if not isinstance(contexts, pa.Table):
        contexts = pa.table({f"x{place}": column for place, column in enumerate(contexts.T)})
    choice = ColumnChoice(tuple(contexts.column_names), {})
    return BanditLog(actions, pa.string(), action, reward, propensity, contexts, "reward", choice)
