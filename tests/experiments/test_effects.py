"""Arm against arm: the same figures as tea-tasting finds, for any number of pairs at once."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import tea_tasting

from recommender.errors import InputError
from recommender.experiments.effects import EffectConfig, always_valid_multiplier, compare, holm
from recommender.experiments.moments import Moments, moments_by_group

N = 3_000


def people() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    before = rng.gamma(2.0, 1.0, N)
    arm = (rng.random(N) < 0.7).astype(np.int64)
    sessions = 1.0 + rng.poisson(before)
    value = 2.0 * before + sessions + 0.3 * arm + 1e4 + rng.normal(size=N)
    return {"variant": arm, "value": value, "sessions": sessions, "before": before}


def columns(told: dict[str, np.ndarray], *names: str) -> np.ndarray:
    return np.stack([told[name] if name else np.full(N, float(place == 1)) for place, name in enumerate(names)], axis=1)


@pytest.mark.parametrize(
    ("names", "judge"),
    [
        (("value", "", ""), tea_tasting.Mean("value")),
        (("value", "", "before"), tea_tasting.Mean("value", "before")),
        (("value", "sessions", ""), tea_tasting.RatioOfMeans("value", "sessions")),
        (("value", "sessions", "before"), tea_tasting.RatioOfMeans("value", "sessions", "before")),
    ],
)
def test_figures_are_those_of_tea_tasting(names: tuple[str, ...], judge: tea_tasting.RatioOfMeans) -> None:
    told = people()
    sums = moments_by_group(columns(told, *names), told["variant"], 2)
    ours = compare(sums[0], sums[1])
    theirs = tea_tasting.Experiment(it=judge).analyze(pa.table(told), control=0)["it"]
    assert float(ours.difference) == pytest.approx(theirs.effect_size)
    assert float(ours.pvalue) == pytest.approx(theirs.pvalue, rel=1e-6)
    assert [float(end) for end in ours.interval()] == pytest.approx(
        [theirs.effect_size_ci_lower, theirs.effect_size_ci_upper]
    )
    assert [float(part) for part in ours.lift()] == pytest.approx(
        [theirs.rel_effect_size, theirs.rel_effect_size_ci_lower, theirs.rel_effect_size_ci_upper], rel=1e-6
    )


def test_many_pairs_at_once_are_the_pairs_one_by_one() -> None:
    told = people()
    group = told["variant"] + 2 * (np.arange(N) % 5)
    sums = moments_by_group(columns(told, "value", "sessions", "before"), group, 10)
    together = compare(sums[0::2], sums[1::2])
    alone = [compare(sums[2 * place], sums[2 * place + 1]) for place in range(5)]
    assert together.pvalue == pytest.approx([float(own.pvalue) for own in alone], rel=1e-12)


def test_moments_add_up() -> None:
    told = people()
    values = columns(told, "value", "sessions", "before")
    halves = moments_by_group(values, (np.arange(N) >= N // 2).astype(np.int64), 2)
    whole = halves.summed()
    assert whole.covariance == pytest.approx(np.cov(values.T))
    assert whole.mean == pytest.approx(values.mean(axis=0))
    assert halves.running()[1].covariance == pytest.approx(whole.covariance)


@pytest.mark.parametrize(
    ("pvalues", "adjusted", "levels"),
    [
        ([0.04], [0.04], [0.05]),
        ([0.03, 0.04], [2 * 0.03, 2 * 0.03], [0.05 / 2, 0.05 / 2]),
        ([0.04, 0.01, 0.03], [2 * 0.03, 3 * 0.01, 2 * 0.03], [0.05 / 2, 0.05 / 3, 0.05 / 2]),
        ([0.001, 0.02, 0.03], [3 * 0.001, 2 * 0.02, 2 * 0.02], [0.05 / 3, 0.05 / 2, 0.05]),
    ],
)
def test_holm_steps_down_and_its_levels_decide_alike(
    pvalues: list[float], adjusted: list[float], levels: list[float]
) -> None:
    found, judged_at = holm(np.array(pvalues), 0.05)
    assert found == pytest.approx(adjusted)
    assert judged_at == pytest.approx(levels)
    assert ((np.array(pvalues) <= judged_at) == (found <= 0.05)).all()


def test_the_always_valid_interval_is_widest_far_from_the_plan() -> None:
    few, plan, many = always_valid_multiplier([100.0, 10_000.0, 10_000_000.0], 0.05, 10_000.0)
    assert plan < few
    assert plan < many
    assert 1.96 < plan < 3.1, "it costs a little more than half of the one-look interval's width"


def test_arms_in_which_nothing_happened_differ_by_nothing() -> None:
    sums = moments_by_group(np.tile([0.0, 1.0, 0.0], (20, 1)), np.arange(20) % 2, 2)
    found = compare(sums[0], sums[1])
    assert float(found.pvalue) == 1.0
    assert np.isnan(found.interval()).all()
    assert np.isnan(found.lift()[0])


def test_an_arm_without_people_gives_no_figure() -> None:
    sums = moments_by_group(np.tile([1.0, 1.0, 0.0], (4, 1)), np.zeros(4, np.int64), 2)
    assert isinstance(sums, Moments)
    assert np.isnan(compare(sums[0], sums[1]).difference)


@pytest.mark.parametrize(("alpha", "planned"), [(0.0, 100.0), (0.7, 100.0), (0.05, 0.0)])
def test_impossible_confidence_is_refused(alpha: float, planned: float) -> None:
    with pytest.raises(InputError, match="confidence"):
        EffectConfig(alpha, planned)
