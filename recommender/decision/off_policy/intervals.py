"""Intervals around sums' ratios: studentised bootstrap or empirical Bernstein. What is estimated is not known here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri
from threadpoolctl import threadpool_limits

from recommender.decision.off_policy.estimators import Terms

__all__ = ["METHODS", "Estimate", "IntervalConfig", "estimates"]

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

METHODS = ("bootstrap", "studentised", "percentile", "normal", "bernstein")
DRAWS_AT_A_TIME = 50  # × 20,000 units × 8 bytes = 8 MB of counts


@dataclass(frozen=True)
class IntervalConfig:
    """`bootstrap` is the studentised one: rare and large rewards make errors skewed, which it follows and a normal
    interval does not (measured by `python -m benchmarks.decisioning coverage`). `most_units`: more rows are first
    summed in so many random groups, which leaves the errors as they are and the time bounded."""

    method: str = "bootstrap"
    confidence: float = 0.95
    draws: int = 1_000
    most_units: int = 20_000


@dataclass(frozen=True)
class Estimate:
    """A value with its interval and standard error."""

    value: float
    low: float
    high: float
    error: float

    def as_json(self) -> dict[str, object]:
        return {"value": self.value, "interval": [self.low, self.high], "standard_error": self.error}


def estimates(
    terms: Sequence[Terms], seed: int, config: IntervalConfig | None = None, owner: Codes | None = None
) -> list[Estimate]:
    """One estimate for each pair of terms, all over the same n rows and, in a bootstrap, the same draws.

    Rows of one owner, int64 (n), are drawn together: they are alike.
    """
    config = config or IntervalConfig()
    if config.method == "bernstein":
        return [_bernstein(own, config) for own in terms]
    numerator, denominator = _units(terms, owner, seed, config.most_units)
    value, error = _ratio(
        numerator.sum(axis=0),
        denominator.sum(axis=0),
        (numerator**2).sum(axis=0),
        (numerator * denominator).sum(axis=0),
        (denominator**2).sum(axis=0),
    )
    tail = (1.0 - config.confidence) / 2.0
    reach = float(ndtri(1.0 - tail))
    if config.method == "normal":
        low, high = value - reach * error, value + reach * error
    else:
        drawn, errors = _draws(numerator, denominator, seed, config.draws)
        if config.method == "percentile":
            low, high = np.quantile(drawn, [tail, 1.0 - tail], axis=0)
        else:
            with np.errstate(divide="ignore", invalid="ignore"):
                studentised = np.where(errors > 0, (drawn - value) / errors, 0.0)
            below, above = np.quantile(studentised, [tail, 1.0 - tail], axis=0)
            if config.method == "bootstrap":
                below, above = np.minimum(below, -reach), np.maximum(above, reach)
            low, high = value - above * error, value - below * error
    parts = zip(value.tolist(), low.tolist(), high.tolist(), error.tolist(), strict=True)
    return [Estimate(*figures) for figures in parts]


def _units(terms: Sequence[Terms], owner: Codes | None, seed: int, most: int) -> tuple[Floats, Floats]:
    """float64 (units, m) of numerators and denominators: rows, summed by owner, then by random group if too many."""
    group = np.arange(len(terms[0].numerator)) if owner is None else owner
    count = int(group.max(initial=-1)) + 1
    if count > most:
        group = (np.random.default_rng([seed, 1]).permutation(count) % most)[group]
    numerator = [np.bincount(group, weights=own.numerator) for own in terms]
    denominator = [np.bincount(group, weights=own.denominator) for own in terms]
    return np.stack(numerator, axis=1), np.stack(denominator, axis=1)


def _ratio(
    numerator: Floats, denominator: Floats, squares: Floats, products: Floats, weights: Floats
) -> tuple[Floats, Floats]:
    """Ratio and its standard error by the delta method: √Σ (num − θ den)² / Σ den."""
    whole = np.where(denominator != 0, denominator, 1.0)
    value = numerator / whole
    variance = np.maximum(squares - 2.0 * value * products + value**2 * weights, 0.0)
    return value, np.sqrt(variance) / np.abs(whole)


def _draws(numerator: Floats, denominator: Floats, seed: int, draws: int) -> tuple[Floats, Floats]:
    """Ratio and error in each bootstrap draw, float64 (draws, m); one BLAS thread, so that the bytes repeat."""
    n, m = numerator.shape
    joined = np.hstack([numerator, denominator, numerator**2, numerator * denominator, denominator**2])
    rng, values, errors = np.random.default_rng([seed, 2]), np.empty((draws, m)), np.empty((draws, m))
    with threadpool_limits(limits=1):
        for start in range(0, draws, DRAWS_AT_A_TIME):
            count = min(DRAWS_AT_A_TIME, draws - start)
            drawn = rng.integers(0, n, size=(count, n)) + np.arange(count)[:, None] * n
            times = np.bincount(drawn.ravel(), minlength=count * n).reshape(count, n).astype(np.float64)
            parts = np.split(times @ joined, 5, axis=1)
            values[start : start + count], errors[start : start + count] = _ratio(*parts)
    return values, errors


def _bernstein(terms: Terms, config: IntervalConfig) -> Estimate:
    """Empirical Bernstein (Maurer and Pontil 2009): valid in any sample for terms within the range seen; wide."""
    n, value = len(terms.numerator), terms.value
    scale = float(terms.denominator.mean()) or 1.0
    influence = (terms.numerator - value * terms.denominator) / scale
    log = float(np.log(4.0 / (1.0 - config.confidence)))
    variance = float(influence.var(ddof=1)) if n > 1 else 0.0
    reach = np.sqrt(2.0 * variance * log / n) + 7.0 * float(np.ptp(influence)) * log / (3.0 * max(n - 1, 1))
    return Estimate(value, value - float(reach), value + float(reach), float(np.sqrt(variance / n)))
