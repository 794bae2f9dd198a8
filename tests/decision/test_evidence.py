"""The regression that shrinks groups of weights as far as they explain nothing, against what can be written down."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import multivariate_normal

from recommender.decision.policies.evidence import (
    FLAT,
    LEAST,
    ROWS_AT_A_TIME,
    Moments,
    Posterior,
    at_spreads,
    fit_evidence,
    without,
)

Floats = npt.NDArray[np.float64]
FIRST, SECOND = np.arange(5), 5 + np.arange(5)


def moments_of(design: Floats, reward: Floats) -> Moments:
    return Moments.of(lambda rows: design[rows], reward)


def told_by_the_first_five(n: int = 4_000, seed: int = 3) -> tuple[Floats, Floats]:
    """Ten columns; the reward is the sum of the first five, each times .5, and as much noise again."""
    rng = np.random.default_rng(seed)
    design = rng.normal(size=(n, 10))
    return design, design[:, :5].sum(axis=1) * 0.5 + rng.normal(size=n)


def test_with_one_weight_the_posterior_is_arithmetic() -> None:
    """Four rewards of one mean, N(0, ½) before, noise 2: precision 4 / 2 + 1 / ½ = 4, mean (12 / 2) / 4."""
    found = at_spreads(moments_of(np.ones((4, 1)), np.array([1.0, 2.0, 3.0, 6.0])), [np.array([0])], [0.5], 2.0)
    assert found.mean.tolist() == [1.5]
    assert found.covariance.tolist() == [[0.25]]


def test_the_evidence_is_the_likelihood_of_the_rewards() -> None:
    """log N(rewards; 0, noise I + X diag(prior variances) Xᵀ), the constant n / 2 ln 2π left out; a weight in no group
    has the prior variance noise / FLAT."""
    rng = np.random.default_rng(1)
    design, reward = rng.normal(size=(30, 4)), rng.normal(size=30)
    found = at_spreads(moments_of(design, reward), [np.array([0, 2]), np.array([1])], [0.3, 1.7], 0.8)
    prior = np.array([0.3, 1.7, 0.3, 0.8 / FLAT])
    whole = 0.8 * np.eye(30) + design @ np.diag(prior) @ design.T
    told = multivariate_normal(np.zeros(30), whole).logpdf(reward) + 15.0 * np.log(2.0 * np.pi)
    assert found.evidence == pytest.approx(told, abs=1e-9)


def test_the_posterior_is_that_of_the_joint_normal() -> None:
    """E[w | r] = P Xᵀ (noise I + X P Xᵀ)⁻¹ r, by the other of the two ways to write it."""
    rng = np.random.default_rng(2)
    design, reward = rng.normal(size=(12, 3)), rng.normal(size=12)
    found = at_spreads(moments_of(design, reward), [np.arange(3)], [0.6], 0.4)
    inverse = np.linalg.inv(0.4 * np.eye(12) + 0.6 * design @ design.T)
    assert found.mean == pytest.approx(0.6 * design.T @ inverse @ reward, abs=1e-12)
    expected = 0.6 * np.eye(3) - 0.36 * design.T @ inverse @ design
    assert found.covariance == pytest.approx(expected, abs=1e-12)


def test_no_other_spreads_make_the_rewards_likelier() -> None:
    design, reward = told_by_the_first_five()
    design[:, 5:] *= 0.5
    reward = reward + design[:, 5:].sum(axis=1) * 0.3
    moments = moments_of(design, reward)
    found = fit_evidence(moments, [FIRST, SECOND])
    for first in (0.5, 0.8, 1.25, 2.0):
        for second in (0.5, 1.0, 2.0):
            spreads = [found.spreads[0] * first, found.spreads[1] * second]
            assert at_spreads(moments, [FIRST, SECOND], spreads, found.noise).evidence < found.evidence + 1e-3


@pytest.fixture(scope="module")
def fitted() -> tuple[Moments, Posterior]:
    moments = moments_of(*told_by_the_first_five())
    return moments, fit_evidence(moments, [FIRST, SECOND])


def test_a_group_that_explains_is_kept_and_one_that_does_not_is_shrunk(fitted: tuple[Moments, Posterior]) -> None:
    moments, found = fitted
    plain = np.linalg.solve(moments.gram, moments.product)
    assert found.mean[FIRST] == pytest.approx(plain[FIRST], rel=0.01)
    # Standard error 1 / √4000 = .016, the least prior variance 1.6e-3 · 2.25 = .06²: 1 / (1 + (.016 / .06)²) = .93.
    assert found.spreads[1] == LEAST * moments.variance
    assert np.linalg.norm(found.mean[SECOND]) < 0.95 * np.linalg.norm(plain[SECOND])
    assert found.noise == pytest.approx(1.0, rel=0.05)


def test_with_few_rows_what_explains_nothing_is_all_but_gone() -> None:
    design, _ = told_by_the_first_five(200)
    reward = np.random.default_rng(4).normal(size=200)
    moments = moments_of(design, reward)
    found = fit_evidence(moments, [FIRST, SECOND])
    plain = np.linalg.solve(moments.gram, moments.product)
    # Standard error 1 / √200 = .07 beside .04: at most 1 / (1 + (.07 / .04)²) = .25 of what plain regression says.
    assert np.linalg.norm(found.mean) < 0.3 * np.linalg.norm(plain)


def test_how_much_likelier_the_rows_are_with_a_group_than_without(fitted: tuple[Moments, Posterior]) -> None:
    moments, found = fitted
    none = at_spreads(moments, [FIRST, SECOND], [1e-9 * moments.variance, found.spreads[1]], found.noise)
    told = without(moments, [FIRST, SECOND], found, 0)
    assert told == pytest.approx(2.0 * (found.evidence - none.evidence))
    # Five weights of .5 at noise 1 in 4,000 rows take 4,000 · 5 · .25 = 5,000 from the sum of squares.
    assert told == pytest.approx(5_000, rel=0.1)
    assert without(moments, [FIRST, SECOND], found, 1) < 2.0


def test_another_unit_of_the_reward_changes_the_unit_of_the_weights_only(fitted: tuple[Moments, Posterior]) -> None:
    _, found = fitted
    design, reward = told_by_the_first_five()
    moments = moments_of(design, 1_000.0 * reward)
    scaled = fit_evidence(moments, [FIRST, SECOND])
    assert scaled.mean == pytest.approx(1_000.0 * found.mean, rel=1e-6)
    assert scaled.spreads == pytest.approx([1e6 * spread for spread in found.spreads], rel=1e-6)
    assert scaled.noise == pytest.approx(1e6 * found.noise, rel=1e-6)
    told = without(moments, [FIRST, SECOND], scaled, 0)
    assert told == pytest.approx(without(fitted[0], [FIRST, SECOND], found, 0), rel=1e-6)


def test_a_reward_that_never_varies_has_weights_of_zero() -> None:
    design, _ = told_by_the_first_five(100)
    found = fit_evidence(moments_of(design, np.zeros(100)), [FIRST, SECOND])
    assert found.mean.tolist() == [0.0] * 10
    assert np.isfinite(found.evidence)


def test_rows_are_read_in_parts_and_the_same_rows_give_the_same_bytes() -> None:
    n = 2 * ROWS_AT_A_TIME + 5
    design, reward = told_by_the_first_five(n)
    sizes = []

    def part(rows: slice) -> Floats:
        sizes.append(len(design[rows]))
        return design[rows]

    once, again = Moments.of(part, reward), moments_of(design, reward)
    assert sizes == [ROWS_AT_A_TIME, ROWS_AT_A_TIME, 5]
    assert once.gram == pytest.approx(design.T @ design, rel=1e-9, abs=1e-7)
    assert once.product == pytest.approx(design.T @ reward, rel=1e-9, abs=1e-7)
    assert (once.rows, once.square) == (n, pytest.approx(float(reward @ reward)))
    first, second = (fit_evidence(moments, [FIRST, SECOND]) for moments in (once, again))
    assert first.mean.tobytes() == second.mean.tobytes()
    assert first.covariance.tobytes() == second.covariance.tobytes()
