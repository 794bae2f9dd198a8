"""An item table with later catalogue rows over it: changed rows in their place, new ones behind. Nothing is fitted.

What generators and features hold by item index stays valid: no row moves.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recommender.states import ITEM_STATE_SCHEMA, ItemTable

__all__ = ["Overlay", "lay_over"]

Rows = npt.NDArray[np.int64]

DESCRIPTION = ("title", "description", "category", "brand", "tags", "attributes")


@dataclass(frozen=True)
class Overlay:
    """`items`: the wider table; `base`: the one below. `changed` maps a column to the rows of `base` that it changed
    in, ascending. `changes`: the rows laid over that say anything new; laid alone they give the same table."""

    base: ItemTable
    items: ItemTable
    changed: dict[str, Rows]
    changes: pa.Table

    @cached_property
    def added(self) -> Rows:
        """Index of every row that the table below does not have."""
        return np.arange(len(self.base), len(self.items))

    @cached_property
    def described(self) -> Rows:
        """Index of every row whose text, category, brand, tags or attributes are new: changed ones, then added ones."""
        rows = [self.changed[name] for name in DESCRIPTION]
        return np.concatenate([np.unique(np.concatenate(rows)), self.added]).astype(np.int64)

    @cached_property
    def touched(self) -> Rows:
        """Index of every row in which anything is new."""
        return np.concatenate([np.unique(np.concatenate(list(self.changed.values()))), self.added]).astype(np.int64)

    def part(self, rows: Rows) -> ItemTable:
        """Some rows of the wider table as a table of their own, in that order."""
        table = self.items.table.take(pa.array(rows)).combine_chunks()
        return ItemTable(table, {item: row for row, item in enumerate(table["item_id"].to_pylist())})


def lay_over(base: ItemTable, changes: pa.Table) -> Overlay:
    """Lay rows of CATALOGUE_SCHEMA, one an item, over a table; new items keep the order of `changes`.

    A new item is described as the marts describe one that nobody has touched: available unless said otherwise, price
    0 where unknown, listed when it says so or else when it was first spoken of.
    """
    place = base.positions(changes["item_id"].combine_chunks())
    known = np.flatnonzero(place >= 0)
    known = known[np.argsort(place[known], kind="stable")]
    rows, new = place[known], np.flatnonzero(place < 0)
    below = base.table.take(pa.array(rows)).combine_chunks()
    later = _laid(below, changes.take(pa.array(known)).combine_chunks())
    added = _laid(_untouched(base, changes.take(pa.array(new))), changes.take(pa.array(new)).combine_chunks(), True)
    changed, columns = {}, []
    for field in base.table.schema:
        column = base.table[field.name].combine_chunks()
        if field.name in later:
            differs = pc.not_equal(later[field.name], below[field.name].combine_chunks())
            moved = differs.to_numpy(zero_copy_only=False).astype(np.bool_)
            changed[field.name] = rows[moved]
            if moved.any():
                column = _replaced(column, rows[moved], later[field.name].filter(pa.array(moved)))
        columns.append(pa.concat_arrays([column, added[field.name]]) if len(new) else column)
    table = pa.Table.from_arrays(columns, schema=base.table.schema)
    index = base.index
    if len(new):
        names = added["item_id"].to_pylist()
        index = index | dict(zip(names, range(len(base), len(base) + len(names)), strict=True))
    moves = np.isin(place, np.concatenate(list(changed.values()))) | (place < 0)
    return Overlay(base, ItemTable(table, index), changed, changes.filter(pa.array(moves)))


def _replaced(column: pa.Array, rows: Rows, values: pa.Array) -> pa.Array:
    mask = np.zeros(len(column), dtype=np.bool_)
    mask[rows] = True
    return pc.replace_with_mask(column, pa.array(mask), values)


def _untouched(base: ItemTable, changes: pa.Table) -> pa.Table:
    """Rows of the item table's schema of which nothing is known but their ids."""
    n = len(changes)
    cut = base.table["as_of"][0] if len(base) else pa.scalar(None, ITEM_STATE_SCHEMA.field("as_of").type)
    columns = {}
    for field in base.table.schema:
        if field.name == "item_id":
            columns[field.name] = changes["item_id"].combine_chunks()
        elif pa.types.is_timestamp(field.type):
            columns[field.name] = pa.repeat(cut, n)
        else:
            columns[field.name] = pa.repeat(pa.scalar("" if pa.types.is_string(field.type) else 0, field.type), n)
    columns["is_available"] = pa.repeat(pa.scalar(1, pa.int64()), n)
    return pa.table(columns, schema=base.table.schema)


def _laid(below: pa.Table, changes: pa.Table, is_new: bool = False) -> dict[str, pa.Array]:
    """The columns that a catalogue row may change, with what it says over what was there; all columns where new."""
    said = {name: changes[name].combine_chunks() for name in ("title", "description", "category", "brand", "tags")}
    said["price_micros"] = changes["price_micros"].combine_chunks()
    said["is_available"] = changes["is_available"].combine_chunks().cast(pa.int64())
    listed = changes["created_at"].combine_chunks().cast(pa.int64())
    said["listed_ms"] = (
        pc.coalesce(listed, changes["listed_at"].combine_chunks().cast(pa.int64())) if is_new else listed
    )
    found = {name: pc.coalesce(values, below[name].combine_chunks()) for name, values in said.items()}
    found["attributes"] = _folded(below["attributes"].combine_chunks(), changes["attributes"].combine_chunks())
    rest = below.column_names if is_new else ()
    return {name: below[name].combine_chunks() for name in rest} | found


def _folded(below: pa.Array, patches: pa.Array) -> pa.Array:
    """Attributes one by one over what was there; a null takes one away."""
    found = below.to_pylist()
    for row in np.flatnonzero(patches.is_valid().to_numpy(zero_copy_only=False)).tolist():
        merged = json.loads(found[row] or "{}") | json.loads(patches[row].as_py())
        kept = {name: value for name, value in merged.items() if value is not None}
        found[row] = json.dumps(kept, separators=(",", ":"), ensure_ascii=False) if kept else ""
    return pa.array(found, pa.string())
