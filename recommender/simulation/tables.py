"""Canonical tables of a simulated shop, in memory and as Parquet. What happens is decided in `history`."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recommender.simulation.behaviour import ACTS, Acts, Visits
from recommender.simulation.shop import Shop
from recommender.simulation.words import BRAND_STEMS, CATEGORIES, COUNTRIES, STYLES
from recommender.simulation.world import CHANNELS, DEVICES

if TYPE_CHECKING:
    from recommender.simulation.history import Simulation

__all__ = ["DayEvents", "event_table", "item_table", "user_table", "write_tables"]

Ints = npt.NDArray[np.int64]

_TIME = pa.timestamp("ms")


@dataclass(frozen=True)
class DayEvents:
    """Events of one day as codes, one entry an event; `position` 0 means that the item was not in a slate."""

    visit: Ints
    user: Ints
    item: Ints
    act: Ints
    at_ms: Ints
    position: Ints
    quantity: Ints
    device: Ints
    channel: Ints

    @classmethod
    def of(cls, visits: Visits, acts: Acts, *, visit: Ints, item: Ints, position: Ints, start_ms: int) -> DayEvents:
        """Acts on items (rows of `visit`, `item`, `position`) of the day's visits, `start_ms` into each visit."""
        which = visit[acts.row]
        return cls(
            visit=which,
            user=visits.user[which],
            item=item[acts.row],
            act=acts.act,
            at_ms=visits.at_ms[which] + acts.after_ms + start_ms,
            position=position[acts.row],
            quantity=acts.quantity,
            device=visits.device[which],
            channel=visits.channel[which],
        )

    def joined(self, other: DayEvents) -> DayEvents:
        """Both, one after the other."""
        return DayEvents(*(np.concatenate([getattr(self, f.name), getattr(other, f.name)]) for f in fields(self)))

    def in_time_order(self) -> DayEvents:
        """Ordered by time, visit, kind of act and position."""
        order = np.lexsort((self.position, self.act, self.visit, self.at_ms))
        return DayEvents(*(getattr(self, f.name)[order] for f in fields(self)))


def event_table(events: DayEvents, shop: Shop, day: int, counted: int) -> pa.Table:
    """Canonical events of one day; ids continue after the `counted` ones of the days before."""
    n = len(events.act)
    in_slate = events.position > 0
    bought = np.isin(events.act, (ACTS.index("add_to_cart"), ACTS.index("purchase")))
    nothing = pa.nulls(n, pa.string())
    countries = shop.people.country[events.user]
    columns = {
        "event_id": _ids("e", np.arange(counted, counted + n), 9),
        "user_id": _ids("u", events.user, 7),
        "item_id": _ids("i", events.item, 6),
        "event_type": _named(events.act, ACTS),
        "occurred_at": pa.array(events.at_ms).cast(_TIME),
        "session_id": _ids(f"s{day:04d}-", events.visit, 6),
        "quantity": pa.array(events.quantity, mask=~bought),
        "price": pa.array(shop.catalogue.price[events.item], mask=~bought),
        "channel": _named(events.channel, CHANNELS),
        "device": _named(events.device, DEVICES),
        "country": _named(countries, tuple(COUNTRIES)),
        "placement": _named(in_slate.astype(np.int64), ("search", "home")),
        "decision_id": nothing,
        "position": pa.array(events.position, mask=~in_slate),
        "properties": nothing,
    }
    return pa.table(columns)


def item_table(shop: Shop) -> pa.Table:
    """Canonical items, `available` as on the last day; titles and descriptions speak of category and styles."""
    shelf, n = shop.catalogue, shop.config.items
    styles = list(STYLES)
    titles, descriptions, tags, brands = [], [], [], []
    for index in range(n):  # a catalogue's length, once a simulation
        words = CATEGORIES[shelf.category[index]]
        first, second = (styles[style] for style in shelf.styles[index])
        noun, one, other = shelf.words[index]
        brand = BRAND_STEMS[(5 * shelf.category[index] + shelf.brand[index]) % len(BRAND_STEMS)]
        titles.append(f"{brand} {STYLES[first][one]} {words.nouns[noun]}")
        descriptions.append(
            f"{words.sentence}. {STYLES[first][one - 1]} in look, {STYLES[second][other].lower()} in feel."
        )
        tags.append(f"{first},{second}")
        brands.append(f"{brand} {words.name.split()[0].title()}")
    columns = {
        "item_id": _ids("i", np.arange(n), 6),
        "title": pa.array(titles),
        "description": pa.array(descriptions),
        "category": _named(shelf.category, tuple(words.name for words in CATEGORIES)),
        "brand": pa.array(brands),
        "price": pa.array(shelf.price),
        "tags": pa.array(tags),
        "available": pa.array(shelf.retires_ms > shop.config.end_ms),
        "created_at": pa.array(shelf.arrives_ms).cast(_TIME),
    }
    return pa.table(columns)


def user_table(shop: Shop) -> pa.Table:
    """Canonical users, with consents."""
    people = shop.people
    columns = {
        "user_id": _ids("u", np.arange(shop.config.users), 7),
        "signed_up_at": pa.array(people.signed_up_ms).cast(_TIME),
        "country": _named(people.country, tuple(COUNTRIES)),
        "timezone": _named(people.country, tuple(zone for _, zone, _ in COUNTRIES.values())),
        "consent_email": pa.array(people.consents[:, 0]),
        "consent_push": pa.array(people.consents[:, 1]),
    }
    return pa.table(columns)


def write_tables(simulation: Simulation, folder: Path, progress: Callable[[int, int], None] | None = None) -> None:
    """Write `events.parquet`, `items.parquet` and `users.parquet`, each aside, synced, then renamed.

    `progress(rows written, rows)` is called as it goes; other files in the folder are left alone.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tables = {"users": simulation.users, "items": simulation.items, "events": simulation.events}
    total, written = sum(table.num_rows for table in tables.values()), 0
    for name, table in tables.items():
        path = folder / f"{name}.parquet"
        aside = folder / f".{name}.{os.getpid()}.part"
        with pq.ParquetWriter(aside, table.schema, compression="zstd") as writer:
            for start in range(0, table.num_rows, 1 << 18):
                part = table.slice(start, 1 << 18)
                writer.write_table(part)
                written += part.num_rows
                if progress:
                    progress(written, total)
        with aside.open("rb") as handle:
            os.fsync(handle.fileno())
        aside.replace(path)


def _ids(prefix: str, numbers: Ints, width: int) -> pa.Array:
    digits = pc.utf8_lpad(pa.array(numbers).cast(pa.string()), width=width, padding="0")
    return pc.binary_join_element_wise(prefix, digits, "")


def _named(codes: Ints, names: tuple[str, ...]) -> pa.Array:
    return pa.array(names).take(pa.array(codes))
