"""Segment's HTTP messages turned into canonical events (RudderStack speaks the same). Nothing is stored here.

Accepted: track, identify, page, screen, group, alias, and batches of them. Facts about the shape:
https://segment.com/docs/connections/spec. One message is all or nothing: an order with one bad line
is a dead letter as a whole, because half an order is a wrong order.

Times. A device's clock may be wrong, so what counts is how long before sending the thing happened:
occurred = received − (sentAt − timestamp). Without sentAt the timestamp stands as it is; nothing
occurs after it was received. `recorded_at` is the moment of receipt by the service's own clock.

People. A message that carries both userId and anonymousId says that they are one person, whichever
its kind is; so does alias, whose previousId may be an anonymous id or an earlier userId.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from recommender.events import Interaction, settled_type
from services.clock import Clock
from services.event_names import EVENT_TYPES, LISTS, NEEDS_ITEM, is_email, snake_case
from services.message_fields import (
    MAX_ID_LENGTH,
    BadMessage,
    read_integer,
    read_leniently,
    read_micros,
    read_moment,
    read_object,
    read_strictly,
    read_text,
)
from services.records import ANONYMOUS_PREFIX, DeadLetter, Entry, Message, RecordedEvent, anonymous_user

__all__ = ["MAX_MESSAGE_BYTES", "MESSAGE_TYPES", "BadMessage", "parse_message", "parse_messages"]

MESSAGE_TYPES = ("track", "identify", "page", "screen", "group", "alias")
MAX_MESSAGE_BYTES = 32_768  # Segment's own bound, and its libraries'
# An order's own properties stand on each of its lines up to this size, beyond it on the first line alone:
# 32 kB can hold 1,600 lines, which would become 25 MB.
_MOST_REPEATED_BYTES = 262_144
_ITEM_KEYS = ("productId", "item_id", "sku")
_COMMERCE = frozenset(EVENT_TYPES.values())


def parse_messages(bodies: list[Any], sent_at: object, clock: Clock, context: Mapping[str, Any] | None = None) -> Entry:
    """Good messages and dead letters of one request, in the order they came.

    `context`: what a batch says of all its messages; what a message says itself goes before it, name by name.
    """
    received_ms = clock.now_ms()
    messages: list[Message] = []
    letters: list[DeadLetter] = []
    for sent in bodies:
        body = _in_context(sent, context) if context else sent
        try:
            messages.append(parse_message(body, sent_at, clock, received_ms))
        except BadMessage as reason:
            told = sent_at if isinstance(sent_at, str) else None
            letters.append(DeadLetter(str(reason), orjson.dumps(body), received_ms, told))
    return Entry(messages=tuple(messages), dead_letters=tuple(letters))


def _in_context(body: Any, context: Mapping[str, Any]) -> Any:
    own = body.get("context") if isinstance(body, dict) else ""
    return {**body, "context": {**context, **(own or {})}} if own is None or isinstance(own, dict) else body


def parse_message(
    body: object, sent_at: object, clock: Clock, received_ms: int, *, recorded_ms: int | None = None
) -> Message:
    """One Segment message as what the journal stores; BadMessage says why it cannot be.

    `recorded_ms`: when it became known to us, where that is later than it was received (a replayed dead letter).
    """
    if not isinstance(body, dict):
        raise BadMessage("a message must be a JSON object")
    kind = body.get("type")
    if kind not in MESSAGE_TYPES:
        raise BadMessage(f"type {str(kind)[:40]!r} is not one of {', '.join(MESSAGE_TYPES)}")
    raw = orjson.dumps(body)
    if len(raw) > MAX_MESSAGE_BYTES:
        raise BadMessage(f"the message is larger than {MAX_MESSAGE_BYTES:,} bytes")
    header = _Header.of(body, sent_at, clock, received_ms, recorded_ms, raw)
    return Message(header.message_id, raw, header.recorded_ms, _events(kind, body, header), _identities(kind, body))


def _events(kind: str, body: Mapping[str, Any], header: _Header) -> tuple[RecordedEvent, ...]:
    if kind == "track":
        return _track(body, header)
    if kind == "alias":
        return ()
    if kind == "identify":
        return (header.event("identify", read_object(body, "traits"), header.message_id),)
    if kind == "group":
        group_id = read_text(body, "groupId")
        if group_id is None:
            raise BadMessage("a group message must carry groupId")
        return (header.event("group", {**read_object(body, "traits"), "group_id": group_id}, header.message_id),)
    properties = {**read_object(body, "properties"), "name": body.get("name"), "category": body.get("category")}
    return (header.event(kind, properties, header.message_id),)


@dataclass(frozen=True, slots=True)
class _Header:
    """What every event of one message shares."""

    message_id: str
    user_id: str
    occurred_ms: int
    recorded_ms: int
    context: Mapping[str, Any]
    channel: str | None

    @classmethod
    def of(
        cls,
        body: Mapping[str, Any],
        sent_at: object,
        clock: Clock,
        received_ms: int,
        recorded_ms: int | None,
        raw: bytes,
    ) -> _Header:
        context = read_object(body, "context")
        stated = "originalTimestamp" if body.get("originalTimestamp") else "timestamp"
        message_id = read_text(body, "messageId")
        if message_id is None:
            # Without an id a retry can be recognised only by its content, and only if that carries a time.
            message_id = hashlib.sha256(raw).hexdigest() if body.get(stated) else uuid.uuid4().hex
        moment = read_moment(context, "occurred_at") if clock.is_replay else None
        if moment is not None:
            occurred_ms = recorded_ms = moment
        else:
            recorded_ms = received_ms if recorded_ms is None else recorded_ms
            occurred_ms = _occurred(read_moment(body, stated), body.get("sentAt") or sent_at, received_ms)
        channel = read_leniently(read_text, body, "channel")  # where RudderStack's libraries say "web" or "mobile"
        return cls(message_id, _user(body), occurred_ms, recorded_ms, context, channel)

    def event(
        self,
        event_type: str,
        properties: Mapping[str, Any],
        event_id: str,
        *,
        is_commerce: bool = False,
        default_position: int | None = None,
        kept: Mapping[str, Any] | None = None,
    ) -> RecordedEvent:
        """A canonical event out of a flat object of properties; `kept` are those to keep as text (None: all).

        A commerce event's fields must be what they are said to be; any other event's may mean something else.
        """
        read = read_strictly if is_commerce else read_leniently
        position = read(read_integer, properties, "position")
        fact = Interaction(
            event_id=event_id,
            user_id=self.user_id,
            event_type=settled_type(event_type, properties),
            occurred_ms=self.occurred_ms,
            item_id=None if event_type in ("identify", "group") else read(_item, properties, "product_id"),
            quantity=read(read_integer, properties, "quantity"),
            price_micros=read(read_micros, properties, "price"),
            channel=read(read_text, properties, "channel") or self._context("channel", "name") or self.channel,
            device=read(read_text, properties, "device") or self._context("device", "type"),
            country=read(read_text, properties, "country") or self._country(),
            placement=read(read_text, properties, "placement") or self._context("placement", "name"),
            decision_id=read(read_text, properties, "decision_id") or self._context("decision_id", "id"),
            position=default_position if position is None else position,
        )
        session_id = read(read_text, properties, "session_id") or self._context("session_id", "id")
        return RecordedEvent(fact, self.recorded_ms, session_id, self._text(properties if kept is None else kept))

    def _text(self, properties: Mapping[str, Any]) -> str | None:
        """What is kept beside the columns, the campaign that brought the person among it."""
        kept = {name: value for name, value in properties.items() if value is not None}
        if campaign := self.context.get("campaign"):
            kept.setdefault("campaign", campaign)
        return orjson.dumps(kept, option=orjson.OPT_SORT_KEYS).decode() if kept else None

    def _context(self, name: str, inner: str) -> str | None:
        """A text of the context, plain or as an object that names it (`context.device.type`)."""
        value = self.context.get(name)
        if isinstance(value, dict):
            return read_leniently(read_text, value, inner)
        return read_leniently(read_text, self.context, name)

    def _country(self) -> str | None:
        location = self.context.get("location")
        located = read_leniently(read_text, location, "country") if isinstance(location, dict) else None
        return located or self._context("country", "name")


def _track(body: Mapping[str, Any], header: _Header) -> tuple[RecordedEvent, ...]:
    name = body.get("event")
    if not isinstance(name, str) or not (snake := snake_case(name)):
        raise BadMessage("a track message must name its event as text")
    if len(snake) > MAX_ID_LENGTH:
        raise BadMessage(f"the event's name is longer than {MAX_ID_LENGTH} characters")
    properties = dict(read_object(body, "properties"))
    event_type = EVENT_TYPES.get(snake, snake)
    if is_email(snake):
        properties.setdefault("channel", "email")
    if snake in LISTS or (event_type == "refund" and properties.get("products")):
        return _one_event_a_product(event_type, properties, header)
    if snake in NEEDS_ITEM and _item(properties) is None:
        raise BadMessage(f"{name[:80]!r} needs properties.product_id")
    return (header.event(event_type, properties, header.message_id, is_commerce=event_type in _COMMERCE),)


def _one_event_a_product(event_type: str, properties: dict[str, Any], header: _Header) -> tuple[RecordedEvent, ...]:
    products = properties.pop("products", None)
    if not isinstance(products, list) or not products:
        raise BadMessage("properties.products must be a list with at least one product")
    is_repeated = len(orjson.dumps(properties)) * len(products) <= _MOST_REPEATED_BYTES
    events = []
    for index, product in enumerate(products):
        if not isinstance(product, dict) or _item(product) is None:
            raise BadMessage(f"properties.products[{index}] needs a product_id")
        events.append(
            header.event(
                event_type,
                {**properties, **product},
                f"{header.message_id}:{index}",
                is_commerce=True,
                default_position=index + 1 if event_type == "impression" else None,
                kept=None if is_repeated or index == 0 else product,
            )
        )
    return tuple(events)


def _occurred(stated_ms: int | None, sent_at: object, received_ms: int) -> int:
    if stated_ms is None:
        return received_ms
    sent_ms = read_moment({"sentAt": sent_at}, "sentAt")
    moment = stated_ms if sent_ms is None else received_ms - (sent_ms - stated_ms)
    return max(0, min(moment, received_ms))


def _user(body: Mapping[str, Any]) -> str:
    user_id, anonymous_id = _known(body), read_text(body, "anonymousId")
    if user_id is not None:
        return user_id
    if anonymous_id is None:
        raise BadMessage("a message must carry userId or anonymousId")
    return anonymous_user(anonymous_id)


def _known(body: Mapping[str, Any]) -> str | None:
    user_id = read_text(body, "userId")
    if user_id is not None and user_id.startswith(ANONYMOUS_PREFIX):
        raise BadMessage(f"a userId must not begin with {ANONYMOUS_PREFIX!r}, which marks anonymous people")
    return user_id


def _identities(kind: str, body: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Pairs (canonical id, the user it is from now on)."""
    user_id = read_text(body, "userId")
    if user_id is None:
        if kind == "alias":
            raise BadMessage("an alias message must carry userId")
        return ()
    if kind != "alias":
        anonymous_id = read_text(body, "anonymousId")
        return ((anonymous_user(anonymous_id), user_id),) if anonymous_id else ()
    previous_id = read_text(body, "previousId")
    if previous_id is None:
        raise BadMessage("an alias message must carry previousId")
    if previous_id.startswith(ANONYMOUS_PREFIX):
        raise BadMessage(f"a previousId must not begin with {ANONYMOUS_PREFIX!r}")
    pairs = ((anonymous_user(previous_id), user_id), (previous_id, user_id))
    return pairs if previous_id != user_id else pairs[:1]


def _item(properties: Mapping[str, Any], name: str = "product_id") -> str | None:
    return next((item for key in (name, *_ITEM_KEYS) if (item := read_text(properties, key)) is not None), None)
