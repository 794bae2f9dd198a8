"""Simulated people take messages in the ways that are written down for them."""

from __future__ import annotations

import numpy as np
import pytest

from recommender.events import DAY_MS
from recommender.simulation import Shop, SimulationConfig
from recommender.simulation.letters import FATIGUE, LETTERS, WRONG_HOUR, Letter, answers, chances
from recommender.simulation.world import DEVICES

HOUR_MS = 3_600_000
SHOP = Shop.build(SimulationConfig(users=400, items=60, days=10), seed=3)
DAY = SHOP.config.end_ms


def _letter(user: int, name: str, hour: float | None = None, recent: int = 0) -> Letter:
    """At the person's own hour of the day unless told otherwise."""
    own = float(SHOP.people.peak_hour[user]) if hour is None else hour % 24
    return Letter(SHOP.user_id(user), name, DAY + round(own * HOUR_MS), recent)


def test_a_voucher_brings_those_who_come_seldom_and_news_the_others() -> None:
    often, seldom = int(np.argmax(SHOP.people.visit_rate)), int(np.argmin(SHOP.people.visit_rate))
    letters = [_letter(user, name) for user in (often, seldom) for name in ("news", "voucher")]
    (_, news, news_else), (_, voucher, voucher_else) = LETTERS["news"], LETTERS["voucher"]
    assert chances(SHOP, letters) == pytest.approx([news, voucher_else, news_else, voucher], abs=1e-6)


def test_a_reminder_is_for_people_with_a_mobile() -> None:
    mobile = SHOP.people.device == DEVICES.index("mobile")
    found = chances(SHOP, [_letter(user, "reminder") for user in range(400)])
    _, most, least = LETTERS["reminder"]
    assert found == pytest.approx(np.where(mobile, most, least), abs=1e-6)


def test_the_wrong_hour_and_earlier_messages_cost_what_is_written() -> None:
    own = float(SHOP.people.peak_hour[0])
    best, opposite, tired = chances(
        SHOP, [_letter(0, "news"), _letter(0, "news", hour=own + 12), _letter(0, "news", recent=3)]
    )
    # Twelve hours away exp(−(12 / 4)²) of what an hour adds is left: a ten-thousandth.
    assert opposite == pytest.approx(best * (WRONG_HOUR + (1 - WRONG_HOUR) * np.exp(-9)), rel=1e-4)
    assert tired == pytest.approx(best * (1 - 3 * FATIGUE))


def test_as_many_come_as_the_chances_say_and_the_same_seed_gives_the_same_day() -> None:
    letters = [_letter(user % 400, "news") for user in range(20_000)]
    found = answers(SHOP, letters, seed=1)
    came = np.array([visit is not None for visit in found.visits])
    told = chances(SHOP, letters)
    assert abs(came.sum() - told.sum()) < 4 * np.sqrt((told * (1 - told)).sum())
    assert found.visits == answers(SHOP, letters, seed=1).visits
    assert found.visits != answers(SHOP, letters, seed=2).visits


def test_who_comes_has_opened_the_message_and_comes_on_the_same_day() -> None:
    letters = [_letter(user, "news", hour=23.9) for user in range(400)]
    found = answers(SHOP, letters, seed=1)
    visits = [(letter, visit) for letter, visit in zip(letters, found.visits, strict=True) if visit is not None]
    assert visits
    assert all(visit.at_ms // DAY_MS == letter.sent_ms // DAY_MS for letter, visit in visits)
    assert all(opened for opened, visit in zip(found.opened, found.visits, strict=True) if visit is not None)


def test_nobody_leaves_at_the_first_message() -> None:
    assert not answers(SHOP, [_letter(user, "news") for user in range(400)], seed=1).left.any()
