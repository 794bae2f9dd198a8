"""Thirty-odd kinds of bad event, no two events alike, with the words of the reason. Nothing is sent here."""

from __future__ import annotations

from typing import Any

from journal_load import click

__all__ = ["BAD_EVENTS", "bad_event"]


def _viewed(**properties: Any) -> dict[str, Any]:
    return {"event": "Product Viewed", "properties": {"product_id": "p", **properties}}


def _ordered(*products: Any) -> dict[str, Any]:
    return {"event": "Order Completed", "properties": {"products": list(products)}}


# What is laid over a good click (None takes a field away), and what the reason must say.
BAD_EVENTS: dict[str, tuple[dict[str, Any], str]] = {
    "no type": ({"type": None}, "type 'None'"),
    "unknown type": ({"type": "merge"}, "type 'merge'"),
    "type is a list": ({"type": ["track"]}, "is not one of"),
    "nobody": ({"userId": None}, "userId or anonymousId"),
    "empty user": ({"userId": ""}, "userId or anonymousId"),
    "blank user": ({"userId": "   "}, "userId must hold"),
    "user is an object": ({"userId": {"id": 1}}, "userId must be text"),
    "user is a flag": ({"userId": True}, "userId must be text"),
    "endless user": ({"userId": "u" * 257}, "1 to 256"),
    "user with our prefix": ({"userId": "anon:x"}, "must not begin"),
    "anonymous id is a list": ({"anonymousId": ["a"]}, "anonymousId must be text"),
    "message id is an object": ({"messageId": {"a": 1}}, "messageId must be text"),
    "no event name": ({"event": None}, "name its event"),
    "event name is a number": ({"event": 5}, "name its event"),
    "event name without a letter": ({"event": "!?"}, "name its event"),
    "endless event name": ({"event": "a" * 300}, "longer than 256"),
    "properties are a list": ({"properties": [1]}, "properties must be"),
    "context is text": ({"context": "web"}, "context must be"),
    "time is a word": ({"timestamp": "yesterday"}, "ISO 8601"),
    "time is a number": ({"timestamp": 1_700_000_000}, "ISO 8601"),
    "time before 1970": ({"timestamp": "1969-12-31T23:59:59Z"}, "before 1970"),
    "day that does not exist": ({"timestamp": "2026-02-30T00:00:00Z"}, "ISO 8601"),
    "sent at a word": ({"timestamp": "2026-01-01", "sentAt": "now"}, "ISO 8601"),
    "view without a product": ({"event": "Product Viewed", "properties": {}}, "needs properties.product_id"),
    "product is a list": (_viewed(product_id=["p"]), "product_id must be text"),
    "price is a word": (_viewed(price="cheap"), "price must be a number"),
    "price is not a number": (_viewed(price=float("nan")), "price must be a number"),
    "price below zero": (_viewed(price=-1), "price must lie"),
    "quantity with a fraction": (_viewed(quantity=1.5), "quantity must be a whole number"),
    "position below zero": (_viewed(position=-1), "position must be a whole number"),
    "order without products": ({"event": "Order Completed", "properties": {}}, "at least one product"),
    "order with half a line": (_ordered({"product_id": "a"}, {"price": 1}), "products[1]"),
    "group without a group": ({"type": "group"}, "groupId"),
    "alias without the earlier id": ({"type": "alias"}, "previousId"),
    "larger than allowed": ({"properties": {"product_id": "p", "text": "x" * 33_000}}, "larger than 32,768"),
}


def bad_event(kind: str, message_id: str) -> dict[str, Any]:
    """A click with one thing wrong. `n` keeps two of a kind apart where the id itself is what is wrong."""
    laid, _ = BAD_EVENTS[kind]
    body = {**click(message_id), "n": message_id, **laid}
    return {name: value for name, value in body.items() if value is not None}
