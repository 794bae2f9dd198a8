"""The calibration: Evidently's own numbers, and false alarms no more often than promised."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.random import Generator, default_rng
from scipy.stats import binom

from monitoring.drift import DriftConfig, decide_drift
from monitoring.drift_calibration import calibrate, split_effects


def people(rows: int, rng: Generator, shift: float = 0.0) -> pd.DataFrame:
    """One population; `shift` moves `bell` by so many standard deviations."""
    return pd.DataFrame(
        {
            "bell": rng.normal(shift, 1.0, rows),
            "heavy": np.exp(rng.normal(0.0, 1.0, rows)),
            "counts": rng.poisson(2.0, rows).astype(float),
            "gaps": np.where(rng.random(rows) < 0.2, np.nan, 1e9 + rng.normal(size=rows)),
            "country": rng.choice(["GB", "DE", None], rows, p=[0.6, 0.3, 0.1]),
            "member": rng.choice(["True", "False"], rows),
        }
    )


def first(rows: int, of: int) -> np.ndarray:
    return (np.arange(of) < rows)[None, :]


@pytest.mark.slow
def test_effects_are_evidentlys() -> None:
    from evidently.legacy.calculations.stattests import jensenshannon_stat_test, wasserstein_stat_test
    from evidently.legacy.core import ColumnType

    rng = default_rng(1)
    reference, current = people(800, rng), people(500, rng, shift=0.3)
    current.loc[:50, "country"] = "FR"  # a category that the reference never saw
    pooled = pd.concat([reference, current], ignore_index=True)
    ours = dict(zip(pooled.columns, split_effects(pooled, first(800, 1300))[0], strict=True))
    for name, effect in ours.items():
        is_text = pooled[name].dtype == object
        test, kind = (
            (jensenshannon_stat_test, ColumnType.Categorical)
            if is_text
            else (wasserstein_stat_test, ColumnType.Numerical)
        )
        theirs = test(reference[name].dropna(), current[name].dropna(), kind, None).drift_score
        assert effect == pytest.approx(theirs, rel=1e-9), name


def test_effects_by_hand() -> None:
    frame = pd.DataFrame({"number": [0.0, 2.0, 1.0, 3.0], "text": pd.Series(["a", "b", "c", "c"], dtype=object)})
    wasserstein, jensen_shannon = split_effects(frame, first(2, 4))[0]
    assert wasserstein == pytest.approx(1.0 / 1.0)  # each value moved by 1; the reference 0, 2 deviates by 1
    assert jensen_shannon == pytest.approx(np.sqrt(np.log(2)))  # nothing in common: the largest there is


def test_many_splits_are_the_same_as_one_by_one() -> None:
    rng = default_rng(2)
    frame = people(200, rng)
    splits = rng.permuted(np.tile(np.arange(200) < 120, (30, 1)), axis=1)
    together = split_effects(frame, splits)
    for split, effects in zip(splits, together, strict=True):
        np.testing.assert_allclose(split_effects(frame, split[None, :])[0], effects, rtol=1e-9)


def test_same_seed_same_thresholds() -> None:
    rng = default_rng(3)
    reference, current = people(600, rng), people(600, rng)
    thresholds = [
        calibrate(reference, current, family_wise=0.01, permutations=99, max_rows=5_000, seed=seed).thresholds.tobytes()
        for seed in (5, 5, 6)
    ]
    assert thresholds[0] == thresholds[1] != thresholds[2]


def test_smaller_samples_get_higher_thresholds() -> None:
    rng = default_rng(4)
    reference = people(4_000, rng)
    large, small = (
        calibrate(reference, people(rows, rng), family_wise=0.01, permutations=199, max_rows=5_000, seed=1).thresholds
        for rows in (4_000, 500)
    )
    assert (small > 1.5 * large).all()  # noise: √((1/4000 + 1/500) / (2/4000)) = 2.1


def test_sampling_down_raises_the_thresholds() -> None:
    rng = default_rng(5)
    reference, current = people(4_000, rng), people(4_000, rng)
    full, sampled = (
        calibrate(reference, current, family_wise=0.01, permutations=199, max_rows=rows, seed=1).thresholds
        for rows in (4_000, 1_000)
    )
    assert (sampled > 1.4 * full).all()  # noise: √(4000 / 1000) = 2


def test_constant_columns_never_alarm_and_never_divide_by_zero() -> None:
    rng = default_rng(6)
    reference, current = people(600, rng).assign(flat=1.0), people(600, rng).assign(flat=1.0)
    with np.errstate(all="raise"):
        calibration = calibrate(reference, current, family_wise=0.01, permutations=99, max_rows=5_000, seed=1)
    assert calibration.thresholds[-1] == 0.0
    assert calibration.tails(np.zeros(7))[-1] == 1.0


def test_a_constant_that_becomes_another_is_the_clearest_drift() -> None:
    rng = default_rng(7)
    reference, current = people(600, rng).assign(flat=0.0), people(600, rng).assign(flat=1.0)
    found = decide_drift(reference, current, DriftConfig(permutations=199))
    assert [column.column for column in found.drifted] == ["flat"]


@pytest.mark.slow
def test_calibration_alone_keeps_its_promise() -> None:
    """Without the floor: 200 quiet windows at a family-wise 5 %, so 10 alarms are expected."""
    alarms, windows, promised = 0, 200, 0.05
    config = DriftConfig(numeric_floor=0.0, categorical_floor=0.0, family_wise=promised, permutations=99, min_rows=100)
    for number in range(windows):
        rng = default_rng([number, 8])
        alarms += decide_drift(people(600, rng), people(300, rng), config, seed=number).is_drifted
    assert alarms <= binom.ppf(0.999, windows, promised)  # 20
    assert alarms >= binom.ppf(0.001, windows, promised)  # 2: a rule that never alarms is not calibrated either


@pytest.mark.slow
def test_quiet_windows_are_quiet_and_small_shifts_are_caught() -> None:
    """The target of 1,000 windows in short: 1 % false alarms, 95 % of shifts by 0.2 sd caught."""
    windows, config = 60, DriftConfig(permutations=199)
    quiet = caught = 0
    for number in range(windows):
        rng = default_rng([number, 9])
        reference = people(5_000, rng)
        quiet += decide_drift(reference, people(1_000, rng), config, seed=number).is_drifted
        shifted = decide_drift(reference, people(1_000, rng, shift=0.2), config, seed=number)
        caught += any(column.column == "bell" for column in shifted.drifted)
    assert quiet <= binom.ppf(0.999, windows, 0.01)  # 4
    assert caught >= binom.ppf(0.001, windows, 0.95)  # 51
