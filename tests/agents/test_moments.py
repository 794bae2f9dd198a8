"""Moments on days when the clocks change: the wall clock always shows a time of the window."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest

from recommender.agents.agent import Timing, Window
from recommender.agents.audience import Audience
from recommender.agents.moments import NEVER, offered_moments
from recommender.errors import InputError
from recommender.events import DAY_MS

HOUR = 3_600_000
PEOPLE = 200


def moments(zone: str, day: str, *windows: Window, hours: int = 30) -> np.ndarray:
    audience = Audience.read(pa.table({"user_id": [f"u{n:03}" for n in range(PEOPLE)], "timezone": [zone] * PEOPLE}))
    start = int(datetime.fromisoformat(f"{day}T00:00").replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)
    within = np.linspace(0, 1, PEOPLE, endpoint=False)
    return offered_moments(Timing(windows, quiet=None), audience, start, start + hours * HOUR, within)


def clocks(zone: str, found: np.ndarray) -> list[str]:
    return [
        datetime.fromtimestamp(at / 1000, UTC).astimezone(ZoneInfo(zone)).strftime("%H:%M") for at in found.tolist()
    ]


@pytest.mark.parametrize(
    ("zone", "day", "window"),
    [
        ("Europe/Berlin", "2026-10-25", Window(2 * 60 + 30, 3 * 60 + 30)),  # half past two comes twice
        ("Europe/Berlin", "2026-03-29", Window(1 * 60, 4 * 60)),  # two to three does not come at all
        ("America/Sao_Paulo", "2018-11-04", Window(0, 2 * 60)),  # the day began at one
        ("Australia/Lord_Howe", "2026-04-05", Window(1 * 60 + 30, 2 * 60)),  # half an hour again
    ],
)
def test_every_moment_lies_in_the_window_by_the_clock_on_the_wall(zone: str, day: str, window: Window) -> None:
    found = moments(zone, day, window, hours=12)[:, 0]
    begin, end = (f"{minute // 60:02}:{minute % 60:02}" for minute in (window.start, window.end))
    assert (found != NEVER).all()
    assert all(begin <= clock < end for clock in clocks(zone, found))


def test_a_window_that_a_day_leaves_out_waits_for_the_next() -> None:
    gap = Window(2 * 60, 3 * 60)
    assert (moments("Europe/Berlin", "2026-03-29", gap, hours=12) == NEVER).all()
    later = moments("Europe/Berlin", "2026-03-29", gap, hours=48)[:, 0]
    assert all("02:00" <= clock < "03:00" for clock in clocks("Europe/Berlin", later))


def test_an_ordinary_window_is_filled_evenly() -> None:
    found = moments("Asia/Kolkata", "2026-06-15", Window(9 * 60, 12 * 60))[:, 0]
    assert found[-1] - found[0] == pytest.approx(3 * HOUR * (PEOPLE - 1) / PEOPLE, abs=1)
    assert clocks("Asia/Kolkata", found)[0] == "09:00"


def test_weekdays_are_those_of_the_person() -> None:
    monday = Window(0, 60, frozenset({0}))
    # 2026-06-15 is a Monday; in Auckland it begins twelve hours before it does in London.
    audience = Audience.read(pa.table({"user_id": ["a", "l"], "timezone": ["Pacific/Auckland", "Etc/UTC"]}))
    sunday_noon = int(datetime(2026, 6, 14, 11, 0, tzinfo=UTC).timestamp() * 1000)
    found = offered_moments(Timing((monday,), None), audience, sunday_noon, sunday_noon + DAY_MS, np.zeros(2))
    assert (found[:, 0] - sunday_noon).tolist() == [1 * HOUR, 13 * HOUR]


def test_a_window_in_the_quiet_hours_is_refused() -> None:
    with pytest.raises(InputError, match="a window from 20:00 to 22:00, quiet from 21:00 to 08:00"):
        Timing((Window(20 * 60, 22 * 60),))
