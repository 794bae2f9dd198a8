"""How simulated people choose: from a lasting catalogue, or news that live for two days. No tables are made here."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recommender.events import DAY_MS

__all__ = ["START_MS", "Behaviour", "Crowd", "Newsroom", "follow_news", "visit_shop"]

START_MS = 1_735_689_600_000  # 2025-01-01T00:00Z

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Behaviour:
    """One row a choice, by visit and time: numbers of people, items and visits, UTC milliseconds.

    `topic`, int64 (items): what an item is about. `liking`, float64 (choices): how much the person cares for its topic.
    `born_ms`, int64 (items): since when there is the item.
    """

    user: Ints
    item: Ints
    visit: Ints
    at_ms: Ints
    topic: Ints
    liking: Floats
    born_ms: Ints


@dataclass(frozen=True)
class Crowd:
    """A lasting catalogue and its visitors.

    `touched_items`: so many are ever looked at, all when 0. `repeat`: probability that a choice repeats one of the
    person's earlier ones. `tilt`: popularity falls with rank^−tilt.
    """

    users: int = 500
    items: int = 600
    days: int = 60
    choices_per_user: int = 36
    topics: int = 12
    taste: float = 1.5
    tilt: float = 1.0
    repeat: float = 0.0
    touched_items: int = 0


@dataclass(frozen=True)
class Newsroom:
    """Articles that interest people for about two days; nobody reads one older than three."""

    users: int = 600
    days: int = 42
    articles_per_day: int = 40
    topics: int = 15
    taste: float = 1.6
    visits_per_user_day: float = 0.35
    fading_per_day: float = 1.2
    lives_days: int = 3


def visit_shop(crowd: Crowd, rng: np.random.Generator) -> Behaviour:
    """Visits of one to seven choices at any time; what is chosen follows taste × popularity, or repeats."""
    topics = min(crowd.topics, crowd.items)
    taste = rng.normal(0, crowd.taste, (crowd.users, topics))
    topic = rng.permutation(np.arange(crowd.items) % topics)
    weight: Floats = np.power(1.0 + rng.permutation(crowd.items), -crowd.tilt)
    if crowd.touched_items:
        weight[rng.permutation(crowd.items)[crowd.touched_items :]] = 0.0
    owner = np.repeat(np.arange(crowd.users), rng.poisson(crowd.choices_per_user / 4, crowd.users) + 1)
    began = rng.integers(0, crowd.days * DAY_MS, len(owner))
    began = began[np.lexsort((began, owner))]
    length = rng.integers(1, 8, len(owner))
    visit = np.repeat(np.arange(len(owner)), length)
    step = np.arange(len(visit)) - np.repeat(np.cumsum(length) - length, length)
    user = owner[visit]
    item = _chosen(taste[user], topic, weight, rng)[_repeated(user, crowd.repeat, rng)]
    at_ms = START_MS + began[visit] + step * 40_000
    born = np.full(crowd.items, START_MS, dtype=np.int64)
    return Behaviour(user, item, visit, at_ms, topic, taste[user, topic[item]], born)


def _chosen(taste: Floats, topic: Ints, weight: Floats, rng: np.random.Generator) -> Ints:
    """For each row of tastes (choices × topics) an item with probability ∝ exp(taste of its topic) × weight."""
    order = np.argsort(topic, kind="stable")
    ends = np.cumsum(np.bincount(topic, minlength=taste.shape[1]))
    mass = np.concatenate([[0.0], np.cumsum(weight[order])])
    low, high = mass[np.concatenate([[0], ends[:-1]])], mass[ends]
    with np.errstate(divide="ignore"):
        liked = np.argmax(taste + np.log(high - low) + rng.gumbel(size=taste.shape), axis=1)
    point = low[liked] + rng.random(len(liked)) * (high - low)[liked]
    return np.asarray(order[np.searchsorted(mass, point, side="right") - 1], dtype=np.int64)


def _repeated(user: Ints, share: float, rng: np.random.Generator) -> Ints:
    """For each choice the number of the one it repeats, its own when it is fresh. Choices lie by user, then time."""
    number = np.arange(len(user))
    first = np.searchsorted(user, user, side="left")
    earlier = first + (rng.random(len(user)) * (number - first)).astype(np.int64)
    source = np.where(rng.random(len(user)) < share, earlier, number)
    while not np.array_equal(source, source[source]):
        source = source[source]
    return source


def follow_news(room: Newsroom, rng: np.random.Generator) -> Behaviour:
    """Every reader who comes on a day reads one to five different articles of those alive, the likeliest first."""
    count = room.days * room.articles_per_day
    taste = rng.normal(0, room.taste, (room.users, room.topics))
    topic, quality = rng.integers(0, room.topics, count), rng.normal(0, 0.6, count)
    born = np.sort(START_MS + rng.integers(0, room.days * DAY_MS, count))
    day, reader = np.nonzero(rng.random((room.days, room.users)) < room.visits_per_user_day)
    at = START_MS + day * DAY_MS + rng.integers(6, 23, len(day)) * 3_600_000
    oldest = np.searchsorted(born, at - room.lives_days * DAY_MS, side="right")
    newest = np.searchsorted(born, at, side="right")
    article = oldest[:, None] + np.arange((newest - oldest).max())
    is_alive = article < newest[:, None]
    article = np.minimum(article, count - 1)
    age_days = (at[:, None] - born[article]) / DAY_MS
    logit = taste[reader[:, None], topic[article]] + quality[article] - room.fading_per_day * age_days
    logit = np.where(is_alive, logit + rng.gumbel(size=logit.shape), -np.inf)
    read = np.argsort(-logit, axis=1)[:, :5]
    wanted = np.arange(5) < rng.integers(1, 6, len(at))[:, None]
    visit, place = np.nonzero(wanted & np.take_along_axis(is_alive, read, axis=1))
    user, item = reader[visit], article[visit, read[visit, place]]
    return Behaviour(user, item, visit, at[visit] + place * 60_000, topic, taste[user, topic[item]], born)
