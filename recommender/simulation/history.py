"""The simulated past: a mixed policy shows slates day by day, and people respond. Tables are made in `tables`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from recommender.events import DAY_MS
from recommender.simulation.behaviour import Visits, day_visits, react
from recommender.simulation.shop import Shop
from recommender.simulation.tables import DayEvents, event_table, item_table, user_table
from recommender.simulation.words import CATEGORIES
from recommender.simulation.world import SimulationConfig

__all__ = ["PastPolicy", "Simulation", "simulate"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

ORGANIC_POOL = 24  # items a person has in mind when looking around alone; the best of them are viewed
ORGANIC_START_MS = 180_000
POPULARITY_DAILY = 0.93  # what a click still counts a day later


@dataclass(frozen=True)
class Simulation:
    """A shop and its recorded past as canonical tables (see `tables` for the columns)."""

    shop: Shop
    events: pa.Table
    items: pa.Table
    users: pa.Table


def simulate(config: SimulationConfig, seed: int, progress: Callable[[int, int], None] | None = None) -> Simulation:
    """Run the shop for `config.days` days; `progress(days done, days)` is called after each.

    The same config and seed give the same tables, byte for byte.
    """
    shop = Shop.build(config, seed)
    policy = PastPolicy(shop)
    tables: list[pa.Table] = []
    counted = 0
    for day in range(config.days):
        rng = np.random.default_rng([seed, 2, day])
        events = _run_day(shop, policy, config.start_ms + day * DAY_MS, rng)
        tables.append(event_table(events, shop, day, counted))
        counted += len(events.act)
        if progress:
            progress(day + 1, config.days)
    return Simulation(shop, pa.concat_tables(tables), item_table(shop), user_table(shop))


class PastPolicy:
    """What the shop showed before there was a recommender: popular items, the user's own categories, and chance.

    It learns from clicks alone, day by day, and never sees the truth.
    """

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.by_category = np.argsort(shop.catalogue.category, kind="stable")
        self.bounds = np.searchsorted(shop.catalogue.category[self.by_category], np.arange(len(CATEGORIES) + 1))
        self.popularity = np.zeros(shop.config.items)
        self.category_clicks = np.zeros((shop.config.users, len(CATEGORIES)))

    def slates(self, user: Ints, day_start_ms: int, rng: np.random.Generator) -> Ints:
        """Item index int64 (n_visits, slate_length); −1 where a draw repeated an item, the others move up."""
        config = self.shop.config
        shape = (len(user), config.slate_length)
        lottery = rng.random(shape)
        weight = self.on_shelf(day_start_ms) * (1 + self.popularity) ** 0.8
        everywhere = np.zeros(shape, np.int64)
        popular = self.draw(weight, everywhere, everywhere + len(CATEGORIES), rng)
        chance = self.draw(self.on_shelf(day_start_ms), everywhere, everywhere + len(CATEGORIES), rng)
        wish = _categories_drawn(np.log(self.category_clicks[user] + 0.3), config.slate_length, rng)
        personal = self.draw(weight, wish, wish + 1, rng)
        chosen = np.where(lottery < config.popular_share + config.personal_share, personal, chance)
        return _without_repeats(np.where(lottery < config.popular_share, popular, chosen))

    def learn(self, user: Ints, item: Ints) -> None:
        """Count a day's clicks and let older ones fade."""
        self.popularity = self.popularity * POPULARITY_DAILY + np.bincount(item, minlength=self.shop.config.items)
        np.add.at(self.category_clicks, (user, self.shop.catalogue.category[item]), 1.0)

    def on_shelf(self, day_start_ms: int) -> Floats:
        """1.0 for items that can be shown on that day."""
        shelf = self.shop.catalogue
        return np.asarray((shelf.arrives_ms <= day_start_ms) & (day_start_ms < shelf.retires_ms), dtype=np.float64)

    def draw(self, weight: Floats, low: Ints, high: Ints, rng: np.random.Generator) -> Ints:
        """One item for each entry, by weight among categories low … high − 1; −1 where none of them has any."""
        total = np.concatenate([[0.0], np.cumsum(weight[self.by_category])])
        start, stop = total[self.bounds[low]], total[self.bounds[high]]
        # Rounding may reach `stop` itself, where an item of no weight can lie: stay below.
        target = np.minimum(start + rng.random(low.shape) * (stop - start), np.nextafter(stop, start))
        place = np.minimum(np.searchsorted(total, target, side="right") - 1, len(weight) - 1)
        return np.asarray(np.where(stop > start, self.by_category[place], -1))


