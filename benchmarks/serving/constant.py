"""The yardstick T: a BentoML service as it comes, with a mounted application that answers a constant JSON.

It reads the same bodies and answers with as many items as the service does, with BentoML's access log and metrics in
the place of ours. Nothing of the product is in it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import bentoml
import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.bento_process import WORKERS_VARIABLE
from services.lifeline import end_with_parent

__all__ = ["ANSWER", "Constant"]

ANSWER = {
    "decision_id": "0123456789abcdef0123456789abcdef",
    "placement": "home",
    "items": [
        {
            "rank": rank,
            "item_id": f"i{rank:06}",
            "score": 1 / rank,
            "source": "popular",
            "propensity": 1.0,
            "title": "Sock",
        }
        for rank in range(1, 13)
    ],
    "degraded": False,
}


async def recommend(request: Request) -> Response:
    orjson.loads(await request.body())
    return Response(orjson.dumps(ANSWER), media_type="application/json")


@bentoml.asgi_app(Starlette(routes=[Route("/v1/recommend", recommend, methods=["POST"])]), path="/")
@bentoml.service(name="constant", workers=int(os.environ.get(WORKERS_VARIABLE, "2")))
class Constant:
    """Nothing but its mounted application."""


def main(host: str, port: int, parent: int) -> None:
    """Serve until a signal ends it, or `parent` is gone. Blocks."""
    from _bentoml_impl.server import serve_http

    end_with_parent(parent)
    Constant.inject_config()
    serve_http(
        "benchmarks.serving.constant:Constant",
        working_dir=str(Path(__file__).resolve().parents[2]),
        host=host,
        port=port,
        timeout_graceful_shutdown=5,
    )


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
