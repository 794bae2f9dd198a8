"""What experiments promise, and how often they keep it: levels, peeks, sample ratios, CUPED, power. No page is made."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.experiments.simulated import Truth, accumulating, correlated, people_of, shaped, simulate
from recommender.experiments.effects import EffectConfig, compare, holm
from recommender.experiments.moments import Moments, moments_by_group
from recommender.experiments.sample_ratio import check_sample_ratio
from recommender.experiments.tails import is_lopsided, redrawn_pvalue

__all__ = ["Promise", "promises"]

ALPHA = 0.05
LOOKS = 50
LEVEL = {  # A/A experiments with one look
    "clicks": Truth("clicks", 2_000),
    "orders": Truth("orders", 2_000),
    "orders, CUPED": Truth("orders", 2_000, covariate=True),
    "basket, a ratio": Truth("basket", 2_000),
    "basket, a ratio with CUPED": Truth("basket", 2_000, covariate=True),
    "orders, holdout of a tenth, CUPED": Truth("orders", 4_000, (0.1, 0.9), covariate=True),
    "spend, 99 of 100 nothing": Truth("spend", 10_000),
}
PEEKED = {  # A/A experiments with 50 looks
    "clicks": Truth("clicks", 4_000, looks=LOOKS),
    "orders, CUPED": Truth("orders", 4_000, covariate=True, looks=LOOKS),
    "orders, holdout of a tenth": Truth("orders", 4_000, (0.1, 0.9), looks=LOOKS),
    "spend, 99 of 100 nothing": Truth("spend", 10_000, looks=LOOKS),
}
RATIOS: dict[str, tuple[int, dict[str, float]]] = {
    "two halves, 10,000 people": (10_000, {"a": 0.5, "b": 0.5}),
    "holdout of a tenth, 900 people (exact)": (900, {"holdout": 0.1, "agent": 0.9}),
    "holdout of a tenth, 20,000 people": (20_000, {"holdout": 0.1, "agent": 0.9}),
    "three arms, 10,000 people": (10_000, {"holdout": 0.1, "usual": 0.2, "agent": 0.7}),
}


@dataclass(frozen=True)
class Promise:
    """A figure over `experiments`, and the span it must lie in."""

    subject: str
    case: str
    experiments: int
    measured: float
    least: float
    most: float
    note: str = ""

    @property
    def kept(self) -> bool:
        """Whether it lies in its span."""
        return bool(self.least <= self.measured <= self.most)


def promises(experiments: int, seed: int) -> Iterator[Promise]:
    """All of them; spans are those of TARGETS (10,000 experiments), wider by chance where there are fewer."""
    chance = 0.007 * np.sqrt(10_000 / experiments)  # three standard errors of a share of .05
    for number, (case, truth) in enumerate(LEVEL.items()):
        made = simulate(truth, experiments, seed + number)[:, 0]
        found = float((compare(made[:, 0], made[:, 1]).pvalue <= ALPHA).mean())
        yield Promise("false alarms, one look", case, experiments, found, ALPHA - chance, ALPHA + chance)
    yield _lopsided(max(experiments // 5, 1), seed + 20)
    yield _lopsided_peeked(max(experiments // 5, 1), seed + 22)
    yield _several_arms(experiments, seed + 21, chance)
    for number, (case, truth) in enumerate(PEEKED.items()):
        yield _peeked(case, simulate(truth, experiments, seed + 30 + number), chance)
    fewer = max(experiments // 5, 1)
    bought = accumulating(fewer, 500, LOOKS, seed + 40)
    yield _peeked("everybody from day 1, buying for 50 days", bought, 0.007 * np.sqrt(10_000 / fewer))
    for number, (case, (people, shares)) in enumerate(RATIOS.items()):
        yield _sample_ratio(case, people, shares, experiments, seed + 50 + number)
    yield _broken_ratio(min(experiments, 1_000), seed + 60)
    for number, correlation in enumerate((0.3, 0.6, 0.9)):
        yield _cuped(correlation, experiments, seed + 70 + number)
    yield from _power(experiments, seed + 80)


def _lopsided(experiments: int, seed: int) -> Promise:
    """Heavy tails in unequal arms, judged as a readout judges them: by the interval and, if lopsided, by redraws."""
    truth, rng = Truth("spend", 10_000, (0.1, 0.9)), np.random.default_rng(seed)
    plain, judged = 0, 0
    for _ in range(experiments):
        values = people_of(truth, rng, truth.people)
        arm = (rng.random(truth.people) >= truth.shares[0]).astype(np.int64)
        sums = moments_by_group(values, arm, 2)
        if compare(sums[0], sums[1]).pvalue <= ALPHA:
            plain += 1
            judged += not is_lopsided(values, arm, 0, 1) or redrawn_pvalue(values, arm, 0, 1) <= ALPHA
    note = f"Welch's interval alone: {plain / experiments:.1%}"
    most = ALPHA + 0.007 * np.sqrt(10_000 / experiments)
    case = "spend, holdout of 1,000 with 10 buyers"
    return Promise("false alarms, few decide", case, experiments, judged / experiments, 0.0, most, note)


def _lopsided_peeked(experiments: int, seed: int) -> Promise:
    """The same, looked at 50 times: a look counts as an alarm when the interval and, if lopsided, redraws agree."""
    truth, rng = Truth("spend", 10_000, (0.1, 0.9)), np.random.default_rng(seed)
    each, plain, judged = truth.people // LOOKS, 0, 0
    for _ in range(experiments):
        values = people_of(truth, rng, truth.people)
        arm = (rng.random(truth.people) >= truth.shares[0]).astype(np.int64)
        cell = np.arange(truth.people) // each * 2 + arm
        sums = shaped(moments_by_group(values, cell, LOOKS * 2), (LOOKS, 2)).running()
        compared = compare(sums[:, 0], sums[:, 1])
        (low, high), levels = compared.always_valid(), compared.always_valid_level()
        looks = np.flatnonzero((low > 0) | (high < 0))
        plain += len(looks) > 0
        for come in (looks + 1) * each:
            own, whose = values[:come], arm[:come]
            if not is_lopsided(own, whose, 0, 1) or redrawn_pvalue(own, whose, 0, 1) <= levels[come // each - 1]:
                judged += 1
                break
    note = f"always-valid interval alone: {plain / experiments:.1%}"
    most = ALPHA + 0.007 * np.sqrt(10_000 / experiments)
    case = "spend, holdout of 1,000 with 10 buyers"
    return Promise("false alarms, few decide, 50 peeks", case, experiments, judged / experiments, 0.0, most, note)


def _several_arms(experiments: int, seed: int, chance: float) -> Promise:
    made = simulate(Truth("orders", 4_000, (0.25,) * 4), experiments, seed)[:, 0]
    compared = compare(made[:, :1], made[:, 1:])
    alarms = [bool((holm(pvalues, ALPHA)[0] <= ALPHA).any()) for pvalues in compared.pvalue]
    return Promise("any of three arms (Holm)", "orders", experiments, float(np.mean(alarms)), 0.0, ALPHA + chance)


def _peeked(case: str, made: Moments, chance: float) -> Promise:
    compared = compare(made[..., 0], made[..., 1])
    low, high = compared.always_valid(EffectConfig(ALPHA))
    alarms = ((low > 0) | (high < 0)).any(axis=1)
    naive = float((compared.pvalue <= ALPHA).any(axis=1).mean())
    note = f"one-look intervals: {naive:.1%}"
    return Promise("false alarms, 50 peeks", case, len(alarms), float(alarms.mean()), 0.0, ALPHA + chance, note)


def _sample_ratio(case: str, people: int, shares: dict[str, float], experiments: int, seed: int) -> Promise:
    drawn = np.random.default_rng(seed).multinomial(people, list(shares.values()), experiments)
    flags = _flags(drawn, shares)
    most = 13 if experiments >= 10_000 else 3 + 13 * experiments / 10_000
    return Promise("sample ratio, sound: flags", case, experiments, flags, 0, most)


def _broken_ratio(experiments: int, seed: int) -> Promise:
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(100_000, (0.5, 0.5), experiments)
    drawn[:, 1] = rng.binomial(drawn[:, 1], 0.97)
    found = _flags(drawn, {"a": 0.5, "b": 0.5}) / experiments
    return Promise("sample ratio, broken: found", "3 of 100 of one half lost, 100,000", experiments, found, 0.85, 1.0)


def _flags(drawn: npt.NDArray[np.int64], shares: dict[str, float]) -> int:
    counts = (dict(zip(shares, row, strict=True)) for row in drawn.tolist())
    return sum(not check_sample_ratio(own, shares).passed for own in counts)


def _cuped(correlation: float, experiments: int, seed: int) -> Promise:
    """The variance of the differences that experiments found, with the covariate over without it, beside 1 - ρ²."""
    with_it = correlated(experiments, 1_000, correlation, True, seed)
    without = correlated(experiments, 1_000, correlation, False, seed)
    found = [float(compare(made[:, 0], made[:, 1]).difference.var()) for made in (with_it, without)]
    wanted = 1.0 - correlation**2
    chance = 4.0 * wanted * np.sqrt(4.0 * correlation**2 / experiments) + 0.005  # of a ratio of correlated variances
    note = f"1 - ρ² = {wanted:.3f}"
    case = f"ρ = {correlation}"
    return Promise(
        "variance left by CUPED", case, experiments, found[0] / found[1], wanted - chance, wanted + chance, note
    )


def _power(experiments: int, seed: int) -> Iterator[Promise]:
    """At the difference that a readout calls detectable four times in five."""
    people = 2_000
    error = np.sqrt((1.5 + 1.5) * 4 / people)  # a Poisson of mean Gamma(1.5, 1) has variance 1.5 + 1.5
    effect = float(error * (1.959964 + 0.841621))
    chance = 3.0 * np.sqrt(0.8 * 0.2 / experiments)
    made = simulate(Truth("orders", people, effect=effect, looks=LOOKS), experiments, seed)
    compared = compare(made[..., 0], made[..., 1])
    last = float((compared.pvalue[:, -1] <= ALPHA).mean())
    yield Promise("found, one look", "orders, detectable effect", experiments, last, 0.8 - chance, 0.8 + chance)
    low, high = compared.interval(ALPHA)
    held = float(((low <= effect) & (effect <= high))[:, -1].mean())
    spread = 3.0 * np.sqrt(0.05 * 0.95 / experiments)
    yield Promise("true effect in interval, one look", "orders", experiments, held, 0.95 - spread, 0.95 + spread)
    config = EffectConfig(ALPHA, people)
    low, high = compared.always_valid(config)
    held = float(((low <= effect) & (effect <= high)).all(axis=1).mean())
    yield Promise("true effect in interval, all 50 peeks", "orders", experiments, held, 0.95 - spread, 1.0)
    always = float((low > 0).any(axis=1).mean())
    yield Promise("found by the 50th peek", "orders, the same effect", experiments, always, 0.4, 1.0)
