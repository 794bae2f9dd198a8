"""The sample ratio: sound arms pass, broken ones are refused before any outcome is read."""

from __future__ import annotations

import pytest
from scipy.stats import binom, chi2

from recommender.errors import InputError
from recommender.experiments.sample_ratio import check_sample_ratio, likeliest_shares


def test_the_p_value_is_that_of_chi_square() -> None:
    found = check_sample_ratio({"a": 5_100, "b": 4_900}, {"a": 0.5, "b": 0.5})
    assert found.pvalue == pytest.approx(chi2.sf(100**2 / 5_000 + 100**2 / 5_000, 1))
    assert found.passed


def test_below_a_thousand_people_it_is_exact() -> None:
    found = check_sample_ratio({"a": 0, "b": 20}, {"a": 0.5, "b": 0.5})
    assert found.pvalue == pytest.approx(2 * binom.pmf(0, 20, 0.5))
    assert not found.passed


def test_three_arms_are_judged_together() -> None:
    shares = {"holdout": 0.1, "usual": 0.2, "agent": 0.7}
    assert check_sample_ratio({"holdout": 1_010, "usual": 1_990, "agent": 7_000}, shares).passed
    assert not check_sample_ratio({"holdout": 1_200, "usual": 1_800, "agent": 7_000}, shares).passed


def test_an_arm_of_which_nobody_is_left_counts() -> None:
    found = check_sample_ratio({"agent": 5_000}, {"holdout": 0.1, "agent": 0.9})
    assert not found.passed
    assert "holdout 0 (0.0%)" in found.sentence


def test_shares_that_nobody_told_are_the_nearest_round_ones() -> None:
    assert likeliest_shares({"holdout": 1_013, "agent": 8_987}) == {"holdout": 0.1, "agent": 0.9}
    assert likeliest_shares({"a": 3_301, "b": 3_390, "c": 3_309}) == pytest.approx(dict.fromkeys("abc", 1 / 3))
    assert not check_sample_ratio({"a": 48_000, "b": 52_000}).passed, "neither 50 : 50 nor 45 : 55"


@pytest.mark.parametrize("shares", [{"a": 1.0}, {"a": 1.0, "b": 0.0}])
def test_shares_that_do_not_fit_the_arms_are_refused(shares: dict[str, float]) -> None:
    with pytest.raises(InputError, match="share above 0"):
        check_sample_ratio({"a": 10, "b": 10}, shares)
