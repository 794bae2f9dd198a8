"""How people behave: when they come, and what they do with what they see. Tastes come in as numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from recommender.events import DAY_MS
from recommender.simulation.world import CHANNELS, DEVICES, People, SimulationConfig

__all__ = ["ACTS", "Acts", "Response", "Visit", "Visits", "day_visits", "live_visits", "react", "responses"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

# In the order in which they happen to one item.
ACTS: tuple[str, ...] = ("impression", "skip", "click", "view", "add_to_cart", "purchase")
WEEKDAYS = np.array([0.9, 0.9, 0.95, 1.0, 1.05, 1.15, 1.1])  # Monday first
SESSION_MS = 15 * 60_000  # no visit lasts longer, and none crosses midnight


class Visit(NamedTuple):
    """One person coming by."""

    user_id: str
    at_ms: int
    device: str
    channel: str


class Response(NamedTuple):
    """One thing a person did with one item of a slate; `position` counts from 1."""

    event_type: str
    item_id: str
    position: int
    at_ms: int
    quantity: int | None = None
    price: float | None = None


@dataclass(frozen=True)
class Visits:
    """Visits of one day, ordered in time: user index, moment, device and channel as codes."""

    user: Ints
    at_ms: Ints
    device: Ints
    channel: Ints


@dataclass(frozen=True)
class Acts:
    """What was done: `row` is the shown item, `act` an index of ACTS, `after_ms` since the slate was shown."""

    row: Ints
    act: Ints
    after_ms: Ints
    quantity: Ints


def day_visits(people: People, day_start_ms: int, weight: float, rng: np.random.Generator) -> Visits:
    """Visits of one day: Poisson by each person's rate × `weight` × the weekday's, around their own hour."""
    weekday = WEEKDAYS[(day_start_ms // DAY_MS + 3) % 7]
    rates = np.where(people.signed_up_ms <= day_start_ms, people.visit_rate * weight * weekday, 0.0)
    user = np.repeat(np.arange(len(rates)), rng.poisson(rates))
    hours = (people.peak_hour[user] + rng.normal(0, 2.0, len(user))) % 24
    at_ms = day_start_ms + np.minimum((hours * 3_600_000).astype(np.int64), DAY_MS - SESSION_MS)
    # Most visits come over a person's own device and channel, one in five over any.
    usual = rng.random((2, len(user))) < 0.8
    device = np.where(usual[0], people.device[user], rng.integers(0, len(DEVICES), len(user)))
    channel = np.where(usual[1], people.channel[user], rng.integers(0, len(CHANNELS), len(user)))
    order = np.argsort(at_ms, kind="stable")
    return Visits(user[order], at_ms[order], device[order], channel[order])


def live_visits(people: People, day_start_ms: int, visitors: int, rng: np.random.Generator) -> list[Visit]:
    """The same as plain tuples, the rates scaled so that `visitors` come on an average weekday."""
    rates = np.where(people.signed_up_ms <= day_start_ms, people.visit_rate, 0.0)
    visits = day_visits(people, day_start_ms, visitors / max(float(rates.sum()), 1e-9), rng)
    columns = (visits.user.tolist(), visits.at_ms.tolist(), visits.device.tolist(), visits.channel.tolist())
    return [Visit(f"u{u:07d}", at, DEVICES[d], CHANNELS[c]) for u, at, d, c in zip(*columns, strict=True)]


def react(
    liking: npt.NDArray[np.float32],
    position: Ints,
    config: SimulationConfig,
    rng: np.random.Generator,
    shown: bool = True,
) -> Acts:
    """Run shown items (n) through the funnel: looked at, skipped or clicked, viewed, into the cart, bought.

    `position` counts from 1 and decides whether an item is looked at. With `shown` false the person
    went to the items unaided: no impression, no click, and every item is viewed.
    """
    n = len(liking)
    draw = rng.random((5, n))
    looked = draw[0] < 1 / (1 + config.position_bias * (position - 1)) if shown else np.ones(n, dtype=bool)
    click = looked & (draw[1] < liking) if shown else looked
    skip = looked & ~click & (draw[2] < config.skip_rate * (1 - liking)) & shown
    cart = click & (draw[3] < 0.1 + 0.7 * liking)
    buys = cart & (draw[4] < 0.35 + 0.5 * liking)
    masks = (np.full(n, shown), skip, click & shown, click, cart, buys)
    rows = [np.flatnonzero(mask) for mask in masks]
    row = np.concatenate(rows)
    act = np.repeat(np.arange(len(ACTS)), [len(part) for part in rows])
    reading = 2_000 + 3_000 * (position - 1) + rng.integers(0, 2_500, n)  # ms until the person got to the item
    buying = rng.integers(20_000, 90_000, n)
    after = np.stack([np.zeros(n, np.int64), reading, reading, reading + 900, reading + buying, reading + 3 * buying])
    quantity = 1 + rng.poisson(0.3, n)
    return Acts(row, act, after[act, row], quantity[row])


def responses(acts: Acts, item_ids: Sequence[str], price: Floats, at_ms: int) -> list[Response]:
    """Acts on one slate as plain tuples in time order; quantity and price belong to carts and purchases."""
    found = []
    for index in np.lexsort((acts.row, acts.act, acts.after_ms)):
        row, act = int(acts.row[index]), ACTS[acts.act[index]]
        bought = act in ("add_to_cart", "purchase")
        amounts = (int(acts.quantity[index]), float(price[row])) if bought else (None, None)
        found.append(Response(act, item_ids[row], row + 1, at_ms + int(acts.after_ms[index]), *amounts))
    return found
