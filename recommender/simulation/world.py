"""Drawing the simulated shop: who the people are and what is on the shelves. Nobody visits or buys here."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recommender.errors import InputError
from recommender.events import DAY_MS
from recommender.simulation.words import CATEGORIES, COUNTRIES, STYLES

__all__ = [
    "CHANNELS",
    "DEVICES",
    "Catalogue",
    "People",
    "SimulationConfig",
    "draw_catalogue",
    "draw_people",
    "draw_staples",
]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

DEVICES: tuple[str, ...] = ("mobile", "desktop", "tablet")
CHANNELS: tuple[str, ...] = ("web", "app", "email")
FOREVER_MS = 2**62
N_PERSONAS = 10
BRANDS_PER_CATEGORY = 5


@dataclass(frozen=True)
class SimulationConfig:
    """Size and manners of a simulated shop; with a seed it determines everything.

    About `users × days × visits_per_user_day × 10` events come out: a visit shows `slate_length`
    items and its reader looks at `organic_views` more on their own.
    """

    users: int = 2_000
    items: int = 600
    days: int = 60
    start_ms: int = 1_735_689_600_000  # 2025-01-01T00:00Z
    visits_per_user_day: float = 0.15
    slate_length: int = 8
    organic_views: float = 1.5
    position_bias: float = 0.3  # a reader looks at position p with probability 1 / (1 + position_bias × (p − 1))
    base_logit: float = -3.6  # of a click on an item nobody cares about either way
    skip_rate: float = 0.12  # of looked-at items that are dismissed outright, at preference 0
    popular_share: float = 0.45  # the past policy fills a slot with a popular item, …
    personal_share: float = 0.35  # … with one from a category the user clicked before, or else at random
    staples_per_user: int = 4
    early_item_share: float = 0.65  # on the shelves from the first day; the others arrive during the period
    retiring_share: float = 0.15  # taken from the shelves during the period
    early_user_share: float = 0.7

    def __post_init__(self) -> None:
        for name in ("users", "items", "days", "slate_length", "staples_per_user"):
            if getattr(self, name) < 1:
                raise InputError(
                    f"{name} = {getattr(self, name)}.", f"{name} of 1 or more.", f"Give the simulation some {name}."
                )
        if self.items < 2 * len(CATEGORIES):
            raise InputError(
                f"items = {self.items}.", f"at least {2 * len(CATEGORIES)}, two a category.", "Ask for more items."
            )
        if self.start_ms % DAY_MS:
            raise InputError(f"start_ms = {self.start_ms}.", "midnight UTC.", f"Take a multiple of {DAY_MS}.")

    @property
    def end_ms(self) -> int:
        return self.start_ms + self.days * DAY_MS


@dataclass(frozen=True)
class Catalogue:
    """What is on the shelves; every array has one entry an item."""

    category: Ints
    brand: Ints  # within the category
    styles: Ints  # (n, 2): the main style and the second one
    words: Ints  # (n, 3): which noun, which word of either style
    quality: Floats
    relative_price: Floats  # log of price over the category's typical price
    price: Floats
    arrives_ms: Ints  # midnight, inclusive
    retires_ms: Ints  # midnight, exclusive


@dataclass(frozen=True)
class People:
    """Who visits; every array has one entry a user."""

    affinity: Floats  # (n, n_categories), logits
    style: Floats  # (n, n_styles), logits
    sensitivity: Floats  # logits lost for each e-fold above the typical price
    staples: Ints  # (n, staples_per_user): item index of consumables needed again and again
    phase: Floats  # [0, 1): where in the cycle of the staples the first day falls
    visit_rate: Floats  # visits a day
    peak_hour: Floats  # UTC
    device: Ints
    channel: Ints
    country: Ints
    signed_up_ms: Ints
    consents: npt.NDArray[np.bool_]  # (n, 2): e-mail, push


def draw_catalogue(config: SimulationConfig, rng: np.random.Generator) -> Catalogue:
    """Items of every category, a part of them arriving and retiring at midnights during the period."""
    n, n_categories = config.items, len(CATEGORIES)
    twice = np.arange(2 * n_categories) % n_categories  # so that no category is empty
    category = rng.permutation(np.concatenate([twice, rng.integers(0, n_categories, n - len(twice))]))
    brand = rng.integers(0, BRANDS_PER_CATEGORY, n)
    brand_quality = rng.normal(0, 0.3, (n_categories, BRANDS_PER_CATEGORY))
    first_style = rng.integers(0, len(STYLES), n)
    second_style = (first_style + rng.integers(1, len(STYLES), n)) % len(STYLES)
    relative_price = rng.normal(0, 0.45, n)
    typical = np.array([words.price for words in CATEGORIES])[category]
    late = rng.random(n) >= config.early_item_share
    arrives = config.start_ms + np.where(late, rng.integers(0, config.days, n), 0) * DAY_MS
    lifetime = rng.integers(max(1, config.days // 4), config.days + 1, n) * DAY_MS
    retires = np.where(rng.random(n) < config.retiring_share, arrives + lifetime, FOREVER_MS)
    return Catalogue(
        category=category,
        brand=brand,
        styles=np.stack([first_style, second_style], axis=1),
        words=rng.integers(0, [6, 4, 4], (n, 3)),
        quality=brand_quality[category, brand] + rng.normal(0, 0.4, n),
        relative_price=relative_price,
        price=np.round(typical * np.exp(relative_price), 2),
        arrives_ms=arrives,
        retires_ms=retires,
    )


def draw_people(config: SimulationConfig, catalogue: Catalogue, rng: np.random.Generator) -> People:
    """People as mixtures of a few personas, so that what one likes says something about others."""
    n, n_categories = config.users, len(CATEGORIES)
    liked = np.argsort(rng.random((N_PERSONAS, n_categories)), axis=1)[:, :3]
    personas = rng.normal(-0.5, 0.4, (N_PERSONAS, n_categories))
    np.put_along_axis(personas, liked, rng.normal(2.0, 0.4, liked.shape), axis=1)
    persona_styles = rng.normal(0, 1.0, (N_PERSONAS, len(STYLES)))
    mixture = rng.dirichlet(np.full(N_PERSONAS, 0.25), n)
    affinity = mixture @ personas + rng.normal(0, 0.3, (n, n_categories))
    country = rng.choice(len(COUNTRIES), n, p=[share for share, _, _ in COUNTRIES.values()])
    ahead = np.array([hours for _, _, hours in COUNTRIES.values()])[country]
    habit = rng.choice([7.5, 12.5, 20.0], n, p=[0.25, 0.25, 0.5]) + rng.normal(0, 1.0, n)
    late = rng.random(n) >= config.early_user_share
    joined = np.where(late, rng.integers(0, config.days * DAY_MS, n), -rng.integers(1, 366 * DAY_MS, n))
    return People(
        affinity=affinity,
        style=mixture @ persona_styles + rng.normal(0, 0.4, (n, len(STYLES))),
        sensitivity=rng.gamma(2.0, 0.4, n),
        staples=draw_staples(config, catalogue, affinity, rng),
        phase=rng.random(n),
        visit_rate=rng.gamma(1.5, config.visits_per_user_day / 1.5, n),
        peak_hour=(habit - ahead) % 24,
        device=rng.choice(len(DEVICES), n, p=[0.6, 0.32, 0.08]),
        channel=rng.choice(len(CHANNELS), n, p=[0.6, 0.28, 0.12]),
        country=country,
        signed_up_ms=config.start_ms + joined,
        consents=rng.random((n, 2)) < [0.7, 0.4],
    )


def draw_staples(config: SimulationConfig, catalogue: Catalogue, affinity: Floats, rng: np.random.Generator) -> Ints:
    """Consumables each person keeps buying, int64 (n_users, staples_per_user): rather from categories they like."""
    cycles = np.array([words.cycle_days for words in CATEGORIES])
    consumable = np.flatnonzero(cycles)
    noise = rng.gumbel(size=(len(affinity), config.staples_per_user, len(consumable)))
    chosen = consumable[np.argmax(affinity[:, None, consumable] + noise, axis=2)]
    by_category = np.argsort(catalogue.category, kind="stable")
    bounds = np.searchsorted(catalogue.category[by_category], np.arange(len(CATEGORIES) + 1))
    within = rng.random(chosen.shape) * (bounds[chosen + 1] - bounds[chosen])
    return np.asarray(by_category[bounds[chosen] + within.astype(np.int64)])
