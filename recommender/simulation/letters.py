"""How the people of the simulated shop take a message: who opens it, comes by, or leaves. None is chosen."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from recommender.events import DAY_MS
from recommender.simulation.behaviour import SESSION_MS, Visit
from recommender.simulation.shop import Shop
from recommender.simulation.world import CHANNELS, DEVICES

__all__ = ["LETTERS", "Answers", "Letter", "answers", "chances"]

# What is sent → channel, and how likely people come by because of it: those it is for, and everybody else. Higher than
# in life, so that a fortnight of 1,500 people can show it.
LETTERS = MappingProxyType(
    {
        "news": ("email", 0.55, 0.15),  # for regulars: they come more often than half of the people do
        "voucher": ("email", 0.60, 0.12),  # for whoever comes seldom
        "reminder": ("push", 0.55, 0.10),  # for people who carry the shop in their pocket
    }
)
OPENED = 0.45  # of the messages that bring nobody in
FATIGUE = 0.12  # of the chance is lost with each message of the week before
LEAVES = 0.004  # of the people want no more, for each message of the week before
WRONG_HOUR = 0.35  # of the chance is left at the worst hour of the day, all of it at a person's own

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]


class Letter(NamedTuple):
    """One message to one person; `recent` counts those they got in the seven days before."""

    user_id: str
    name: str
    sent_ms: int
    recent: int = 0


@dataclass(frozen=True)
class Answers:
    """One entry a letter: `visits` is None where nobody came."""

    opened: Mask
    visits: tuple[Visit | None, ...]
    left: Mask


def chances(shop: Shop, letters: list[Letter]) -> Floats:
    """float64 (n): the chance that each letter brings its reader in. KeyError for a message that is not in LETTERS."""
    user = _users(shop, letters)
    people = shop.people
    regular = people.visit_rate > np.median(people.visit_rate)
    meant = {"news": regular, "voucher": ~regular, "reminder": people.device == DEVICES.index("mobile")}
    own = np.array([meant[letter.name][one] for letter, one in zip(letters, user, strict=True)], dtype=bool)
    most, least = np.array([LETTERS[letter.name][1:] for letter in letters]).reshape(-1, 2).T
    hour = np.array([letter.sent_ms % DAY_MS / 3_600_000 for letter in letters])
    apart = np.abs((hour - people.peak_hour[user] + 12) % 24 - 12)  # hours, the short way round the clock
    timely = WRONG_HOUR + (1 - WRONG_HOUR) * np.exp(-((apart / 4) ** 2))
    rested = np.maximum(0.0, 1.0 - FATIGUE * np.array([letter.recent for letter in letters]))
    return np.asarray(np.where(own, most, least) * timely * rested)


def answers(shop: Shop, letters: list[Letter], seed: int) -> Answers:
    """What becomes of a day's letters, drawn by `seed`; a visit begins five minutes to an hour after its letter."""
    rng = np.random.default_rng([shop.seed, 5, seed])
    draw, delay = rng.random((3, len(letters))), rng.integers(5 * 60_000, 60 * 60_000, len(letters))
    came = draw[0] < chances(shop, letters)
    recent = np.array([letter.recent for letter in letters], dtype=np.int64)
    user = _users(shop, letters)
    visits = tuple(
        Visit(
            letter.user_id,
            _arrival(letter.sent_ms, int(after)),
            DEVICES[shop.people.device[one]],
            CHANNELS[shop.people.channel[one]],
        )
        if comes
        else None
        for letter, one, after, comes in zip(letters, user, delay, came, strict=True)
    )
    return Answers(came | (draw[1] < OPENED), visits, draw[2] < LEAVES * recent)


def _users(shop: Shop, letters: list[Letter]) -> Ints:
    return np.array([shop.user_index(letter.user_id) for letter in letters], dtype=np.int64)


def _arrival(sent_ms: int, after_ms: int) -> int:
    """No visit crosses the midnight after its letter; the last ones of a day begin a session's length before it."""
    return min(sent_ms + after_ms, sent_ms // DAY_MS * DAY_MS + DAY_MS - SESSION_MS)
