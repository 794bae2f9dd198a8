"""Segment's HTTP messages turned into canonical events (RudderStack speaks the same). Nothing is stored here.

Accepted: track, identify, page, screen, alias, and batches of them. Facts about the shape:
https://segment.com/docs/connections/spec. One message is all or nothing: an order with one bad line
is a dead letter as a whole, because half an order is a wrong order.

Times. A device's clock may be wrong, so what counts is how long before sending the thing happened:
occurred = received − (sentAt − timestamp). Without sentAt the timestamp stands as it is; nothing
occurs after it was received. `recorded_at` is the moment of receipt by the service's own clock.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from recommender.events import Interaction, settled_type
from services.clock import Clock, parse_moment
from services.records import ANONYMOUS_PREFIX, DeadLetter, Entry, Message, RecordedEvent, anonymous_user

__all__ = ["BadMessage", "parse_message", "parse_messages"]

MAX_ID_LENGTH = 256
MESSAGE_TYPES = ("track", "identify", "page", "screen", "alias")

# Segment's e-commerce names → canonical types. Any other name is kept in snake_case.
EVENT_TYPES = {
    "product_list_viewed": "impression",
    "product_clicked": "click",
    "product_viewed": "view",
    "product_added": "add_to_cart",
    "product_removed": "remove_from_cart",
    "order_completed": "purchase",
    "order_refunded": "refund",
    "product_skipped": "skip",
    "product_dismissed": "skip",
    "product_liked": "like",
    "product_disliked": "dislike",
    "product_added_to_wishlist": "bookmark",
    "product_reviewed": "rating",
    "unsubscribed": "unsubscribe",
}
# One event for each entry of properties.products; without products a list view or an order says nothing.
_LISTS = frozenset({"product_list_viewed", "order_completed"})
_NEEDS_ITEM = frozenset(name for name in EVENT_TYPES if name.startswith("product_")) - _LISTS
_ITEM_KEYS = ("product_id", "productId", "item_id", "sku")


class BadMessage(ValueError):  # noqa: N818 (it is a message that is bad, not an error of ours)
    """A message that cannot be stored; its text is the reason kept with the dead letter."""


def parse_messages(bodies: list[Any], sent_at: object, clock: Clock) -> Entry:
    """Good messages and dead letters of one request, in the order they came."""
    received_ms = clock.now_ms()
    messages: list[Message] = []
    letters: list[DeadLetter] = []
    for body in bodies:
        try:
            messages.append(parse_message(body, sent_at, clock, received_ms))
        except BadMessage as reason:
            letters.append(DeadLetter(str(reason), orjson.dumps(body), received_ms))
    return Entry(messages=tuple(messages), dead_letters=tuple(letters))


def parse_message(body: object, sent_at: object, clock: Clock, received_ms: int) -> Message:
    """One Segment message as what the journal stores; BadMessage says why it cannot be."""
    if not isinstance(body, dict):
        raise BadMessage("a message must be a JSON object")
    kind = body.get("type")
    if kind not in MESSAGE_TYPES:
        raise BadMessage(f"type {str(kind)[:40]!r} is not one of {', '.join(MESSAGE_TYPES)}")
    raw = orjson.dumps(body)
    header = _Header.of(body, body.get("sentAt") or sent_at, clock, received_ms, raw)
    events: tuple[RecordedEvent, ...]
    identity = None
    if kind == "track":
        events = _track(body, header)
    elif kind == "identify":
        events = (header.event("identify", _object(body, "traits"), header.message_id),)
        identity = _identity(body.get("anonymousId"), body.get("userId"))
    elif kind == "alias":
        events = ()
        identity = _identity(body.get("previousId"), body.get("userId"))
    else:
        properties = {**_object(body, "properties"), "name": body.get("name"), "category": body.get("category")}
        events = (header.event("page", properties, header.message_id),)
    return Message(header.message_id, raw, header.recorded_ms, events, identity)


@dataclass(frozen=True, slots=True)
class _Header:
    """What every event of one message shares."""

    message_id: str
    user_id: str
    occurred_ms: int
    recorded_ms: int
    context: Mapping[str, Any]

    @classmethod
    def of(cls, body: Mapping[str, Any], sent_at: object, clock: Clock, received_ms: int, raw: bytes) -> _Header:
        context = _object(body, "context")
        stated = body.get("originalTimestamp") or body.get("timestamp")
        message_id = _text(body, "messageId")
        if message_id is None:
            # Without an id a retry can be recognised only by its content, and only if that carries a time.
            message_id = hashlib.sha256(raw).hexdigest() if stated else uuid.uuid4().hex
        try:
            moment = clock.message_moment(context)
            if moment is not None:
                occurred_ms = recorded_ms = moment
            else:
                occurred_ms, recorded_ms = _occurred(stated, sent_at, received_ms), received_ms
        except ValueError as error:
            raise BadMessage(str(error)) from None
        return cls(message_id, _user(body), occurred_ms, recorded_ms, context)

    def event(
        self, event_type: str, properties: Mapping[str, Any], event_id: str, *, default_position: int | None = None
    ) -> RecordedEvent:
        """A canonical event out of a flat object of properties."""
        position = _integer(properties, "position", 0)
        fact = Interaction(
            event_id=event_id,
            user_id=self.user_id,
            event_type=settled_type(event_type, properties),
            occurred_ms=self.occurred_ms,
            item_id=_item(properties),
            quantity=_integer(properties, "quantity", 0),
            price_micros=_micros(properties.get("price")),
            channel=_text(properties, "channel") or self._context("channel", "name"),
            device=_text(properties, "device") or self._context("device", "type"),
            country=_text(properties, "country") or self._country(),
            placement=_text(properties, "placement") or self._context("placement", "name"),
            decision_id=_text(properties, "decision_id") or self._context("decision_id", "id"),
            position=default_position if position is None else position,
        )
        kept = {name: value for name, value in properties.items() if value is not None}
        text = orjson.dumps(kept, option=orjson.OPT_SORT_KEYS).decode() if kept else None
        session_id = _text(properties, "session_id") or self._context("session_id", "id")
        return RecordedEvent(fact, self.recorded_ms, session_id, text)

    def _context(self, name: str, inner: str) -> str | None:
        """A text of the context, plain or as an object that names it (`context.device.type`)."""
        value = self.context.get(name)
        if isinstance(value, dict):
            return _text(value, inner)
        return _text(self.context, name)

    def _country(self) -> str | None:
        location = self.context.get("location")
        return (_text(location, "country") if isinstance(location, dict) else None) or self._context("country", "name")


def _track(body: Mapping[str, Any], header: _Header) -> tuple[RecordedEvent, ...]:
    name = body.get("event")
    if not isinstance(name, str) or not (snake := _snake_case(name)):
        raise BadMessage("a track message must name its event as text")
    if len(snake) > MAX_ID_LENGTH:
        raise BadMessage(f"the event's name is longer than {MAX_ID_LENGTH} characters")
    properties = dict(_object(body, "properties"))
    event_type = EVENT_TYPES.get(snake, snake)
    if snake.startswith("email_"):
        properties.setdefault("channel", "email")
    if snake in _LISTS or (event_type == "refund" and "products" in properties):
        return _one_event_a_product(event_type, properties, header)
    if snake in _NEEDS_ITEM and _item(properties) is None:
        raise BadMessage(f"{name!r} needs properties.product_id")
    return (header.event(event_type, properties, header.message_id),)


def _one_event_a_product(event_type: str, properties: dict[str, Any], header: _Header) -> tuple[RecordedEvent, ...]:
    products = properties.pop("products", None)
    if not isinstance(products, list) or not products:
        raise BadMessage("properties.products must be a list with at least one product")
    events = []
    for index, product in enumerate(products):
        if not isinstance(product, dict) or _item(product) is None:
            raise BadMessage(f"properties.products[{index}] needs a product_id")
        events.append(
            header.event(
                event_type,
                {**properties, **product},
                f"{header.message_id}:{index}",
                default_position=index + 1 if event_type == "impression" else None,
            )
        )
    return tuple(events)


def _occurred(stated: object, sent_at: object, received_ms: int) -> int:
    if stated is None:
        return received_ms
    moment = parse_moment(stated)
    if sent_at is not None:
        moment = received_ms - (parse_moment(sent_at) - moment)
    return max(0, min(moment, received_ms))


def _user(body: Mapping[str, Any]) -> str:
    user_id, anonymous_id = _text(body, "userId"), _text(body, "anonymousId")
    if user_id is not None:
        if user_id.startswith(ANONYMOUS_PREFIX):
            raise BadMessage(f"a userId must not begin with {ANONYMOUS_PREFIX!r}, which marks anonymous people")
        return user_id
    if anonymous_id is None:
        raise BadMessage("a message must carry userId or anonymousId")
    return anonymous_user(anonymous_id)


def _identity(anonymous_id: object, user_id: object) -> tuple[str, str] | None:
    pair = {"anonymous": anonymous_id, "user": user_id}
    anonymous, user = _text(pair, "anonymous"), _text(pair, "user")
    return (anonymous, user) if anonymous and user else None


def _item(properties: Mapping[str, Any]) -> str | None:
    return next((item for key in _ITEM_KEYS if (item := _text(properties, key)) is not None), None)


def _snake_case(name: str) -> str:
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return "_".join(re.findall(r"\w+", spaced.lower()))


def _object(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = body.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadMessage(f"{name} must be a JSON object")
    return value


def _text(values: Mapping[str, Any], name: str) -> str | None:
    """A short text; whole numbers are taken as their digits, as Segment's own libraries do."""
    value = values.get(name)
    if value is None or value == "":
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise BadMessage(f"{name} must be text")
    if not value.strip() or len(value) > MAX_ID_LENGTH:
        raise BadMessage(f"{name} must hold 1 to {MAX_ID_LENGTH} characters")
    return value


def _integer(values: Mapping[str, Any], name: str, minimum: int) -> int | None:
    number = _number(values.get(name), name)
    if number is None:
        return None
    if number != int(number) or not minimum <= number <= 10**9:
        raise BadMessage(f"{name} must be a whole number from {minimum} to 1,000,000,000")
    return int(number)


def _micros(price: object) -> int | None:
    number = _number(price, "price")
    if number is None:
        return None
    if not 0 <= number <= 10**9:
        raise BadMessage("price must lie between 0 and 1,000,000,000")
    return round(number * 1_000_000)


def _number(value: object, name: str) -> float | None:
    """A finite number, also when it came as text ("19.99" is common in the wild)."""
    if value is None or value == "":
        return None
    try:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ValueError
        number = float(value)
        if number - number != 0:  # NaN and infinities
            raise ValueError
    except (ValueError, OverflowError):
        raise BadMessage(f"{name} must be a number") from None
    return number
