"""The catalogue's route: rows in, one object or many, each stored or refused by itself. Nothing is served from here."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from services.catalogue_rows import Said, read_row
from services.door import Door
from services.records import CatalogueRow, Entry
from services.wire import Refusal, json_response, read_json

__all__ = ["MAX_ITEM_BYTES", "MAX_ROWS", "items"]

MAX_ROWS = 5_000  # in one request
MAX_ITEM_BYTES = 10 << 20
FEW = 100


async def items(request: Request, door: Door) -> Response:
    """Upsert: what a row does not say stays as it is. 400 where no row can be used."""
    body = await read_json(request)
    rows = body["items"] if set(body) == {"items"} else [body]
    if not isinstance(rows, list) or not rows:
        raise Refusal(400, 'Found no rows. Expected one item, or {"items": [{"item_id": …}, …]}.')
    if len(rows) > MAX_ROWS:
        raise Refusal(413, f"Found {len(rows):,} rows. Expected at most {MAX_ROWS:,} at once.")
    # 5,000 rows take 26 ms to check: long enough for others to notice.
    good, refused = await asyncio.to_thread(_read, rows) if len(rows) > FEW else _read(rows)
    if not good:
        raise Refusal(400, f"No row can be used. The first: {refused[0]['reason']}.")
    now = door.clock.now_ms()
    receipt = await door.record(Entry(items=tuple(CatalogueRow(item_id, said, now) for item_id, said in good)))
    told = {"stored": receipt.items, "unchanged": len(good) - receipt.items, "rejected": refused}
    return json_response({"success": True, **told})


def _read(rows: list[Any]) -> tuple[list[tuple[str, Said]], list[dict[str, Any]]]:
    good, refused = [], []
    for place, row in enumerate(rows):
        try:
            good.append(read_row(row))
        except ValueError as problem:
            item_id = row.get("item_id") if isinstance(row, dict) else None
            named = {"item_id": item_id[:200]} if isinstance(item_id, str) else {}
            refused.append({"row": place, **named, "reason": str(problem)})
    return good, refused
