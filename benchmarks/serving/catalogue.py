"""How long it takes until a change of the catalogue is served: laid over a bundle in a process, and told over HTTP.

    python -m benchmarks.serving.catalogue --folder DIR [--items 2000 10000 100000]

Each figure is the median of several changes; the first one of each bundle, which makes what is made but once, apart.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa

from benchmarks.serving.large import large_model
from benchmarks.serving.shop import Shop, shop_in
from recommender.attributes import attributes_of
from recommender.events import CATALOGUE_SCHEMA
from recommender.model.later_items import lay_items
from recommender.model.scorer import RankingModel
from services.server import require_free_port, start_background

__all__ = ["laying", "over_http"]

TIMES = 7
PORT = 3471


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--items", type=int, nargs="+", default=[2_000, 10_000, 100_000])
    options = parser.parse_args(words)
    shop = shop_in(options.folder)
    found: dict[str, Any] = {"http_ms": over_http(shop)}
    found["laying_ms"] = [laying(large_model(shop, n_items)) for n_items in options.items]
    print(json.dumps(found, indent=2))


def laying(model: RankingModel) -> dict[str, Any]:
    """Milliseconds to lay one item's price, one item's description, one new item, and 1,000 of all kinds."""
    attributes_of(model.items).warm()
    at_ms = 1_900_000_000_000
    names = model.items.item_ids.to_pylist()
    price = [{"item_id": names[0], "price_micros": 1_000_000}]
    text = [{"item_id": names[1], "title": "another word for it"}]
    new = [{"item_id": "new", "title": model.items.table["title"][2].as_py(), "price_micros": 2_000_000}]
    many = [{"item_id": name, "price_micros": 3_000_000} for name in names[10:510]]
    many += [{"item_id": f"new-{n}", "title": model.items.table["title"][n].as_py()} for n in range(500)]
    started = time.perf_counter()
    lay_items(model, _told(at_ms, new), 1)
    first = time.perf_counter() - started
    kinds = {"price": price, "description": text, "new": new, "1,000 rows": many}
    figures = {name: _median(model, _told(at_ms, rows)) for name, rows in kinds.items()}
    return {"items": len(model.items), "first": round(1000 * first, 1), **figures}


def over_http(shop: Shop) -> dict[str, float]:
    """Milliseconds of an upsert, and from its start until the new item is in an answer, one after the other."""
    require_free_port("127.0.0.1", PORT)
    server = start_background(shop.workspace, PORT)
    try:
        server.wait_ready()
        with httpx.Client(base_url=server.url, timeout=20) as client:
            rows = [_until_served(client, f"bench-{time.time_ns()}") for _ in range(60)]
    finally:
        server.stop()
    acknowledged, served, requests = np.array(rows).T
    return {
        "acknowledged p50": round(1000 * float(np.median(acknowledged)), 1),
        "in a list p50": round(1000 * float(np.median(served)), 1),
        "in a list p95": round(1000 * float(np.quantile(served, 0.95)), 1),
        "seen by the next request": round(float((requests == 1).mean()), 3),
    }


def _until_served(client: httpx.Client, item_id: str) -> tuple[float, float, int]:
    time.sleep(0.3)
    started, requests = time.perf_counter(), 0
    client.post("/v1/items", json={"item_id": item_id, "title": "Lamp", "price": 5}).raise_for_status()
    acknowledged = time.perf_counter() - started
    while True:
        requests += 1
        answer = client.post("/v1/recommend", json={"user_id": "somebody", "candidates": [item_id]}).json()
        if [item["item_id"] for item in answer["items"]] == [item_id]:
            return acknowledged, time.perf_counter() - started, requests


def _median(model: RankingModel, changes: pa.Table) -> float:
    taken = []
    for _ in range(TIMES):
        started = time.perf_counter()
        laid = lay_items(model, changes, 1)[0]
        taken.append(time.perf_counter() - started)
        del laid
    return round(1000 * float(np.median(taken)), 1)


def _told(at_ms: int, rows: Sequence[dict[str, Any]]) -> pa.Table:
    known = [{"recorded_at": at_ms, "listed_at": at_ms, **row} for row in rows]
    return pa.table({name: [row.get(name) for row in known] for name in CATALOGUE_SCHEMA.names}).cast(CATALOGUE_SCHEMA)


if __name__ == "__main__":
    main()
