"""Rehearsed arrivals: a past cut as if some of its items had been uploaded a minute before. No labels here."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recommender.cuts import CutInputs
from recommender.states import ITEM_STATE_SCHEMA, USER_STATE_SCHEMA, ItemTable, UserStates

__all__ = ["as_if_new"]

JUST_LISTED_MS = 60_000
# What an item's events alone say; the catalogue's columns stay.
_FROM_EVENTS = (
    *(name for name in ITEM_STATE_SCHEMA.names if "count" in name),
    *("first_ms", "last_ms", "popularity_micros", "revenue_micros_28d"),
)


def as_if_new(cut: CutInputs, share: float, seed: int) -> CutInputs:
    """The cut with a seeded `share` of its items untouched and just listed: out of every history, pair and segment.

    A log says little of how a new item would be liked, since few were shown one; what people chose of the hidden
    items says it without that bias (the idea of DropoutNet: Volkovs, Yu, Poutanen 2017). People's totals stay.
    """
    met = np.flatnonzero(cut.items.integers("event_count") > 0)
    rng = np.random.default_rng((seed, cut.as_of_ms))
    hidden = rng.choice(met, round(share * len(met)), replace=False)
    names = cut.items.item_ids.take(pa.array(np.sort(hidden)))
    pairs, segments = cut.pairs, cut.segments
    for column in ("item_id", "other_item_id"):
        pairs = pairs.filter(pc.invert(pc.is_in(pairs[column], value_set=names)))
    segments = segments.filter(pc.invert(pc.is_in(segments["item_id"], value_set=names)))
    items = _untouched(cut.items, hidden, cut.as_of_ms)
    return replace(cut, users=_without(cut.users, names), items=items, pairs=pairs, segments=segments)


def _untouched(items: ItemTable, hidden: npt.NDArray[np.int64], as_of_ms: int) -> ItemTable:
    table = items.table
    for name, value in (dict.fromkeys(_FROM_EVENTS, 0) | {"listed_ms": as_of_ms - JUST_LISTED_MS}).items():
        values = items.integers(name).copy()
        values[hidden] = value
        place = table.schema.get_field_index(name)
        table = table.set_column(place, table.schema.field(name), pa.array(values))
    return ItemTable(table, items.index)


def _without(users: UserStates, names: pa.Array) -> UserStates:
    """The states with these items out of their lists."""
    table = users.table
    for key in ("history", "recent"):
        kept = pc.invert(pc.is_in(users.flat(f"{key}_item_ids"), value_set=names)).to_numpy(zero_copy_only=False)
        entries = pa.array(np.flatnonzero(kept))
        offsets = pa.array(np.concatenate([[0], np.cumsum(kept)])[users.offsets(f"{key}_item_ids")].astype(np.int32))
        for name in USER_STATE_SCHEMA.names:
            if name.startswith(f"{key}_"):
                place = table.schema.get_field_index(name)
                values = pa.ListArray.from_arrays(offsets, users.flat(name).take(entries))
                table = table.set_column(place, table.schema.field(name), values)
    return UserStates(table)
