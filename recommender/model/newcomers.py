"""Rehearsed newcomers: people of whom nothing is known but the first events of a visit. No labels are graded here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recommender.events import Interaction, strength_of
from recommender.states import UserStates, empty_state, merge_live

__all__ = ["Newcomers", "as_strangers"]

FIRST_EVENTS = 5  # at most so many are known
_TELLING = ("quantity", "price_micros", "device", "channel", "country")


@dataclass(frozen=True)
class Newcomers:
    """`users`, one state a person, the moment of their last known event (`at_ms`, int64), and the rows of EVENT_SCHEMA
    that each of them added later (`later`)."""

    users: UserStates
    at_ms: npt.NDArray[np.int64]
    later: pa.Table


def as_strangers(events: pa.Table, start_ms: int, end_ms: int, limit: int, seed: int) -> Newcomers:
    """People whose events in [start, end) begin a life: the first 1 to 5 are folded into an empty state.

    A log has few newcomers at the moment of a cut, and their first visit is over by then; every returning
    person's next visit shows what one would do. Only people who add more events later are taken, a seeded
    draw of at most `limit`.
    """
    at = events["occurred_at"].cast(pa.timestamp("ms")).cast(pa.int64())
    types = pc.unique(events["event_type"]).to_pylist()
    positive = pa.array([name for name in types if strength_of(name) > 0], pa.string())
    inside = pc.and_(pc.greater_equal(at, start_ms), pc.less(at, end_ms))
    telling = pc.and_(pc.is_in(events["event_type"], value_set=positive), pc.is_valid(events["item_id"]))
    part = events.append_column("at_ms", at).filter(pc.and_(inside, telling))
    part = part.sort_by([("user_id", "ascending"), ("at_ms", "ascending"), ("event_id", "ascending")]).combine_chunks()
    names, person = np.unique(part["user_id"].to_numpy(zero_copy_only=False), return_inverse=True)
    moment = part["at_ms"].to_numpy()
    place = np.arange(len(part)) - np.searchsorted(person, person)
    rng = np.random.default_rng((seed, start_ms))
    known = rng.integers(1, FIRST_EVENTS + 1, len(names))
    last = np.zeros(len(names), dtype=np.int64)
    np.maximum.at(last, person[place < known[person]], moment[place < known[person]])
    comes_back = np.unique(person[moment > last[person]])
    chosen = np.sort(rng.permutation(comes_back)[:limit])
    is_chosen = np.isin(person, chosen)
    first = part.filter(pa.array(is_chosen & (place < known[person])))
    later = part.filter(pa.array(is_chosen & (moment > last[person])))
    return Newcomers(UserStates.from_rows(list(_folded(first))), last[chosen], later.drop_columns(["at_ms"]))


def _folded(first: pa.Table) -> Iterator[Mapping[str, Any]]:
    """A state for each person, in the order of their ids; a few thousand rows at most."""
    own: dict[str, list[Interaction]] = {}
    for row in first.to_pylist():
        known = {name: row[name] for name in ("event_id", "user_id", "event_type", "item_id", *_TELLING)}
        happened = Interaction(occurred_ms=row["at_ms"], **known)
        own.setdefault(row["user_id"], []).append(happened)
    for name, events in own.items():
        yield merge_live(empty_state(name), events)
