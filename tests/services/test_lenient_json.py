"""What clients send that is almost JSON costs one message at most, never its batch."""

from __future__ import annotations

import json

import orjson
import pytest

from services.clock import Clock
from services.lenient_json import loads_leniently
from services.segment import parse_messages


def test_numbers_that_are_none_become_their_names():
    written = json.dumps({"price": float("nan"), "a": [float("inf"), -float("inf")]}).encode()
    assert loads_leniently(written) == {"price": "NaN", "a": ["Infinity", "-Infinity"]}


def test_half_an_emoji_becomes_a_replacement_character_and_a_whole_one_stays():
    body = rb'{"cut": "sun \ud83c", "other": "\udf1e glasses", "whole": "\ud83c\udf1e", "plain": "\u00e4"}'
    assert loads_leniently(body) == {"cut": "sun �", "other": "� glasses", "whole": "🌞", "plain": "ä"}


def test_what_was_read_leniently_can_be_written():
    body = b'{"big": 123456789012345678901234567890, "x": NaN, "y": "\\ud83c"}'
    assert orjson.loads(orjson.dumps(loads_leniently(body)))["big"] == pytest.approx(123456789012345678901234567890)


@pytest.mark.parametrize("raw", [b"{", b"", b"nil", b"\xff", b'{"a": \xff, "b": NaN}', b'{"a": 1,}', b"[" * 5_000])
def test_what_is_not_json_stays_refused(raw):
    with pytest.raises(orjson.JSONDecodeError):
        loads_leniently(raw)


def test_one_odd_price_does_not_take_the_batch_along():
    """Python's Segment library writes the NaN of a data frame as it is."""
    messages = [
        {"type": "track", "event": "Product Viewed", "userId": "u", "messageId": str(n), "properties": properties}
        for n, properties in enumerate(
            [{"product_id": "p", "price": 1.5}, {"product_id": "p", "price": float("nan")}, {"product_id": "p"}]
        )
    ]
    entry = parse_messages(loads_leniently(json.dumps(messages).encode()), None, Clock())
    assert [message.message_id for message in entry.messages] == ["0", "2"]
    assert [letter.reason for letter in entry.dead_letters] == ["price must be a number"]
