"""What people are shown and why: the routes of recommendations and of decisions' records."""

from __future__ import annotations

import numpy as np
from starlette.requests import Request
from starlette.responses import Response

from services import metrics
from services.door import Door
from services.wire import Refusal, json_response, read_json

__all__ = ["decision", "recommend"]


async def recommend(request: Request, door: Door) -> Response:
    made = await door.recommend(await read_json(request))
    metrics.observe_tier(made.tier, made.is_degraded)
    metrics.observe_features(np.frombuffer(made.slate_features, dtype="<f4"))
    return json_response(made.answer())


async def decision(request: Request, door: Door) -> Response:
    row = door.reader.decision(request.path_params["decision_id"])
    if row is None:
        raise Refusal(404, "No decision has this id.")
    features = np.frombuffer(row["slate_features"], dtype="<f4")
    items = max(len(row["slate_item_ids"]), 1)
    return json_response({**row, "slate_features": features.reshape(items, -1).tolist()})
