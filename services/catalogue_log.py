"""The journal's catalogue: every change of an item, in order, each row what is said of the item from then on.

A row holds all that was ever said, so the catalogue as of any row is the latest row of each item up to it: what a
decision saw can be had again. Nothing is applied to a bundle here.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import pyarrow as pa

from recommender.events import CATALOGUE_SCHEMA
from services.catalogue_rows import Said, folded
from services.records import CatalogueRow

__all__ = ["CATALOGUE_TABLE", "EXPORTED_CHANGES", "changes_between", "changes_table", "latest_change", "store_rows"]

CATALOGUE_TABLE = """
create table if not exists catalogue (
    seq integer primary key autoincrement,
    item_id text not null, title text, description text, category text, brand text, tags text,
    price_micros integer, is_available integer, created_ms integer, attributes text,
    recorded_ms integer not null, listed_ms integer not null
);
create index if not exists catalogue_by_item on catalogue (item_id, seq);
"""
_SAID = ("title", "description", "category", "brand", "tags", "price_micros", "is_available", "created_at")
_COLUMNS = (
    "item_id, title, description, category, brand, tags, price_micros, is_available, created_ms, attributes,"
    " recorded_ms, listed_ms"
)
EXPORTED_CHANGES = f"select {_COLUMNS}, seq from catalogue order by seq"
_ADD = f"insert into catalogue ({_COLUMNS}) values ({', '.join('?' * 12)})"
_LATEST_OF = f"select {_COLUMNS} from catalogue where item_id = ? order by seq desc limit 1"
_BETWEEN = f"""
select {_COLUMNS}, seq from catalogue as latest
where seq in (select max(seq) from catalogue where seq > ? and seq <= ? group by item_id)
order by (select min(seq) from catalogue where item_id = latest.item_id)
"""


def store_rows(connection: sqlite3.Connection, rows: Sequence[CatalogueRow]) -> int:
    """Fold each row into what was said before, inside the caller's transaction; how many changed something.

    Whatever is delivered twice is stored once: a row that says nothing new is left out.
    """
    stored = 0
    for row in rows:
        before = connection.execute(_LATEST_OF, (row.item_id,)).fetchone()
        said = row.said if before is None else folded(_said(before), row.said)
        if before is not None and said == _said(before):
            continue
        listed_ms = row.recorded_ms if before is None else before[-1]
        connection.execute(_ADD, _stored(row.item_id, said, row.recorded_ms, listed_ms))
        stored += 1
    return stored


def latest_change(connection: sqlite3.Connection) -> int:
    """The highest row; 0 where there is none."""
    return int(connection.execute("select coalesce(max(seq), 0) from catalogue").fetchone()[0])


def changes_between(connection: sqlite3.Connection, after: int, until: int) -> pa.Table:
    """The latest row up to `until` of each item that changed after `after`: the columns of CATALOGUE_SCHEMA.

    In the order in which the items were first spoken of, which no later change moves.
    """
    return changes_table(connection.execute(_BETWEEN, (after, until)).fetchall())


def changes_table(rows: Sequence[tuple[Any, ...]]) -> pa.Table:
    """Rows as they are stored, in the columns of CATALOGUE_SCHEMA."""
    columns = zip(*rows, strict=True) if rows else [()] * len(CATALOGUE_SCHEMA)
    arrays = [
        pa.array(column, _plain(field.type)).cast(field.type)
        for column, field in zip(columns, CATALOGUE_SCHEMA, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=CATALOGUE_SCHEMA)


def _plain(kind: pa.DataType) -> pa.DataType:
    return pa.int64() if pa.types.is_boolean(kind) or pa.types.is_timestamp(kind) else kind


def _said(stored: tuple[Any, ...]) -> Said:
    said: Said = {name: value for name, value in zip(_SAID, stored[1:9], strict=True) if value is not None}
    if "is_available" in said:
        said["is_available"] = bool(said["is_available"])
    return said | ({} if stored[9] is None else {"attributes": orjson.loads(stored[9])})


def _stored(item_id: str, said: Mapping[str, Any], recorded_ms: int, listed_ms: int) -> tuple[Any, ...]:
    attributes = said.get("attributes")
    text = None if attributes is None else orjson.dumps(attributes, option=orjson.OPT_SORT_KEYS).decode()
    return (item_id, *(said.get(name) for name in _SAID), text, recorded_ms, listed_ms)
