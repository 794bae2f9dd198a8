"""How likely a position of a slate is to be looked at, estimated from what the policy left to chance.

An item's planned rank says how good it was thought to be; where it was shown differs from that only because slots
were explored, its own or one before it. So among items of one such *class* the position is random, and answers at
position p of class c follow θ(p) · q(c) (the position-based model, Joachims et al. 2017; exploration as the
intervention, Agarwal et al. 2019). Nothing is ranked here.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import isotonic_regression
from scipy.stats import chi2

__all__ = ["UNCORRECTED", "Examination", "ExaminationConfig", "fit_examination"]

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ExaminationConfig:
    """A curve is believed when chance alone would show its like with probability `significance` at most; `floor`
    is the least examination that is believed; `rounds` of alternating fits."""

    significance: float = 0.01
    floor: float = 0.1
    rounds: int = 200


@dataclass(frozen=True)
class Examination:
    """`curve[p − 1]`: examination of position p beside the first position's 1; empty where there is no correction,
    and `sentence` says why."""

    curve: tuple[float, ...]
    slots: int
    answers: int
    sentence: str

    def at(self, position: Integers) -> Floats:
        """Examination of each 1-based position; 1 for 0 (not shown) and without a curve; the last holds beyond."""
        if not self.curve:
            return np.ones(len(position))
        known = np.asarray((1.0, *self.curve))
        return np.asarray(known[np.minimum(position, len(self.curve))])

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


UNCORRECTED = Examination((), 0, 0, "no correction")


def fit_examination(
    position: Integers, classes: Integers, is_answered: npt.NDArray[np.bool_], config: ExaminationConfig | None = None
) -> Examination:
    """The curve of 1-based positions, never rising, from slots of any number of classes (codes ≥ 0).

    θ and q are fitted in turn to the answers' counts (Poisson likelihood, each step the closed-form best), θ then
    smoothed to a falling curve by weighted isotonic regression. Slots whose class was seen at a single position
    say nothing about θ and drop out of the likelihood by themselves. No curve unless a likelihood ratio test
    against "every position alike" passes: no bias and too little data both end there.
    """
    config = config or ExaminationConfig()
    depth, width = int(position.max(initial=0)), int(classes.max(initial=0)) + 1
    cell = classes * max(depth, 1) + position - 1
    shape = (width, max(depth, 1))
    shown = np.bincount(cell, minlength=shape[0] * shape[1]).reshape(shape).astype(np.float64)
    answers = np.bincount(cell[is_answered], minlength=shown.size).reshape(shape).astype(np.float64)
    total = int(answers.sum())
    if depth < 2 or not total:
        return Examination((), len(position), total, f"no correction: {total:,} answers on {depth} positions")
    theta = _free_curve(shown, answers, config.rounds)
    statistic = 2 * (_likelihood(shown, answers, theta) - _likelihood(shown, answers, np.ones(depth)))
    chance = float(chi2.sf(statistic, depth - 1))
    if not chance <= config.significance:
        why = f"no correction: {total:,} answers in {len(position):,} slots do not show that positions differ"
        return Examination((), len(position), total, f"{why} (p = {chance:.2g})")
    weight = np.maximum((shown * _quality(shown, answers, theta)[:, None]).sum(axis=0), 1e-12)
    falling = isotonic_regression(theta, weights=weight, increasing=False).x
    curve = np.maximum(falling / falling[0], config.floor)
    last = f"position {depth} is looked at {curve[-1]:.2f} times as often as the first"
    return Examination(
        tuple(float(value) for value in curve),
        len(position),
        total,
        f"{last}, from {total:,} answers (p = {chance:.2g})",
    )


def _quality(shown: Floats, answers: Floats, theta: Floats) -> Floats:
    """q of each class: its answers by its examined slots; 0 for a class never shown."""
    looked = shown @ theta
    return np.asarray(np.divide(answers.sum(axis=1), looked, out=np.zeros(len(looked)), where=looked > 0))


def _free_curve(shown: Floats, answers: Floats, rounds: int) -> Floats:
    theta = np.ones(shown.shape[1])
    for _ in range(rounds):
        expected = _quality(shown, answers, theta) @ shown
        theta = np.divide(answers.sum(axis=0), expected, out=np.zeros_like(theta), where=expected > 0)
        theta = theta / max(float(theta.max()), 1e-12)
    return theta


def _likelihood(shown: Floats, answers: Floats, theta: Floats) -> float:
    """Poisson log likelihood of the counts at the best q, without terms that do not depend on θ."""
    rate = _quality(shown, answers, theta)[:, None] * theta
    mean = shown * rate
    logs = np.log(rate, out=np.zeros_like(rate), where=rate > 0)
    return float((answers * logs - mean).sum())
