"""Reading one value out of a tracked message, or the reason why not. What a message is, is not known here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from services.clock import parse_moment

__all__ = [
    "MAX_ID_LENGTH",
    "BadMessage",
    "read_integer",
    "read_leniently",
    "read_micros",
    "read_moment",
    "read_number",
    "read_object",
    "read_strictly",
    "read_text",
]

_T = TypeVar("_T")
Reader = Callable[[Mapping[str, Any], str], _T | None]

MAX_ID_LENGTH = 256
_MOST = 10**9  # of a quantity, a position or a price


class BadMessage(ValueError):  # noqa: N818 (it is a message that is bad, not an error of ours)
    """A message that cannot be stored; its text is the reason kept with the dead letter."""


def read_object(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """An object; nothing there means an empty one."""
    value = body.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadMessage(f"{name} must be a JSON object")
    return value


def read_text(values: Mapping[str, Any], name: str) -> str | None:
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


def read_integer(values: Mapping[str, Any], name: str) -> int | None:
    """A whole number from 0 to a thousand million."""
    number = read_number(values, name)
    if number is None:
        return None
    if number != int(number) or not 0 <= number <= _MOST:
        raise BadMessage(f"{name} must be a whole number from 0 to {_MOST:,}")
    return int(number)


def read_micros(values: Mapping[str, Any], name: str) -> int | None:
    """A price in millionths."""
    number = read_number(values, name)
    if number is None:
        return None
    if not 0 <= number <= _MOST:
        raise BadMessage(f"{name} must lie between 0 and {_MOST:,}")
    return round(number * 1_000_000)


def read_moment(values: Mapping[str, Any], name: str) -> int | None:
    """Milliseconds since 1970. The reason names the field, never its value: a million wrong times are one reason."""
    value = values.get(name)
    if value is None or value == "":
        return None
    try:
        return parse_moment(value)
    except ValueError:
        told = f"{name} must be ISO 8601 text such as 2026-11-24T08:00:00Z, and not lie before 1970"
        raise BadMessage(told) from None


def read_number(values: Mapping[str, Any], name: str) -> float | None:
    """A finite number, also when it came as text ("19.99" is common in the wild)."""
    value = values.get(name)
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


def read_strictly(
    read: Callable[[Mapping[str, Any], str], _T | None], values: Mapping[str, Any], name: str
) -> _T | None:
    """For events whose fields are known: the reader as it is."""
    return read(values, name)


def read_leniently(
    read: Callable[[Mapping[str, Any], str], _T | None], values: Mapping[str, Any], name: str
) -> _T | None:
    """For events whose fields may mean something else: what cannot be read is none of ours.

    A trait `position` is "Head of Sales", a video's is 12.5 seconds: neither makes a bad message.
    """
    try:
        return read(values, name)
    except BadMessage:
        return None
