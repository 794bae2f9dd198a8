"""The simulated crowd: what it answers is what its description says."""

from __future__ import annotations

import numpy as np

from recommender.simulation.campaigns import MESSAGES, WINDOWS, Campaign

MORNING, EVENING = range(len(WINDOWS))
VOUCHER = MESSAGES.index("voucher")


def each(campaign: Campaign, value: int) -> np.ndarray:
    return np.full(campaign.people, value, dtype=np.int64)


def test_without_a_message_or_without_strength_people_buy_at_their_base_rate() -> None:
    campaign, weak = Campaign(500), Campaign(500, strength=0.0)
    none = campaign.chances(each(campaign, -1), each(campaign, EVENING), each(campaign, 0))
    assert np.array_equal(none, campaign.base)
    assert np.array_equal(weak.chances(each(weak, VOUCHER), each(weak, EVENING), each(weak, 0)), weak.base)


def test_a_voucher_moves_the_thrifty_at_their_hour_and_less_when_they_are_tired() -> None:
    campaign = Campaign(500)
    seen = campaign.audience
    moved = seen["is_thrifty"].to_numpy() & (seen["visits"].to_numpy() > 1)
    young = seen["age"].to_numpy() <= 60
    evening = campaign.chances(each(campaign, VOUCHER), each(campaign, EVENING), each(campaign, 0)) - campaign.base
    morning = campaign.chances(each(campaign, VOUCHER), each(campaign, MORNING), each(campaign, 0)) - campaign.base
    tired = campaign.chances(each(campaign, VOUCHER), each(campaign, EVENING), each(campaign, 2)) - campaign.base
    assert np.allclose(evening[moved & young], 0.14)
    assert np.allclose(morning[moved & young], 0.14 / 2)
    assert np.allclose(evening[~moved], 0.0)
    assert np.allclose(tired, evening * (1 - 2 * 0.15))


def test_the_same_day_brings_the_same_luck_to_every_policy() -> None:
    campaign = Campaign(2000, seed=4)
    few, many = campaign.buys(campaign.base, 3), campaign.buys(campaign.base + 0.2, 3)
    assert (many | ~few).all()
    assert np.array_equal(few, Campaign(2000, seed=4).buys(campaign.base, 3))
    assert abs(few.mean() - campaign.base.mean()) < 4 * np.sqrt(0.06 * 0.94 / 2000)


def test_without_differences_a_message_adds_its_average_to_everybody() -> None:
    campaign, alike = Campaign(500), Campaign(500, differences=0.0)
    assert np.allclose(alike.added, campaign.added.mean(axis=0))
    assert np.array_equal(Campaign(500, differences=1.0).added, campaign.added)