def _categories_drawn(logits: Floats, n: int, rng: np.random.Generator) -> Ints:
    """Draw n categories for each row of logits (n_rows, n_categories) by their softmax, int64 (n_rows, n)."""
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    limits = np.cumsum(shares, axis=1)
    limits /= limits[:, -1:]
    found = (rng.random((len(logits), n))[:, :, None] >= limits[:, None, :]).sum(axis=2)
    return np.asarray(np.minimum(found, logits.shape[1] - 1))


def _without_repeats(slates: Ints) -> Ints:
    """Replace every item that stands further left already by −1, then close the gaps."""
    order = np.argsort(slates, axis=1, kind="stable")
    ordered = np.take_along_axis(slates, order, axis=1)
    repeated = np.zeros(slates.shape, dtype=bool)
    np.put_along_axis(repeated, order[:, 1:], ordered[:, 1:] == ordered[:, :-1], axis=1)
    cleaned = np.where(repeated, -1, slates)
    return np.take_along_axis(cleaned, np.argsort(cleaned < 0, axis=1, kind="stable"), axis=1)


def _run_day(shop: Shop, policy: PastPolicy, day_start_ms: int, rng: np.random.Generator) -> DayEvents:
    visits = day_visits(shop.people, day_start_ms, 1.0, rng)
    slates = policy.slates(visits.user, day_start_ms, rng)
    visit, column = np.nonzero(slates >= 0)
    item, position = slates[visit, column], column + 1
    liking = shop.preference(visits.user[visit], item, visits.at_ms[visit])
    seen = react(liking, position, shop.config, rng)
    clicked = seen.row[seen.act == 2]
    policy.learn(visits.user[visit[clicked]], item[clicked])
    shown = DayEvents.of(visits, seen, visit=visit, item=item, position=position, start_ms=0)

    visit, item, turn = _looked_up(shop, policy, visits, day_start_ms, rng)
    liking = shop.preference(visits.user[visit], item, visits.at_ms[visit])
    found = react(liking, turn, shop.config, rng, shown=False)
    nowhere = np.zeros_like(item)
    unaided = DayEvents.of(visits, found, visit=visit, item=item, position=nowhere, start_ms=ORGANIC_START_MS)
    return shown.joined(unaided).in_time_order()


def _looked_up(
    shop: Shop, policy: PastPolicy, visits: Visits, day_start_ms: int, rng: np.random.Generator
) -> tuple[Ints, Ints, Ints]:
    """Items people go to unaided, the best liked of a few in mind: (visit, item, turn within the visit)."""
    n_views = np.minimum(rng.poisson(shop.config.organic_views, len(visits.user)), 6)
    wish = _categories_drawn(shop.people.affinity[visits.user], ORGANIC_POOL, rng)
    drawn = policy.draw(policy.on_shelf(day_start_ms), wish, wish + 1, rng)
    pool = _without_repeats(np.concatenate([shop.people.staples[visits.user], drawn], axis=1))
    liking = shop.preference(visits.user[:, None], np.maximum(pool, 0), visits.at_ms[:, None])
    with np.errstate(divide="ignore"):
        appeal = np.where(pool >= 0, np.log(liking), -np.inf) + rng.gumbel(size=pool.shape)
    best = np.argsort(-appeal, axis=1, kind="stable")[:, : n_views.max(initial=0)]
    taken = (np.arange(best.shape[1]) < n_views[:, None]) & np.isfinite(np.take_along_axis(appeal, best, axis=1))
    visit, column = np.nonzero(taken)
    return visit, pool[visit, best[visit, column]], column + 1
