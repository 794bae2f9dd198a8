"""Arm against arm: difference, lift, p, and two kinds of interval, for any number of pairs at once. No table is read.

Fixed-horizon intervals (Welch's t on linearised values) hold for one look at a moment that was fixed before.
Always-valid intervals hold at every look: the Gaussian-mixture asymptotic confidence sequence of Waudby-Smith, Arbour,
Sinha, Kennedy and Ramdas, "Time-uniform central limit theory and asymptotic confidence sequences" (Annals of Statistics
2024). Ratios: the delta method (Deng, Knoblich, Lu, KDD 2018). CUPED: Deng, Xu, Kohavi, Walker, WSDM 2013.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from recommender.errors import InputError
from recommender.experiments.moments import Moments

__all__ = ["Comparison", "EffectConfig", "always_valid_multiplier", "compare", "holm"]

Floats = npt.NDArray[np.float64]
OUTCOME, DENOMINATOR, COVARIATE = 0, 1, 2


@dataclass(frozen=True)
class EffectConfig:
    """`alpha`: one minus the confidence. `planned_people`: of all arms together, where the always-valid interval is at
    its narrowest; it must be fixed before the first look, and elsewhere the interval holds just as well, only wider."""

    alpha: float = 0.05
    planned_people: float = 10_000.0

    def __post_init__(self) -> None:
        """InputError for a confidence or a number of people that no interval can have."""
        if not 0.0 < self.alpha < 0.5 or not self.planned_people >= 1.0:
            raise InputError(
                f"confidence {1.0 - self.alpha:g}, {self.planned_people:g} people planned.",
                "a confidence between .5 and 1, and one person or more.",
                "Correct them.",
            )


@dataclass(frozen=True)
class Comparison:
    """Arrays over pairs: arms' values (adjusted), their difference with its standard error and degrees of freedom, the
    part of the variance that the covariate took away, and the same in logarithms for the relative lift."""

    control: Floats
    treated: Floats
    difference: Floats
    error: Floats
    freedom: Floats
    saved: Floats
    people: Floats
    log_error: Floats
    log_freedom: Floats

    @property
    def pvalue(self) -> Floats:
        """Two-sided, of one look; 1 where nothing varies."""
        with np.errstate(invalid="ignore", divide="ignore"):
            found = 2.0 * stats.t.sf(np.abs(self.difference / self.error), self.freedom)
        return np.asarray(np.where(np.isnan(found), 1.0, found))

    def interval(self, alpha: npt.ArrayLike = 0.05) -> tuple[Floats, Floats]:
        """Fixed horizon: low and high at confidence 1 - alpha."""
        half = stats.t.isf(np.asarray(alpha) / 2.0, self.freedom) * self.error
        return self.difference - half, self.difference + half

    def lift(self, alpha: npt.ArrayLike = 0.05) -> tuple[Floats, Floats, Floats]:
        """Treated over control less 1, with low and high; not a number unless both are above 0."""
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            ratio = np.where((self.control > 0) & (self.treated > 0), self.treated / self.control, np.nan)
            factor = np.exp(stats.t.isf(np.asarray(alpha) / 2.0, self.log_freedom) * self.log_error)
            return ratio - 1.0, ratio / factor - 1.0, ratio * factor - 1.0

    def always_valid(self, config: EffectConfig = EffectConfig(), looks_at: int = 1) -> tuple[Floats, Floats]:
        """Low and high that hold at every look together; `looks_at` arms share alpha evenly (Bonferroni)."""
        half = always_valid_multiplier(self.people, config.alpha / looks_at, config.planned_people) * self.error
        return self.difference - half, self.difference + half

    def always_valid_level(self, config: EffectConfig = EffectConfig(), looks_at: int = 1) -> Floats:
        """The level at which one look would have to be judged to agree with the interval that holds at every look."""
        multiplier = always_valid_multiplier(self.people, config.alpha / looks_at, config.planned_people)
        return np.asarray(np.broadcast_to(2.0 * stats.norm.sf(multiplier), self.difference.shape))


def compare(control: Moments, treated: Moments) -> Comparison:
    """Compare arms whose moments broadcast against each other. A covariate that varies is used (CUPED): its slope is
    that of both arms together, so the adjusted difference stays unbiased whatever the covariate is worth."""
    both = control + treated
    slope, centre = _slope(both)
    mine, theirs = _value(control, slope, centre), _value(treated, slope, centre)
    error, freedom = _welch(mine[1], control.count, theirs[1], treated.count)
    plain, _ = _welch(_value(control, 0.0, centre)[1], control.count, _value(treated, 0.0, centre)[1], treated.count)
    with np.errstate(invalid="ignore", divide="ignore"):
        saved = np.where(plain > 0, 1.0 - (error / plain) ** 2, 0.0)
        relative = _welch(mine[1] / mine[0] ** 2, control.count, theirs[1] / theirs[0] ** 2, treated.count)
    error = np.where(error > 0, error, np.nan)  # where nothing has varied yet, nothing is known
    return Comparison(mine[0], theirs[0], theirs[0] - mine[0], error, freedom, saved, both.count, *relative)


def holm(pvalues: Floats, alpha: float) -> tuple[Floats, Floats]:
    """Holm's adjusted p-values and, for each, the level at which Holm judges it: intervals at these levels leave out 0
    exactly where the adjusted p-value is at most alpha. `pvalues` float64 (k)."""
    order = np.argsort(pvalues, kind="stable")
    left = len(pvalues) - np.arange(len(pvalues))
    adjusted, levels = np.empty(len(pvalues)), np.empty(len(pvalues))
    adjusted[order] = np.minimum(np.maximum.accumulate(pvalues[order] * left), 1.0)
    proven = int((adjusted <= alpha).sum())
    levels[order] = alpha / np.maximum(left, left[min(proven, len(left) - 1)] if len(left) else 1)
    return adjusted, levels


def always_valid_multiplier(people: npt.ArrayLike, alpha: float, planned_people: float) -> Floats:
    """Standard errors on each side of an interval that holds at every look; narrowest near `planned_people`."""
    rho2 = (-2.0 * np.log(alpha) + np.log(-2.0 * np.log(alpha)) + 1.0) / planned_people
    grown = np.asarray(people, np.float64) * rho2
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.sqrt(2.0 * (grown + 1.0) / grown * np.log(np.sqrt(grown + 1.0) / alpha)))


def _linear(moments: Moments) -> tuple[Floats, Floats, Floats, Floats]:
    """Value, its variance a person, its covariance with the covariate, and the covariate's variance."""
    mean, spread = moments.mean, moments.covariance
    with np.errstate(invalid="ignore", divide="ignore"):
        value = mean[..., OUTCOME] / mean[..., DENOMINATOR]
        one, ratio = 1.0 / mean[..., DENOMINATOR], value / mean[..., DENOMINATOR]
    variance = (
        one**2 * spread[..., OUTCOME, OUTCOME]
        - 2.0 * one * ratio * spread[..., OUTCOME, DENOMINATOR]
        + ratio**2 * spread[..., DENOMINATOR, DENOMINATOR]
    )
    together = one * spread[..., OUTCOME, COVARIATE] - ratio * spread[..., DENOMINATOR, COVARIATE]
    return value, variance, together, spread[..., COVARIATE, COVARIATE]


def _slope(both: Moments) -> tuple[Floats, Floats]:
    _, _, together, spread = _linear(both)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(spread > 0, together / spread, 0.0), both.mean[..., COVARIATE]


def _value(moments: Moments, slope: Floats | float, centre: Floats) -> tuple[Floats, Floats]:
    """Value with the covariate's part taken out, and its variance a person."""
    value, variance, together, spread = _linear(moments)
    adjusted = value - slope * (moments.mean[..., COVARIATE] - centre)
    return adjusted, np.maximum(variance + slope**2 * spread - 2.0 * slope * together, 0.0)


def _welch(mine: Floats, my_count: Floats, theirs: Floats, their_count: Floats) -> tuple[Floats, Floats]:
    """Standard error of a difference, and Welch's degrees of freedom."""
    with np.errstate(invalid="ignore", divide="ignore"):
        one, two = mine / my_count, theirs / their_count
        freedom = (one + two) ** 2 / (one**2 / (my_count - 1.0) + two**2 / (their_count - 1.0))
        return np.sqrt(one + two), np.where(np.isnan(freedom), my_count + their_count - 2.0, freedom)
