"""What an answer or a message tells of an item besides its id: columns and attributes as JSON values."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from recommender.events import DAY_MS
from recommender.states import ItemTable

__all__ = ["COLUMNS", "described"]

COLUMNS = ("title", "description", "category", "brand", "tags", "price", "available", "created_at")


def described(items: ItemTable, row: int, fields: Sequence[str] = ()) -> dict[str, Any]:
    """The item at `row`, null where nothing is known: COLUMNS and whatever further attributes the catalogue has of it
    (a `url`, an `image`, …), or the `fields` that are named, in their order.
    """
    table = items.table

    def of(name: str) -> Any:
        return table[name][row].as_py()

    found: dict[str, Any] = {name: of(name) or None for name in ("title", "description", "category", "brand")}
    found["tags"] = [tag.strip() for tag in of("tags").split(",") if tag.strip()]
    found["price"] = of("price_micros") / 1e6 if of("price_micros") else None
    found["available"] = bool(of("is_available"))
    found["created_at"] = _iso(of("listed_ms")) if of("listed_ms") >= DAY_MS else None
    own = {name: value for name, value in json.loads(of("attributes") or "{}").items() if name not in found}
    found |= own
    return {name: found.get(name) for name in fields} if fields else found


def _iso(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds")
