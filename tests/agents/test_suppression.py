"""Who is left alone: a share of the people known, told by their gains alone."""

from __future__ import annotations

import numpy as np
import pytest

from recommender.agents.suppression import Suppression


def test_a_share_of_the_people_lies_below_the_bound() -> None:
    gains = np.random.default_rng(0).permutation(100).astype(float)
    shares = Suppression.of(gains, 0.25).send_shares(gains, exploration=0.3)
    assert np.allclose(shares[gains < 25], 0.05)
    assert (shares[gains >= 25] == 1.0).all()


def test_of_people_who_gain_alike_each_is_left_alone_for_their_part() -> None:
    """60 gain nothing, 40 gain 1; of a quarter to be left alone each of the 60 carries 25 / 60."""
    gains = np.repeat([0.0, 1.0], [60, 40])
    shares = Suppression.of(gains, 0.25).send_shares(gains, exploration=0.3)
    assert np.allclose(shares[:60], 1 - 25 / 60 * 0.95)
    assert (shares[60:] == 1.0).all()


def test_the_rest_that_is_still_written_to_keeps_to_the_budget() -> None:
    gains = np.arange(10.0)
    bound = Suppression.of(gains, 0.5)
    assert bound.send_shares(gains, exploration=0.01)[:5] == pytest.approx(0.01)
    assert (bound.send_shares(gains, exploration=0.0)[:5] == 0.0).all()
