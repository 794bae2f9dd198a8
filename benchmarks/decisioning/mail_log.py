"""Simulated logs of an e-mail experiment: three arms at random, rare and heavy-tailed outcomes, and the true value of
every arm for every customer. Nothing is fitted here."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

__all__ = ["ARMS", "OUTCOMES", "MailLog", "simulate_mail_log"]

ARMS = ("mens", "none", "womens")
OUTCOMES = ("visit", "conversion", "spend")
MEAN_SPEND = 116.0
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class MailLog:
    """`table`: eight features, action, propensity, and the three outcomes; `truth[outcome]` float64 (n, 3)."""

    table: pa.Table
    truth: dict[str, Floats]

    def value(self, outcome: str, probabilities: Floats, rows: npt.NDArray[np.int64]) -> float:
        """What a policy would truly earn a customer on these rows."""
        return float((self.truth[outcome][rows] * probabilities).sum(axis=1).mean())


def simulate_mail_log(n: int, heterogeneity: str, seed: int, equal_arms: bool = False) -> MailLog:
    """`heterogeneity`: none (one arm is best for all), little (a few gain a little by the other), strong (half do).

    Visits .10 to .18, conversions .006 to .012, spend .65 to 1.4 with a standard deviation near 15, as in the mailings
    that retailers have published. `equal_arms`: no arm does anything.
    """
    rng = np.random.default_rng(seed)
    recency = rng.integers(1, 13, n)
    history = np.round(rng.lognormal(5.0, 0.9, n), 2)
    likes_men = rng.random(n) < 0.55
    likes_women = np.where(likes_men, rng.random(n) < 0.2, True)
    zip_code = rng.choice(["Rural", "Surburban", "Urban"], n, p=[0.15, 0.45, 0.4])
    newbie = rng.random(n) < 0.5
    channel = rng.choice(["Multichannel", "Phone", "Web"], n, p=[0.12, 0.44, 0.44])
    warmth = 0.25 * np.log(history / 150) - 0.07 * (recency - 6) - 0.4 * newbie + 0.2 * (channel == "Multichannel")
    lift = np.tile([0.62, 0.0, 0.40], (n, 1)) * (0.0 if equal_arms else 1.0)
    womens_only = likes_women & ~likes_men
    if heterogeneity == "little":
        lift[:, 2] += 0.35 * womens_only
    elif heterogeneity == "strong":
        lift[:, 0] += np.where(womens_only, -0.75, 0.25)
        lift[:, 2] += np.where(womens_only, 0.55, -0.40)
    elif heterogeneity != "none":
        raise ValueError(heterogeneity)
    visit = _logistic(-2.15 + warmth[:, None] + lift)
    buys = _logistic(-2.85 + 0.4 * warmth[:, None] + 0.25 * lift)  # of those who visit
    sizes = MEAN_SPEND * np.exp(0.25 * np.log(history / 150))
    sizes *= MEAN_SPEND / sizes.mean()
    truth = {"visit": visit, "conversion": visit * buys, "spend": visit * buys * sizes[:, None]}
    action = rng.integers(0, 3, n)
    rows = np.arange(n)
    visited = rng.random(n) < visit[rows, action]
    bought = visited & (rng.random(n) < buys[rows, action])
    spent = np.where(bought, sizes * rng.lognormal(-0.405, 0.9, n), 0.0)  # mean 1
    table = pa.table(
        {
            "recency": recency,
            "history": history,
            "mens": likes_men.astype(np.int8),
            "womens": likes_women.astype(np.int8),
            "zip_code": zip_code,
            "newbie": newbie,
            "channel": channel,
            "history_segment": np.digitize(history, [100, 200, 350, 500, 750, 1000]).astype(str),
            "action": np.array(ARMS)[action],
            "propensity": np.full(n, 1 / 3),
            "visit": visited.astype(np.int8),
            "conversion": bought.astype(np.int8),
            "spend": np.round(spent, 2),
        }
    )
    return MailLog(table, truth)


def _logistic(x: Floats) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-x)))
