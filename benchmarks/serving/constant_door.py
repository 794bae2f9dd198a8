"""A second yardstick: the service itself, but for `/v1/recommend`, which reads its body and answers a constant JSON.

Everything else is the product's own: routes, keys, limits, metrics and access log in front of BentoML. What it takes
is what HTTP costs here; T (`benchmarks.serving.constant`) is what it costs in BentoML as it comes.
"""

from __future__ import annotations

import sys

from starlette.requests import Request
from starlette.responses import Response

from benchmarks.serving.constant import ANSWER
from services import decision_routes
from services.bento_process import main
from services.door import Door
from services.wire import json_response, read_json

__all__ = ["Constant"]


async def recommend(request: Request, door: Door) -> Response:
    await read_json(request)
    return json_response(ANSWER)


decision_routes.recommend = recommend  # before the routes are built

from services.service import Nextbest as Constant  # noqa: E402

if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), "benchmarks.serving.constant_door:Constant")
