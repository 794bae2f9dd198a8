"""What people are shown and why: the routes of recommendations and of decisions' records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import Response

from recommender.decision.paging import page_answer
from recommender.decision.request import FIELDS
from recommender.decision.request_fields import require_known_fields
from recommender.decision.trace import whereabouts
from recommender.errors import RequestError
from services import metrics
from services.decided import decision_record
from services.door import Door
from services.keys import presented_key
from services.payload import MAX_PAGE, PAGE_FIELDS, PRESENTATION_FIELDS, Presentation
from services.records import Entry
from services.wire import Refusal, json_response, read_json

__all__ = ["decision", "recommend"]

_FIELDS = (*FIELDS, *PRESENTATION_FIELDS, *PAGE_FIELDS)


async def recommend(request: Request, door: Door) -> Response:
    """A slate, or with `decision_id` and `page` a further page of one."""
    body = await read_json(request)
    require_known_fields(body, _FIELDS)
    wanted = Presentation.taken_from(body)
    if "page" in body or "decision_id" in body:
        return await _page(request, door, body, wanted)
    if wanted.fields:
        await door.catch_up()
        wanted.require_known(door.catalogue.over(door.champion.required().champion.scorer).items)
    made = await door.recommend(body)
    metrics.observe_tier(made.tier, made.is_degraded)
    metrics.observe_features(np.frombuffer(made.slate_features, dtype="<f4"))
    answer = made.answer()
    if wanted.fields is not None or wanted.explains:
        await _tell_more(request, door, answer, made.to_row(), wanted)
    return json_response(answer)


async def decision(request: Request, door: Door) -> Response:
    """The record, where each shown item (or the query's `item_id`) went and why, and whether it can be made again.
    Of what an agent decided in the moment the record alone.

    Feature values and the figures behind reasons say what a person did; they are for admin keys alone.
    """
    decision_id = request.path_params["decision_id"]
    row = door.past.found(decision_id)
    if row is None and (by_agent := door.agents.found(decision_id)) is not None:
        return json_response(decision_record(by_agent, _sees_persons(request, door)))
    if row is None:
        raise Refusal(404, "No decision has this id.")
    asked = request.query_params.get("item_id")
    wanted = [asked] if asked else list(row["slate_item_ids"])
    given = await door.past.given(row)
    told: dict[str, Any] = {name: value for name, value in row.items() if name != "slate_features"}
    if _sees_persons(request, door):
        features = np.frombuffer(row["slate_features"], dtype="<f4")
        items = max(len(row["slate_item_ids"]), 1)
        told["slate_features"] = features.reshape(items, -1).tolist()
    told["explanation"] = [_way(row, item_id) for item_id in wanted]
    if request.query_params.get("explain") in ("true", "1"):
        await _add_reasons(request, door, told["explanation"], row, wanted)
    told["replay"] = await door.past.replayed(row, given)
    return json_response(told)


async def _page(request: Request, door: Door, body: Mapping[str, Any], wanted: Presentation) -> Response:
    decision_id, page = _page_of(body)
    await door.catch_up()  # what is sold out by now is left out, and the page stays as it is shown first
    row, is_new = await door.past.page(decision_id, page, door.clock.now_ms())
    if is_new:
        await door.record(Entry(decision=row))
        # Two who ask at once are shown the same: the one that was stored first.
        row = door.past.found(row["decision_id"]) or row
    bundle = door.catalogue.in_service(row["model_version"])
    assert bundle is not None
    answer = page_answer(row, bundle.items)
    await _tell_more(request, door, answer, row, wanted)
    return json_response(answer)


def _page_of(body: Mapping[str, Any]) -> tuple[str, int]:
    for name in body:
        if name not in PAGE_FIELDS:
            raise RequestError(
                f"{name!r:.80} together with a page.",
                f"only {', '.join(PAGE_FIELDS)}: who and what was settled with the decision.",
                "leave it out, or ask for a new decision.",
            )
    decision_id, page = body.get("decision_id"), body.get("page")
    if not isinstance(decision_id, str) or not decision_id:
        raise RequestError("a page of no decision.", "the decision_id of the first page.", "send it.")
    if isinstance(page, bool) or not isinstance(page, int) or not 2 <= page <= MAX_PAGE:
        raise RequestError(f"page = {page!r:.80}.", f"a whole number from 2 to {MAX_PAGE}.", "correct it.")
    return decision_id, page


async def _tell_more(
    request: Request, door: Door, answer: dict[str, Any], row: Mapping[str, Any], wanted: Presentation
) -> None:
    """Add to each item of an answer what the request asked to be told."""
    item_ids = [item["item_id"] for item in answer["items"]]
    bundle = door.catalogue.in_service(row["model_version"])
    if wanted.fields is not None and bundle is not None:
        for item, about in zip(answer["items"], wanted.told(bundle.items, item_ids), strict=True):
            item["item"] = about
    if wanted.explains:
        await _add_reasons(request, door, answer["items"], row, item_ids)


async def _add_reasons(
    request: Request, door: Door, items: list[dict[str, Any]], row: Mapping[str, Any], item_ids: list[str]
) -> None:
    given = await door.past.given(row)
    found = await door.past.reasons(row, given, item_ids)
    by_item = {one["item_id"]: one for one in found or ()}
    for item in items:
        reasons = by_item.get(item["item_id"])
        item["reasons"] = None if reasons is None else reasons["sentences"]
        if reasons is not None and _sees_persons(request, door):
            item["figures"] = reasons["figures"]


def _way(row: Mapping[str, Any], item_id: str) -> dict[str, Any]:
    way = whereabouts(row, item_id)
    position = None if way.position is None else way.position + row["first_position"] - 1
    return {"item_id": item_id, "position": position, "stage": way.stage, "sentence": way.sentence}


def _sees_persons(request: Request, door: Door) -> bool:
    key = presented_key(request.headers.get("authorization", ""))
    return door.keyring.is_open or (key is not None and door.keyring.role_of(key) == "admin")
