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
from recommender.errors import InputError

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
        ("item_ids", pa.list_(pa.string())),
        ("address", pa.string()),  # the audience's column `email`, where it has one
    ]
)

Message = Mapping[str, Any]  # a row of MESSAGE_SCHEMA


class Shape(Protocol):
    """One message as the body of a request that a sender understands."""

    def __call__(self, message: Message) -> dict[str, Any]: ...


def messages_of(agent: Agent, records: pa.Table) -> pa.Table:
    """In MESSAGE_SCHEMA, by time and id: the decisions that send one of the agent's actions. One that its file no
    longer has is not sent: nobody knows its template any more.
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
        "address": pc.struct_field(_addresses(sent["features"]), "email"),
    }
    table = pa.table({name: columns[name] for name in MESSAGE_SCHEMA.names}).cast(MESSAGE_SCHEMA)
    return table.sort_by([("send_at", "ascending"), ("decision_id", "ascending")])


def _addresses(features: pa.ChunkedArray) -> pa.Array:
    """The e-mail of each record's features, by pattern: it is the one text that is read of them."""
    return pc.extract_regex(features.combine_chunks(), '"email":"(?P<email>[^"\\\\]+)"')


def _plain(message: Message) -> dict[str, Any]:
    """Everything, under our own names."""
    return {**message, "send_at": _iso(message["send_at"]), "variables": _variables(message)}


def _braze(message: Message) -> dict[str, Any]:
    """`/campaigns/trigger/schedule/create`: the template is the campaign's id."""
    properties = {**_variables(message), "item_ids": message["item_ids"] or [], "decision_id": message["decision_id"]}
    return {
        "campaign_id": message["template"],
        "send_id": message["decision_id"],
        "recipients": [{"external_user_id": message["user_id"], "trigger_properties": properties}],
        "schedule": {"time": _iso(message["send_at"])},
    }


def _iterable(message: Message) -> dict[str, Any]:
    """`/api/<channel>/target`: the template is the campaign's number."""
    fields = {**_variables(message), "item_ids": message["item_ids"] or [], "decision_id": message["decision_id"]}
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
    if not message["address"] or "from" not in variables:
        raise InputError(
            f"a message to {message['user_id']} without an address, or an action without the variable `from`.",
            "both, for SendGrid.",
            "Select email in the audience, and give the action `variables: {from: news@…}`.",
        )
    data = {name: text for name, text in variables.items() if name != "from"}
    return {
        "from": {"email": variables["from"]},
        "template_id": message["template"],
        "personalizations": [
            {
                "to": [{"email": message["address"]}],
                "dynamic_template_data": {**data, "item_ids": message["item_ids"] or []},
                "custom_args": {"decision_id": message["decision_id"], "user_id": message["user_id"]},
                "send_at": int(message["send_at"].replace(tzinfo=UTC).timestamp()),
            }
        ],
    }


SHAPES: Mapping[str, Shape] = MappingProxyType(
    {"plain": _plain, "braze": _braze, "iterable": _iterable, "sendgrid": _sendgrid}
)


def _variables(message: Message) -> dict[str, Any]:
    return dict(json.loads(message["variables"]))


def _iso(moment: datetime) -> str:
    return moment.replace(tzinfo=UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
