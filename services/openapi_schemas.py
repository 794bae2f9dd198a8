"""The JSON schemas of what the service takes and gives, as its OpenAPI document shows them. No route is known here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

from recommender.agents.record import AGENT_DECISION_SCHEMA
from recommender.decision.placements import Placement
from recommender.decision.request import LIST_LIMITS
from recommender.decision.request_fields import MAX_ID_LENGTH
from recommender.events import DECISION_SCHEMA
from services.decide_request import MAX_HOURS
from services.decided import DECIDED
from services.payload import MAX_FIELDS, MAX_PAGE

__all__ = ["schemas"]

Schema = Mapping[str, Any]

_ID: Schema = {"type": ["string", "null"], "minLength": 1, "maxLength": MAX_ID_LENGTH}
_OBJECT: Schema = {"type": ["object", "null"]}
_CONDITIONS = (
    "`novel`: true leaves out what was bought. Every other entry names an attribute: a text or a list of texts, or "
    '`{"min": …, "max": …}` for a number; `any`, `all` and `not` combine conditions.'
)
_DELIVERY: Schema = {
    "template": {"type": ["string", "null"]},
    "variables": {"type": "object"},
    "degraded": {"type": "boolean", "description": "Decided on less than there should be, or not at all."},
    "recorded": {"type": "boolean", "description": "False: the journal failed, and so nothing is sent."},
}
_REQUESTS = ("Recommendation", "FurtherPage")


def schemas(placements: Mapping[str, Placement]) -> dict[str, Any]:
    """All schemas by name; the placements are those of the operator's file."""
    return {
        "Error": _object({"error": {"type": "string", "description": "What was found, expected, and what to do."}}),
        "Recommendation": _recommend_request(placements),
        "FurtherPage": _page_request(),
        "RecommendRequest": {"anyOf": [{"$ref": f"#/components/schemas/{name}"} for name in _REQUESTS]},
        "RecommendAnswer": _recommend_answer(),
        "Decision": _decision(),
        "AgentDecision": _agent_decision(),
        "AnyDecision": {"anyOf": [{"$ref": f"#/components/schemas/{name}"} for name in ("Decision", "AgentDecision")]},
        "DecideRequest": _decide_request(),
        "DecideAnswer": _decide_answer(),
        "Message": _message(),
        "Batch": _batch(),
        "Stored": _object(_counts(("stored", "duplicates"))),
        "BatchStored": _object({**_counts(("stored", "duplicates")), "rejected": _texts("The reason of each one.")}),
        "Erasure": _erasure(),
        "Items": _items(),
        "ItemsStored": _object({**_counts(("stored", "unchanged")), "rejected": {"type": "array"}}),
    }


def _object(properties: Mapping[str, Any], *, required: Iterable[str] | None = None, **more: Any) -> dict[str, Any]:
    needed = list(properties) if required is None else list(required)
    return {"type": "object", "properties": dict(properties), **({"required": needed} if needed else {}), **more}


def _texts(description: str = "") -> dict[str, Any]:
    return {"type": "array", "items": {"type": "string"}, **({"description": description} if description else {})}


def _counts(names: Iterable[str]) -> dict[str, Any]:
    return {"success": {"const": True}, **{name: {"type": "integer", "minimum": 0} for name in names}}


def _erasure() -> dict[str, Any]:
    moment = {"type": "string", "format": "date-time"}
    return _object(
        {
            "erasure_id": {"type": "string"},
            "state": {"enum": ["under way", "done"]},
            "ids": {"type": "integer", "minimum": 0, "description": "How many ids of the person were found."},
            "asked_at": moment,
            "done_at": {**moment, "type": ["string", "null"]},
        }
    )


def _recommend_request(placements: Mapping[str, Placement]) -> dict[str, Any]:
    most = max((placement.max_k for placement in placements.values()), default=1)
    ids = {
        name: {"type": ["array", "null"], "maxItems": limit, "items": {"type": "string", "maxLength": MAX_ID_LENGTH}}
        for name, limit in LIST_LIMITS.items()
    }
    properties = {
        "user_id": _ID,
        "anonymous_id": _ID,
        "placement": {"type": "string", "enum": list(placements), "default": "home"},
        "k": {"type": ["integer", "null"], "minimum": 1, "maximum": most, "description": "How many items."},
        **ids,
        "filter": {**_OBJECT, "description": _CONDITIONS},
        "needs": {**_OBJECT, "description": "What somebody asks for: `budget`, `must`, `nice`, `price_importance`."},
        "context": {**_OBJECT, "description": "The moment: `device`, `channel`, and whatever else is worth recording."},
        **_presentation(),
    }
    somebody = [{"required": [name], "properties": {name: {"type": "string"}}} for name in ("user_id", "anonymous_id")]
    return _object(properties, required=(), additionalProperties=False, anyOf=somebody)


def _page_request() -> dict[str, Any]:
    page = {"type": "integer", "minimum": 2, "maximum": MAX_PAGE}
    properties = {"decision_id": {"type": "string", "minLength": 1}, "page": page, **_presentation()}
    return _object(properties, required=("decision_id", "page"), additionalProperties=False)


def _presentation() -> dict[str, Any]:
    names = {
        "type": ["array", "null"],
        "minItems": 1,
        "maxItems": MAX_FIELDS,
        "items": {"type": "string", "minLength": 1},
    }
    flag = {"type": ["boolean", "null"]}
    return {
        "fields": {**names, "description": "What each item is told with: columns and attributes of the catalogue."},
        "include_items": {**flag, "description": "Tell each item with everything that is known of it."},
        "explain": {**flag, "description": "Tell the reasons for each item."},
    }


