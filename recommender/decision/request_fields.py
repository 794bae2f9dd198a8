"""Fields that requests of several kinds have in common, read from JSON and checked. Nothing is decided here."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from recommender.errors import RequestError

__all__ = [
    "MAX_CONTEXT_LENGTH", "MAX_ID_LENGTH", "as_text", "read_context", "read_id", "read_somebody", "refused",
    "require_known_fields", "require_object",
]  # fmt: skip

MAX_ID_LENGTH = 512
MAX_CONTEXT_LENGTH = 10_000  # characters of JSON: it is stored with every decision


def require_object(body: object, fields: Sequence[str]) -> Mapping[str, Any]:
    """The body as an object of known fields that can be stored; RequestError with a sentence otherwise.

    JSON readers let through what UTF-8 or a later reader would not: lone surrogates, NaN, deep nests.
    """
    if not isinstance(body, dict):
        raise refused(f"a body of type {type(body).__name__}", "a JSON object", "Send an object.")
    try:
        json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, TypeError, RecursionError) as error:
        raise refused(f"a body that cannot be stored ({error!s:.100})", "plain JSON in UTF-8", "Send that.") from error
    require_known_fields(body, fields)
    return body


def require_known_fields(body: Mapping[str, Any], fields: Sequence[str]) -> None:
    """RequestError, with the nearest name there is, for a field that is none of `fields`."""
    for name in body:
        if name not in fields:
            near = difflib.get_close_matches(name, fields, n=1)
            remedy = f"{f'Did you mean {near[0]}? ' if near else ''}Rename or remove it."
            raise refused(f"the unknown field {name!r:.80}", f"one of {', '.join(fields)}", remedy)


def read_somebody(body: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """`user_id` and `anonymous_id`, of which one at least is there."""
    user_id, anonymous_id = read_id(body, "user_id"), read_id(body, "anonymous_id")
    if user_id is None and anonymous_id is None:
        raise refused("neither user_id nor anonymous_id", "one of them", "Say whom the decision is for.")
    return user_id, anonymous_id


def read_id(body: Mapping[str, Any], name: str) -> str | None:
    """A text of 1 to MAX_ID_LENGTH characters; None where there is none."""
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, str) and 0 < len(value) <= MAX_ID_LENGTH:
        return value
    raise refused(f"{name} = {value!r:.80}", f"a text of 1 to {MAX_ID_LENGTH} characters", "Send the id as text.")


def read_context(value: object) -> Mapping[str, Any]:
    """What the caller says of the moment: an object, bounded in length; nothing there means an empty one."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise refused(f"context of type {type(value).__name__}", "an object", "Send an object, or leave it out.")
    if len(as_text(value)) > MAX_CONTEXT_LENGTH:
        raise refused("a long context", f"at most {MAX_CONTEXT_LENGTH} characters of JSON", "Send what matters.")
    return value


def as_text(value: Mapping[str, Any]) -> str:
    """JSON without spaces, keys in order."""
    return json.dumps(value, separators=(",", ":"), sort_keys=True) if value else "{}"


def refused(found: str, expected: str, remedy: str) -> RequestError:
    """The error, its parts made sentences."""
    return RequestError(f"{found}.", f"{expected}.", remedy)
