"""The truth of the simulated shop: what every person thinks of every item at every moment. No events are kept here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from recommender.events import DAY_MS
from recommender.simulation import behaviour
from recommender.simulation.behaviour import Response, Visit
from recommender.simulation.words import CATEGORIES
from recommender.simulation.world import Catalogue, People, SimulationConfig, draw_catalogue, draw_people, draw_staples

__all__ = ["Shop"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

MOOD_DAYS = 5  # a person's mood, one of their three favourite categories, lasts this long
MOOD_LOGIT = 1.2
STAPLE_LOGIT = 4.0
LAUNCH_LOGIT = 0.6  # a new item is interesting for a week or so
SEASON = np.array([(words.peak_day, words.season, words.weekend, words.cycle_days) for words in CATEGORIES])


@dataclass(frozen=True)
class Shop:
    """A shop whose tastes are known; `Shop.build(config, seed)` gives the same one every time.

    Users and items go by index in arrays and by id (`u0000012`, `i000345`) at the door. A preference
    depends on (user, item, time) alone, never on what was bought before: people need their staples
    again in cycles, and have moods that last days, so the past still tells the future.
    """

    config: SimulationConfig
    seed: int
    catalogue: Catalogue
    people: People

    @classmethod
    def build(cls, config: SimulationConfig, seed: int) -> Shop:
        """Draw the shelves, then the people."""
        catalogue = draw_catalogue(config, np.random.default_rng([seed, 0]))
        return cls(config, seed, catalogue, draw_people(config, catalogue, np.random.default_rng([seed, 1])))

    def preference(self, user_index: Ints | int, item_index: Ints, at_ms: Ints | int) -> npt.NDArray[np.float32]:
        """Probability that the user clicks the item when looking at it, float32; 0 while it is off the shelves.

        The three arguments broadcast. Carts and purchases rise with the same number, so one order is
        best for all of them.
        """
        user, item, at = np.broadcast_arrays(user_index, item_index, np.asarray(at_ms, dtype=np.int64))
        shelf, people = self.catalogue, self.people
        category, styles = shelf.category[item], shelf.styles[item]
        logit = self.config.base_logit + people.affinity[user, category] + shelf.quality[item]
        logit += 0.7 * people.style[user, styles[..., 0]] + 0.3 * people.style[user, styles[..., 1]]
        logit -= people.sensitivity[user] * shelf.relative_price[item]
        logit += self._season(category, at) + self._mood(user, category, at) + self._need(user, item, category, at)
        logit += LAUNCH_LOGIT * np.exp(-np.maximum(at - shelf.arrives_ms[item], 0) / (7 * DAY_MS))
        on_shelf = (shelf.arrives_ms[item] <= at) & (at < shelf.retires_ms[item])
        return np.asarray(np.where(on_shelf, 1 / (1 + np.exp(-logit)), 0), dtype=np.float32)

    def oracle_slate(self, user_id: str, k: int, at_ms: int) -> list[str]:
        """The k items the user likes best at that moment, best first: what no recommender can beat."""
        liking = self.preference(self.user_index(user_id), np.arange(self.config.items), at_ms)
        best = np.argsort(-liking, kind="stable")[:k]
        return [self.item_id(int(index)) for index in best if liking[index] > 0]

    def live_visitors(self, visitors: int, day_start_ms: int, seed: int) -> list[Visit]:
        """Visits of one day in time order, `visitors` of them in expectation, habits as in the history."""
        rng = np.random.default_rng([self.seed, 3, seed, day_start_ms // DAY_MS])
        return behaviour.live_visits(self.people, day_start_ms, visitors, rng)

    def respond(self, user_id: str, item_ids: Sequence[str], at_ms: int, rng: np.random.Generator) -> list[Response]:
        """What the user does with a slate shown at `at_ms`, in time order, an impression for each item included."""
        index = np.array([self.item_index(item_id) for item_id in item_ids], dtype=np.int64)
        liking = self.preference(self.user_index(user_id), index, at_ms)
        acts = behaviour.react(liking, np.arange(1, len(index) + 1), self.config, rng)
        return behaviour.responses(acts, item_ids, self.catalogue.price[index], at_ms)

    def shift_tastes(self, seed: int, share: float) -> Shop:
        """A shop in which that share of the users moved to other categories and minds prices more than before."""
        rng = np.random.default_rng([self.seed, 4, seed])
        moved = rng.random(self.config.users) < share
        # Everybody moves in the same direction: drift that a monitor can see in the sums, not only in each person.
        step = int(rng.integers(len(CATEGORIES) // 3, len(CATEGORIES) * 2 // 3))
        affinity = np.where(moved[:, None], np.roll(self.people.affinity, step, axis=1), self.people.affinity)
        staples = draw_staples(self.config, self.catalogue, affinity, rng)
        people = replace(
            self.people,
            affinity=affinity,
            sensitivity=np.where(moved, 2.0 * self.people.sensitivity, self.people.sensitivity),
            staples=np.where(moved[:, None], staples, self.people.staples),
        )
        return replace(self, people=people)

    @staticmethod
    def user_id(index: int) -> str:
        return f"u{index:07d}"

    @staticmethod
    def item_id(index: int) -> str:
        return f"i{index:06d}"

    @staticmethod
    def user_index(user_id: str) -> int:
        return int(user_id[1:])

    @staticmethod
    def item_index(item_id: str) -> int:
        return int(item_id[1:])

    @cached_property
    def _favourites(self) -> Ints:
        return np.argsort(-self.people.affinity, axis=1, kind="stable")[:, :3]

    def _season(self, category: Ints, at_ms: Ints) -> Floats:
        days = at_ms / DAY_MS  # 1970-01-01 was a Thursday: weekday 5 and 6 of (days + 3) % 7 are the weekend
        peak, height, weekend, _ = SEASON[category].transpose(-1, *range(category.ndim))
        yearly = height * np.cos(2 * np.pi * (days % 365.25 - peak) / 365.25)
        return np.asarray(yearly + weekend * (np.floor(days + 3) % 7 >= 5))

    def _mood(self, user: Ints, category: Ints, at_ms: Ints) -> Floats:
        spell = (at_ms // DAY_MS + user % MOOD_DAYS) // MOOD_DAYS
        mood = self._favourites[user, _mixed(self.seed, user, spell) % np.uint64(3)]
        return np.asarray(MOOD_LOGIT * (mood == category))

    def _need(self, user: Ints, item: Ints, category: Ints, at_ms: Ints) -> Floats:
        staple = (self.people.staples[user] == item[..., None]).any(axis=-1)
        cycle_ms = np.maximum(SEASON[category, 3], 1) * DAY_MS
        turn = (at_ms - self.config.start_ms) / cycle_ms + self.people.phase[user]
        return np.asarray(np.where(staple, STAPLE_LOGIT * np.cos(np.pi * turn) ** 4, 0.0))


def _mixed(seed: int, user: Ints, spell: Ints) -> npt.NDArray[np.uint64]:
    """Splitmix64 of (seed, user, spell): a draw that needs no stream, so any pair can be asked for alone."""
    with np.errstate(over="ignore"):
        z = user.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + spell.astype(np.uint64)
        z += np.uint64(seed % 2**63) * np.uint64(0xD1B54A32D192ED03)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.asarray(z ^ (z >> np.uint64(31)))