def _recommend_answer() -> dict[str, Any]:
    item = _object(
        {
            "rank": {"type": "integer", "minimum": 1},
            "item_id": {"type": "string"},
            "score": {"type": "number"},
            "source": {"type": "string", "description": "The generator that proposed it."},
            "propensity": {"type": "number", "minimum": 0, "maximum": 1},
            "title": {"type": ["string", "null"]},
            "item": {"type": "object", "description": "What the catalogue says of it, where that was asked for."},
            "reasons": {"type": ["array", "null"], "description": "Sentences, where they were asked for."},
        },
        required=("rank", "item_id", "score", "source", "propensity", "title"),
    )
    texts = {name: {"type": "string"} for name in ("decision_id", "placement", "model_version", "policy", "variant")}
    return _object(
        {
            **texts,
            "items": {"type": "array", "items": item},
            "degraded": {"type": "boolean", "description": "A simpler tier answered than the one that should."},
            "recorded": {"type": "boolean", "description": "False: the journal failed; no outcome can name it."},
        }
    )


def _decision() -> dict[str, Any]:
    """The columns of the record, as JSON: times are milliseconds since 1970, features are rows of numbers."""
    columns = {field.name: _column(field.type) for field in DECISION_SCHEMA if field.name != "slate_features"}
    features = {"type": "array", "items": {"type": "array"}, "description": "For admin keys alone."}
    way = _object({"item_id": {}, "position": {}, "stage": {"type": "string"}, "sentence": {"type": "string"}})
    replay = _object({"is_equal": {"type": ["boolean", "null"]}, "said": {"type": "string"}})
    return _object(
        {**columns, "slate_features": features, "explanation": {"type": "array", "items": way}, "replay": replay},
        required=(*columns, "explanation", "replay"),
    )


def _decide_request() -> dict[str, Any]:
    hours = {"type": ["number", "null"], "minimum": 0, "maximum": MAX_HOURS}
    told = "The moment: entries take the place of the audience's columns of their names; see docs/agents.md."
    properties = {
        "agent": {"type": "string", "minLength": 1, "maxLength": MAX_ID_LENGTH},
        "user_id": _ID,
        "anonymous_id": _ID,
        "context": {**_OBJECT, "description": told},
        "within_hours": {**hours, "description": "How far ahead a moment to send may lie; 0: now or nothing."},
    }
    somebody = [{"required": [name], "properties": {name: {"type": "string"}}} for name in ("user_id", "anonymous_id")]
    return _object(properties, required=("agent",), additionalProperties=False, anyOf=somebody)


def _decide_answer() -> dict[str, Any]:
    """Columns of the record by their names, and what whoever sends the message needs."""
    named = [name for name in DECIDED if name in AGENT_DECISION_SCHEMA.names]
    columns = {name: _column(AGENT_DECISION_SCHEMA.field(name).type) for name in named}
    return _object({**columns, **_DELIVERY, "send_at": {"type": ["string", "null"], "description": "ISO 8601, UTC."}})


def _agent_decision() -> dict[str, Any]:
    columns = {field.name: _column(field.type) for field in AGENT_DECISION_SCHEMA}
    needed = [name for name in columns if name != "features"]  # for admin keys alone
    return _object({**columns, **_DELIVERY}, required=(*needed, *_DELIVERY))


def _column(kind: pa.DataType) -> dict[str, Any]:
    if pa.types.is_list(kind):
        return {"type": ["array", "null"], "items": _column(kind.value_type)}
    if pa.types.is_boolean(kind):
        return {"type": ["boolean", "null"]}
    if pa.types.is_floating(kind):
        return {"type": ["number", "null"]}
    return {"type": [("integer" if pa.types.is_integer(kind) or pa.types.is_timestamp(kind) else "string"), "null"]}


def _message() -> dict[str, Any]:
    """Segment's message, as far as every kind is read; https://segment.com/docs/connections/spec has the kinds."""
    ids = {name: {"type": ["string", "integer", "null"]} for name in ("messageId", "userId", "anonymousId")}
    time = {"type": ["string", "null"], "description": "ISO 8601; without a zone in UTC."}
    of_a_kind = {
        "event": {"description": "Of track: its name."},
        "properties": {"description": "Of track, page and screen: an object."},
        "traits": {"description": "Of identify and group: an object."},
        "groupId": {"description": "Of group."},
        "previousId": {"description": "Of alias."},
    }
    return _object({**ids, "timestamp": time, "sentAt": time, "context": _OBJECT, **of_a_kind}, required=())


def _batch() -> dict[str, Any]:
    messages = {"type": "array", "description": "Messages; each names its `type`. A bad one becomes a dead letter."}
    context = {
        "anyOf": [{"type": ["object", "null"]}, {"type": "array", "maxItems": 0}],
        "description": "Of all messages; what a message says in its own goes before it.",
    }
    return _object({"batch": messages, "sentAt": {}, "context": context}, required=("batch",))


def _items() -> dict[str, Any]:
    number = {"type": ["number", "string", "null"], "description": "A price in natural units."}
    item = _object(
        {
            "item_id": {"type": "string", "minLength": 1, "maxLength": MAX_ID_LENGTH},
            **{name: {} for name in ("title", "description", "category", "brand", "tags", "created_at", "attributes")},
            "price": number,
            "available": {"type": ["boolean", "null"]},
        },
        required=("item_id",),
        description="Any further entry is an attribute.",
    )
    return {"anyOf": [item, _object({"items": {"type": "array", "minItems": 1, "items": {"type": "object"}}})]}
