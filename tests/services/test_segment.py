"""Segment's messages become canonical events, or dead letters that say why."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from recommender.errors import RequestError
from services.clock import Clock, parse_moment
from services.records import Message
from services.segment import BadMessage, parse_message, parse_messages

NOON = 1_800_000_000_000


def parsed(body: dict[str, Any], sent_at: str | None = None, clock: Clock | None = None) -> Message:
    return parse_message({"messageId": "m1", "userId": "u1", **body}, sent_at, clock or Clock(), NOON)


def track(event: str, properties: dict[str, Any] | None = None, **rest: Any) -> dict[str, Any]:
    return {"type": "track", "event": event, "properties": properties or {}, **rest}


def iso(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds")


@pytest.mark.parametrize(
    ("name", "event_type"),
    [
        ("Product Clicked", "click"),
        ("Product Viewed", "view"),
        ("Product Added", "add_to_cart"),
        ("Product Removed", "remove_from_cart"),
        ("Product Skipped", "skip"),
        ("product added to wishlist", "bookmark"),
        ("productViewed", "view"),
        ("Wishlist Product Added to Cart", "add_to_cart"),
        ("Product Removed from Wishlist", "remove_bookmark"),
        ("Product Reviewed", "rating"),
    ],
)
def test_commerce_names_become_canonical_types(name: str, event_type: str) -> None:
    (event,) = parsed(track(name, {"product_id": "p1"})).events
    assert (event.interaction.event_type, event.interaction.item_id) == (event_type, "p1")
    assert event.interaction.event_id == "m1"


@pytest.mark.parametrize(
    ("name", "event_type"),
    [
        ("Unsubscribed", "unsubscribe"),
        ("Email Delivered", "email_delivered"),
        ("Email Opened", "email_opened"),
        ("Email Link Clicked", "email_link_clicked"),
        ("Email Bounced", "email_bounced"),
        ("Email Marked as Spam", "email_marked_as_spam"),
        ("Product List Filtered", "product_list_filtered"),
        ("Products Searched", "products_searched"),
        ("Promotion Viewed", "promotion_viewed"),
        ("Promotion Clicked", "promotion_clicked"),
        ("Cart Viewed", "cart_viewed"),
        ("Checkout Started", "checkout_started"),
        ("Checkout Step Completed", "checkout_step_completed"),
        ("Payment Info Entered", "payment_info_entered"),
        ("Order Updated", "order_updated"),
        ("Coupon Denied", "coupon_denied"),
        ("Product Shared", "product_shared"),
        ("Cart Shared", "cart_shared"),
        ("Quiz: Finished!", "quiz_finished"),
        ("Größe gewählt", "größe_gewählt"),
    ],
)
def test_other_names_stay_as_snake_case(name: str, event_type: str) -> None:
    (event,) = parsed(track(name)).events
    assert event.interaction.event_type == event_type
    assert event.interaction.channel == ("email" if name.startswith("Email") or name == "Unsubscribed" else None)


def test_an_order_is_one_purchase_a_line() -> None:
    products = [{"product_id": "a", "quantity": 3, "price": 2.55}, {"sku": 17, "price": "19.99"}]
    message = parsed(track("Order Completed", {"order_id": "o1", "decision_id": "d1", "products": products}))
    first, second = (event.interaction for event in message.events)
    assert (first.event_id, second.event_id) == ("m1:0", "m1:1")
    assert (first.event_type, first.item_id, first.quantity, first.price_micros) == ("purchase", "a", 3, 2_550_000)
    assert (second.item_id, second.quantity, second.price_micros) == ("17", None, 19_990_000)
    assert first.decision_id == second.decision_id == "d1"
    assert first.position is None
    assert json.loads(message.events[0].properties or "")["order_id"] == "o1"


def test_a_list_view_is_one_impression_a_product_with_its_position() -> None:
    products = [{"product_id": "a"}, {"product_id": "b", "position": 7}, {"product_id": "c"}]
    message = parsed(track("Product List Viewed", {"placement": "home", "decision_id": "d", "products": products}))
    seen = [(event.interaction.item_id, event.interaction.position) for event in message.events]
    assert seen == [("a", 1), ("b", 7), ("c", 3)]
    assert {event.interaction.event_type for event in message.events} == {"impression"}
    assert {event.interaction.placement for event in message.events} == {"home"}


def test_context_fills_what_the_properties_leave_out() -> None:
    context = {"device": {"type": "mobile"}, "location": {"country": "DE"}, "channel": "app", "session_id": 5}
    (event,) = parsed(track("Product Viewed", {"product_id": "p", "channel": "web"}, context=context)).events
    fact = event.interaction
    assert (fact.device, fact.country, fact.channel, event.session_id) == ("mobile", "DE", "web", "5")


def test_a_wrong_device_clock_is_corrected_by_its_own_sending_time() -> None:
    # The device believes it is a day earlier, and sent the event 90 s after it happened.
    device_now = NOON - 86_400_000
    (event,) = parsed(track("Open", timestamp=iso(device_now - 90_000)), sent_at=iso(device_now)).events
    assert event.interaction.occurred_ms == NOON - 90_000
    assert event.recorded_ms == NOON


def test_nothing_occurs_after_it_was_received() -> None:
    (event,) = parsed(track("Open", timestamp=iso(NOON + 5_000))).events
    assert event.interaction.occurred_ms == NOON
    (event,) = parsed(track("Open", timestamp=iso(NOON + 5_000)), sent_at=iso(NOON)).events
    assert event.interaction.occurred_ms == NOON


def test_without_a_sending_time_the_timestamp_stands() -> None:
    (event,) = parsed(track("Open", timestamp="2026-01-01T00:00:00Z")).events
    assert event.interaction.occurred_ms == parse_moment("2026-01-01T00:00:00+00:00")


def test_a_moment_of_its_own_is_trusted_in_replay_alone() -> None:
    body = track("Open", context={"occurred_at": "2011-12-09T10:00:00Z"})
    (replayed,) = parsed(body, clock=Clock("replay", 0)).events
    assert replayed.recorded_ms == replayed.interaction.occurred_ms == parse_moment("2011-12-09T10:00:00Z")
    (live,) = parsed(body).events
    assert live.recorded_ms == NOON
    with pytest.raises(RequestError, match="occurred_at"):
        Clock().request_moment({"occurred_at": "2011-12-09T10:00:00Z"})


def test_anonymous_people_carry_a_prefix_until_they_are_identified() -> None:
    body = {"type": "track", "event": "Open", "anonymousId": "x", "messageId": "m"}
    message = parse_message(body, None, Clock(), NOON)
    assert message.events[0].interaction.user_id == "anon:x"
    identify = parsed({"type": "identify", "anonymousId": "x", "traits": {"plan": "gold"}})
    assert identify.identities == (("anon:x", "u1"),)


def test_any_message_with_both_ids_says_that_they_are_one_person() -> None:
    assert parsed(track("Open", anonymousId="x")).identities == (("anon:x", "u1"),)
    assert parsed(track("Open")).identities == ()


def test_an_alias_may_name_an_anonymous_id_or_an_earlier_user() -> None:
    alias = parsed({"type": "alias", "previousId": "y"})
    assert (alias.identities, alias.events) == ((("anon:y", "u1"), ("y", "u1")), ())


def test_a_page_is_an_event_with_its_name() -> None:
    (event,) = parsed({"type": "page", "name": "Home", "properties": {"url": "/"}}).events
    assert event.interaction.event_type == "page"
    assert json.loads(event.properties or "") == {"name": "Home", "url": "/"}


def test_a_group_and_a_screen_are_events_too() -> None:
    (group,) = parsed({"type": "group", "groupId": 7, "traits": {"name": "Ada's", "product_id": "no item"}}).events
    assert (group.interaction.event_type, group.interaction.item_id) == ("group", None)
    assert json.loads(group.properties or "") == {"group_id": "7", "name": "Ada's", "product_id": "no item"}
    (screen,) = parsed({"type": "screen", "name": "Basket"}).events
    assert screen.interaction.event_type == "screen"


def test_fields_of_other_events_may_mean_something_else() -> None:
    (identify,) = parsed({"type": "identify", "traits": {"position": "Head of Sales", "device": {"os": "x"}}}).events
    assert (identify.interaction.position, identify.interaction.device) == (None, None)
    (video,) = parsed(track("Video Playback Paused", {"position": 12.5, "price": "free"})).events
    assert (video.interaction.position, video.interaction.price_micros) == (None, None)
    assert json.loads(video.properties or "") == {"position": 12.5, "price": "free"}


def test_the_campaign_that_brought_somebody_is_kept() -> None:
    campaign = {"source": "newsletter", "medium": "email", "name": "spring"}
    (event,) = parsed(track("Open", {"a": 1}, context={"campaign": campaign})).events
    assert json.loads(event.properties or "") == {"a": 1, "campaign": campaign}


def test_what_is_cancelled_or_refunded_is_told_line_by_line_where_lines_are_named() -> None:
    for name in ("Order Cancelled", "Order Refunded"):
        lines = parsed(track(name, {"order_id": "o", "products": [{"product_id": "a"}, {"product_id": "b"}]})).events
        assert [(line.interaction.event_type, line.interaction.item_id) for line in lines] == [
            ("refund", "a"),
            ("refund", "b"),
        ]
        (whole,) = parsed(track(name, {"order_id": "o"})).events
        assert (whole.interaction.event_type, whole.interaction.item_id) == ("refund", None)


def test_a_long_order_does_not_repeat_what_its_lines_share() -> None:
    shared = {"order_id": "o1", "decision_id": "d1", "note": "n" * 5_000}
    products = [{"product_id": str(n)} for n in range(100)]  # 100 x 5 kB would be kept
    events = parsed(track("Order Completed", {**shared, "products": products})).events
    assert json.loads(events[0].properties or "") == {**shared, "product_id": "0"}
    assert [json.loads(event.properties or "") for event in events[1:]] == products[1:]
    assert {event.interaction.decision_id for event in events} == {"d1"}


def test_a_message_without_an_id_is_recognised_by_content_if_it_carries_a_time() -> None:
    timed = {"type": "track", "event": "Open", "userId": "u", "timestamp": "2026-01-01T00:00:00Z"}
    timeless = {"type": "track", "event": "Open", "userId": "u"}
    ids = [parse_message(body, None, Clock(), NOON).message_id for body in (timed, timed, timeless, timeless)]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 3


BAD: list[tuple[Any, str]] = [
    ("text", "JSON object"),
    ({"type": "merge", "userId": "u"}, "type 'merge'"),
    ({"type": "group", "userId": "u"}, "groupId"),
    ({"type": "alias", "userId": "u"}, "previousId"),
    ({"type": "alias", "anonymousId": "x", "previousId": "y"}, "userId"),
    ({"type": "alias", "userId": "u", "previousId": "anon:y"}, "must not begin"),
    (track("Open", {"text": "x" * 32_768}, userId="u"), "larger than 32,768 bytes"),
    ({"userId": "u"}, "type 'None'"),
    (track("Open"), "userId or anonymousId"),
    (track("Open", userId=""), "userId or anonymousId"),
    (track("Open", userId={"id": 1}), "userId must be text"),
    (track("Open", userId=True), "userId must be text"),
    (track("Open", userId="u" * 257), "1 to 256"),
    (track("Open", userId="anon:x"), "anonymous"),
    (track("", userId="u"), "name its event"),
    (track("!!!", userId="u"), "name its event"),
    ({"type": "track", "userId": "u"}, "name its event"),
    ({"type": "track", "event": 5, "userId": "u"}, "name its event"),
    ({"type": "track", "event": "Open", "properties": [], "userId": "u"}, "properties must be"),
    (track("Open", userId="u", context="web"), "context must be"),
    (track("Open", userId="u", timestamp="yesterday"), "timestamp must be ISO 8601"),
    (track("Open", userId="u", originalTimestamp=5), "originalTimestamp must be ISO 8601"),
    (track("Open", userId="u", timestamp="1969-12-31T23:59:59Z"), "before 1970"),
    (track("Open", userId="u", timestamp="2026-01-01", sentAt="never"), "sentAt must be ISO 8601"),
    (track("Product Viewed", userId="u"), "product_id"),
    (track("Product Viewed", {"product_id": ["p"]}, userId="u"), "product_id must be text"),
    (track("Order Completed", userId="u"), "at least one product"),
    (track("Order Completed", {"products": []}, userId="u"), "at least one product"),
    (track("Order Completed", {"products": [{"product_id": "a"}, {}]}, userId="u"), r"products\[1\]"),
    (track("Order Completed", {"products": [{"product_id": "a", "quantity": -1}]}, userId="u"), "quantity"),
    (track("Order Completed", {"products": [{"product_id": "a", "quantity": 1.5}]}, userId="u"), "quantity"),
    (track("Product Added", {"product_id": "a", "price": "cheap"}, userId="u"), "price must be a number"),
    (track("Product Added", {"product_id": "a", "price": -1}, userId="u"), "price must lie"),
    (track("Product Added", {"product_id": "a", "price": "inf"}, userId="u"), "price must be a number"),
    (track("Product Clicked", {"product_id": "a", "position": "top"}, userId="u"), "position must be a number"),
    (track("Open", userId="u", messageId="m" * 300), "messageId"),
]


@pytest.mark.parametrize(("body", "reason"), BAD)
def test_each_kind_of_bad_message_has_its_reason(body: Any, reason: str) -> None:
    with pytest.raises(BadMessage, match=reason):
        parse_message(body, None, Clock(), NOON)


def test_a_million_wrong_times_are_one_reason() -> None:
    bodies = [track("Open", userId="u", timestamp=str(NOON + n)) for n in range(3)]
    letters = parse_messages(bodies, None, Clock()).dead_letters
    assert len(letters) == 3
    assert len({letter.reason for letter in letters}) == 1


def test_an_empty_time_is_none() -> None:
    (event,) = parsed(track("Open", timestamp="", sentAt="")).events
    assert event.interaction.occurred_ms == NOON


def test_a_batch_may_say_the_context_of_all_its_messages() -> None:
    own = {"channel": "push", "device": {"type": "ios"}}
    bodies = [track("Open", userId="u"), track("Open", userId="u", context=own), track("", userId="u"), "no message"]
    entry = parse_messages(bodies, None, Clock(), {"channel": "email", "location": {"country": "DE"}})
    first, second = (message.events[0].interaction for message in entry.messages)
    assert (first.channel, first.device, first.country) == ("email", None, "DE")
    assert (second.channel, second.device, second.country) == ("push", "ios", "DE")
    assert json.loads(entry.dead_letters[0].raw)["context"]["channel"] == "email"  # a replay knows it too
    assert json.loads(entry.dead_letters[1].raw) == "no message"


def test_bad_messages_of_a_batch_do_not_touch_the_good_ones() -> None:
    good = [track("Open", userId="u", messageId=str(n)) for n in range(3)]
    entry = parse_messages([good[0], *(body for body, _ in BAD), good[1], good[2]], None, Clock())
    assert [message.message_id for message in entry.messages] == ["0", "1", "2"]
    assert len(entry.dead_letters) == len(BAD)
    assert json.loads(entry.dead_letters[1].raw) == BAD[1][0]
