"""Outcomes of which a few people decide are seen, and judged by what chance does to them."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from recommender.experiments.tails import is_lopsided, lopsidedness, redrawn_pvalue


def people(outcome: np.ndarray) -> np.ndarray:
    return np.stack([outcome, np.ones(len(outcome)), np.zeros(len(outcome))], axis=1)


def test_arms_of_one_size_and_shape_are_not_lopsided() -> None:
    values = people(np.tile([0.0, 0.0, 9.0], 200))
    arm = np.repeat([0, 1], 300)
    assert lopsidedness(values, arm, 0, 1) == pytest.approx(0.0)
    assert not is_lopsided(values, arm, 0, 1)


def test_a_small_arm_of_rare_spend_is_lopsided() -> None:
    rng = np.random.default_rng(4)
    values = people((rng.random(10_000) < 0.01) * rng.lognormal(4.0, 1.0, 10_000))
    assert is_lopsided(values, (np.arange(10_000) >= 1_000).astype(np.int64), 0, 1)


def test_redraws_find_what_counting_all_assignments_finds() -> None:
    outcome = np.array([1.0, 2.0, 4.0, 8.0, 9.0, 11.0, 13.0, 19.0])
    arm = np.array([0, 0, 0, 0, 1, 1, 1, 1])

    def distance(chosen: np.ndarray) -> float:
        one, two = outcome[chosen], outcome[~chosen]
        if len(one) < 2 or len(two) < 2:
            return 0.0 if not (len(one) and len(two)) else np.nan
        return float(abs(one.mean() - two.mean()) / np.sqrt(one.var(ddof=1) / len(one) + two.var(ddof=1) / len(two)))

    found = distance(arm == 1)
    all_of_them = np.array([distance(np.array(own)) for own in product([False, True], repeat=8)])
    counted = np.nan_to_num(all_of_them, nan=0.0)
    assert redrawn_pvalue(people(outcome), arm, 0, 1) == pytest.approx((counted >= found - 1e-9).mean(), abs=0.02)


def test_nothing_is_found_as_often_as_chance_allows() -> None:
    rng = np.random.default_rng(5)
    found = []
    for _ in range(200):
        values = people((rng.random(4_000) < 0.02) * rng.lognormal(4.0, 1.0, 4_000))
        found.append(redrawn_pvalue(values, (rng.random(4_000) >= 0.1).astype(np.int64), 0, 1))
    for level in (0.05, 0.2):
        assert abs(np.mean(np.array(found) <= level) - level) < 4 * np.sqrt(level * (1 - level) / 200)


def test_what_is_real_is_found() -> None:
    rng = np.random.default_rng(5)
    arm = (rng.random(20_000) >= 0.1).astype(np.int64)
    real = (rng.random(20_000) < np.where(arm == 1, 0.03, 0.01)) * rng.lognormal(4.0, 1.0, 20_000)
    assert redrawn_pvalue(people(real), arm, 0, 1) < 0.01
