"""Decisions as messages to hand over, and the shapes in which common senders take them. Nothing is sent from here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from recommender.agents.agent import NOTHING, Agent
from recommender.errors import InputError, NoAddressError
from recommender.item_payload import described
from recommender.states import ItemTable

__all__ = ["MESSAGE_SCHEMA", "SHAPES", "Shape", "messages_of"]

# Grain: one message to one person. `decision_id` is its key: who gets it twice has got it once.
MESSAGE_SCHEMA = pa.schema(
    [
        ("decision_id", pa.string()),
        ("agent", pa.string()),
        ("user_id", pa.string()),
        ("send_at", pa.timestamp("ms")),
        ("channel", pa.string()),
        ("action", pa.string()),
        ("template", pa.string()),
        ("variables", pa.string()),  # JSON
        ("item_ids", pa.list_(pa.string())),  # what fills its slots, the first shown first
        ("items", pa.string()),  # JSON: the same as objects, with title, price and whatever the catalogue says of them
        ("address", pa.string()),  # the audience's column `email`, where it has one
    ]
)

Message = Mapping[str, Any]  # a row of MESSAGE_SCHEMA


class Shape(Protocol):
    """One message as the body of a request that a sender understands; NoAddressError where it needs one."""

    def __call__(self, message: Message) -> dict[str, Any]: ...


def messages_of(agent: Agent, records: pa.Table, catalogue: ItemTable | None = None) -> pa.Table:
    """In MESSAGE_SCHEMA, by time and id: the decisions that send one of the agent's actions. One that its file no
    longer has is not sent: nobody knows its template any more. Items are described as the `catalogue` does; without it,
    and where it has an item no more, by their ids alone.
    """
    names = pa.array([action.name for action in agent.actions])
    sent = records.filter(
        pc.and_(pc.is_in(records["action"], value_set=names), pc.not_equal(records["action"], NOTHING))
    )
    place = pc.index_in(sent["action"], value_set=names)
    templates = pa.array([action.template or action.name for action in agent.actions])
    variables = pa.array([json.dumps(dict(action.variables), sort_keys=True) for action in agent.actions])
    columns = {
        **{name: sent[name] for name in MESSAGE_SCHEMA.names if name in sent.column_names},
        "template": templates.take(place.combine_chunks()),
        "variables": variables.take(place.combine_chunks()),
        "items": _items(sent["item_ids"].combine_chunks(), catalogue),
        "address": pc.struct_field(_addresses(sent["features"]), "email"),
    }
    table = pa.table({name: columns[name] for name in MESSAGE_SCHEMA.names}).cast(MESSAGE_SCHEMA)
    return table.sort_by([("send_at", "ascending"), ("decision_id", "ascending")])


def _items(item_ids: pa.ListArray, catalogue: ItemTable | None) -> pa.Array:
    """One JSON list of objects a message; each item is described once, however many are sent it."""
    shown = item_ids.flatten()
    distinct = pc.unique(shown)
    texts = pa.array([_described(item_id, catalogue) for item_id in distinct.to_pylist()], pa.string())
    told = texts.take(pc.index_in(shown, value_set=distinct))
    starts = pc.subtract(item_ids.offsets, item_ids.offsets[0])
    together = pc.binary_join(pa.ListArray.from_arrays(starts, told), ",")
    lists = pc.binary_join_element_wise("[", together, "]", "")
    return pc.if_else(item_ids.is_valid(), lists, pa.scalar(None, pa.string()))


def _described(item_id: str, catalogue: ItemTable | None) -> str:
    """Without the description: of complete_journey's items it takes more room than everything else of a message."""
    row = -1 if catalogue is None else catalogue.index.get(item_id, -1)
    about = described(catalogue, row) if catalogue is not None and row >= 0 else {}
    about.pop("description", None)
    return json.dumps({"item_id": item_id, **about}, ensure_ascii=False, separators=(",", ":"))


def _addresses(features: pa.ChunkedArray) -> pa.Array:
    """The e-mail of each record's features, by pattern: it is the one text that is read of them."""
    return pc.extract_regex(features.combine_chunks(), '"email":"(?P<email>[^"\\\\]+)"')


def _plain(message: Message) -> dict[str, Any]:
    """Everything, under our own names."""
    told = {"variables": _variables(message), "items": _items_of(message)}
    return {**message, "send_at": _iso(message["send_at"]), **told}


def _braze(message: Message) -> dict[str, Any]:
    """`/campaigns/trigger/schedule/create`: the template is the campaign's id. Without `send_id`, of which Braze lets a
    workspace make 100 a day.
    """
    properties = {**_fields(message), "decision_id": message["decision_id"]}
    return {
        "campaign_id": message["template"],
        "recipients": [{"external_user_id": message["user_id"], "trigger_properties": properties}],
        "schedule": {"time": _iso(message["send_at"])},
    }


def _iterable(message: Message) -> dict[str, Any]:
    """`/api/<channel>/target`: the template is the campaign's number."""
    fields = {**_fields(message), "decision_id": message["decision_id"]}
    number = message["template"]
    return {
        "campaignId": int(number) if number.isdigit() else number,
        "recipientUserId": message["user_id"],
        "dataFields": fields,
        "sendAt": message["send_at"].strftime("%Y-%m-%d %H:%M:%S"),
    }


def _sendgrid(message: Message) -> dict[str, Any]:
    """`/v3/mail/send`: needs an address, and the variable `from` for the sender's."""
    variables = _variables(message)
    if "from" not in variables:
        found = f"the action {message['action']} without the variable `from`."
        raise InputError(found, "the sender's address, for SendGrid.", "Give it `variables: {from: news@…}`.")
    if not message["address"]:
        found = f"a message to {message['user_id']} without an address."
        raise NoAddressError(found, "one, for SendGrid.", "Select the column email in the audience.")
    data = {name: value for name, value in _fields(message).items() if name != "from"}
    return {
        "from": {"email": variables["from"]},
        "template_id": message["template"],
        "personalizations": [
            {
                "to": [{"email": message["address"]}],
                "dynamic_template_data": data,
                "custom_args": {"decision_id": message["decision_id"], "user_id": message["user_id"]},
                "send_at": int(message["send_at"].replace(tzinfo=UTC).timestamp()),
            }
        ],
    }


SHAPES: Mapping[str, Shape] = MappingProxyType(
    {"plain": _plain, "braze": _braze, "iterable": _iterable, "sendgrid": _sendgrid}
)


def _fields(message: Message) -> dict[str, Any]:
    """What a template reads: the action's variables, and the items, in a template `items[0].title`."""
    return {**_variables(message), "item_ids": message["item_ids"] or [], "items": _items_of(message)}


def _items_of(message: Message) -> list[dict[str, Any]]:
    return list(json.loads(message["items"] or "[]"))


def _variables(message: Message) -> dict[str, Any]:
    return dict(json.loads(message["variables"]))


def _iso(moment: datetime) -> str:
    return moment.replace(tzinfo=UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
