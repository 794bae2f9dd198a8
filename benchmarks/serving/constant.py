"""The yardstick T: the service itself, but for `/v1/recommend`, which reads its body and answers a constant JSON.

Everything else is the product's own: BentoML's processes and options, routes, keys, limits, metrics and access log.
"""

from __future__ import annotations

import sys

from starlette.requests import Request
from starlette.responses import Response

from services import decision_routes
from services.bento_process import main
from services.door import Door
from services.wire import json_response, read_json

__all__ = ["Constant"]

ITEMS = [
    {"item_id": f"item-{rank}", "rank": rank, "score": 1.0 / rank, "source": "popular", "propensity": 1.0}
    for rank in range(1, 13)
]  # as many as the placement `home` shows


async def recommend(request: Request, door: Door) -> Response:
    await read_json(request)
    return json_response({"decision_id": "constant", "items": ITEMS, "degraded": False})


decision_routes.recommend = recommend  # before the routes are built

from services.service import Nextbest as Constant  # noqa: E402

if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), "benchmarks.serving.constant:Constant")
