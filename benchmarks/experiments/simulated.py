"""Experiments of known truth, thousands at once, summed up by the product's own code. Nothing is judged here.

Shapes of outcome: `orders` (counts that a covariate of before predicts), `clicks` (1 of 20 says yes), `spend` (99 of
100 spend nothing, the rest log-normally), `basket` (a ratio: earned a session, with sessions of one person alike).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recommender.experiments.moments import Moments, moments_by_group

__all__ = ["Truth", "accumulating", "correlated", "people_of", "shaped", "simulate"]

Floats = npt.NDArray[np.float64]
ROWS = 2_000_000  # at once


@dataclass(frozen=True)
class Truth:
    """One kind of experiment: `shares` of its arms, the first of which is the control; `effect` is added to the mean of
    every other arm's people; `looks` people arrive in so many equal parts."""

    shape: str
    people: int
    shares: tuple[float, ...] = (0.5, 0.5)
    effect: float = 0.0
    covariate: bool = False
    looks: int = 1


def simulate(truth: Truth, experiments: int, seed: int) -> Moments:
    """Moments (experiments, looks, arms): at each look of all people who had come by then."""
    at_once = max(1, ROWS // truth.people)
    parts = [
        _part(truth, min(at_once, experiments - start), np.random.default_rng([seed, start]))
        for start in range(0, experiments, at_once)
    ]
    return _joined(parts)


def accumulating(experiments: int, people: int, days: int, seed: int) -> Moments:
    """Moments (experiments, days, 2) of people who are all there from the first day and buy more each day, some much
    more than others: A/A."""
    parts = []
    for start in range(0, experiments, 20):
        rng = np.random.default_rng([seed, start])
        count = min(20, experiments - start)
        size = (count, people, days)
        habit = rng.gamma(0.5, 0.2, size=(count, people, 1))
        totals = np.cumsum(rng.poisson(np.broadcast_to(habit, size)), axis=2).astype(np.float64)
        arm = (rng.random((count, people)) < 0.5).astype(np.int64)
        cell = (np.arange(count)[:, None, None] * days + np.arange(days)) * 2 + arm[:, :, None]
        columns = np.stack([totals.ravel(), np.ones(totals.size), np.zeros(totals.size)], axis=1)
        parts.append(shaped(moments_by_group(columns, cell.ravel(), count * days * 2), (count, days, 2)))
    return _joined(parts)


def correlated(experiments: int, people: int, correlation: float, covariate: bool, seed: int) -> Moments:
    """Moments (experiments, 2): outcome and covariate are normal with this correlation; A/A of two halves."""
    parts = []
    at_once = max(1, ROWS // people)
    for start in range(0, experiments, at_once):
        rng = np.random.default_rng([seed, start])
        count = min(at_once, experiments - start)
        before, own = rng.standard_normal((2, count * people))
        outcome = correlation * before + np.sqrt(1.0 - correlation**2) * own
        columns = np.stack([outcome, np.ones_like(outcome), before * covariate], axis=1)
        cell = np.repeat(np.arange(count), people) * 2 + rng.integers(0, 2, count * people)
        parts.append(shaped(moments_by_group(columns, cell, count * 2), (count, 2)))
    return _joined(parts)


def people_of(truth: Truth, rng: np.random.Generator, rows: int) -> Floats:
    """float64 (rows, 3): outcome, denominator and covariate of people to whom nothing was done."""
    columns = np.ones((rows, 3))
    columns[:, 2] = 0.0
    if truth.shape == "clicks":
        columns[:, 0] = rng.random(rows) < 0.05
    elif truth.shape == "orders":
        habit = rng.gamma(1.5, 1.0, rows)
        columns[:, 0] = rng.poisson(habit)
        columns[:, 2] = rng.poisson(2.0 * habit) if truth.covariate else 0.0
    elif truth.shape == "spend":
        columns[:, 0] = 0.0
        buyers = np.flatnonzero(rng.random(rows) < 0.01)
        columns[buyers, 0] = rng.lognormal(4.0, 1.0, len(buyers))
    elif truth.shape == "basket":
        habit = rng.gamma(2.0, 1.0, rows)
        columns[:, 1] = 1.0 + rng.poisson(habit)
        columns[:, 0] = columns[:, 1] * (habit + rng.standard_normal(rows))
        columns[:, 2] = habit + rng.standard_normal(rows) if truth.covariate else 0.0
    return columns


def _part(truth: Truth, count: int, rng: np.random.Generator) -> Moments:
    rows, arms, looks = count * truth.people, len(truth.shares), truth.looks
    columns = people_of(truth, rng, rows)
    arm = np.searchsorted(np.cumsum(truth.shares)[:-1], rng.random(rows), side="right")
    columns[:, 0] += truth.effect * (arm > 0)
    look = np.tile(np.arange(truth.people) * looks // truth.people, count)
    cell = (np.repeat(np.arange(count), truth.people) * looks + look) * arms + arm
    return shaped(moments_by_group(columns, cell, count * looks * arms), (count, looks, arms)).running(axis=1)


def shaped(sums: Moments, shape: tuple[int, ...]) -> Moments:
    """The same groups, laid out by leading axes of this shape."""
    return Moments(
        sums.count.reshape(shape), sums.first.reshape(*shape, 3), sums.second.reshape(*shape, 3, 3), sums.origin
    )


def _joined(parts: list[Moments]) -> Moments:
    """Of all parts. Each keeps its own origin, so they are moved to the first one's."""
    origin = parts[0].origin
    moved = [_moved(part, origin) for part in parts]
    return Moments(
        np.concatenate([part.count for part in moved]),
        np.concatenate([part.first for part in moved]),
        np.concatenate([part.second for part in moved]),
        origin,
    )


def _moved(part: Moments, origin: Floats) -> Moments:
    shift = part.origin - origin
    cross = part.first[..., :, None] * shift
    own = part.count[..., None, None] * shift[:, None] * shift
    second = part.second + cross + np.swapaxes(cross, -1, -2) + own
    return Moments(part.count, part.first + part.count[..., None] * shift, second, origin)
