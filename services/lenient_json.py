"""JSON as event clients really send it, read without losing a batch to one odd value. Bodies are bounded elsewhere.

Python's own writer, which Segment's library uses, writes NaN and Infinity; JavaScript cut in the middle of an emoji
writes half a surrogate pair. Both are outside of what orjson reads. Such a body is read again, ten times slower: a
number that is none becomes the text that names it ("NaN": a dead letter where a price is expected, kept elsewhere),
half a pair becomes U+FFFD, a whole number of more than 64 bits a float.
"""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

__all__ = ["loads_leniently"]

_LONE_SURROGATE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2}"
)


def loads_leniently(raw: bytes) -> Any:
    """The value of a JSON text. Raises orjson.JSONDecodeError, with orjson's own words, where it is none."""
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as problem:
        try:
            return json.loads(_LONE_SURROGATE.sub(rb"\\ufffd", raw).decode(), parse_constant=str, parse_int=_whole)
        except (ValueError, RecursionError):
            raise problem from None


def _whole(digits: str) -> int | float:
    return int(digits) if len(digits) < 19 else float(digits)
