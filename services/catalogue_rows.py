"""A catalogue row as a team sends it, read, checked and folded into what was said before. Nothing is stored."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from services.clock import parse_moment

__all__ = ["MAX_ROW_BYTES", "folded", "read_row"]

MAX_ID_LENGTH = 512
MAX_ROW_BYTES = 65_536  # of JSON: 20 times the longest description of the data sets at hand
MAX_ATTRIBUTES = 100
MAX_PRICE = 1e12  # in micros still far below 2^63
LATEST_MS = 7_258_118_400_000  # 2200-01-01: dbt takes no later time either
TEXTS = ("title", "description", "category", "brand")
OTHERS = ("item_id", "tags", "price", "available", "created_at", "attributes")

Said = dict[str, Any]


def read_row(body: object) -> tuple[str, Said]:
    """The id and what is said of it, in the columns of CATALOGUE_SCHEMA; ValueError with the reason otherwise.

    A column that is missing or null says nothing; "" empties a text. Whatever is no canonical column is a further
    attribute (`attributes` may hold them as an object as well), and a null there takes the attribute away.
    """
    if not isinstance(body, dict):
        raise ValueError(f"a row of type {type(body).__name__}, not an object")
    _storable(body)
    item_id = body.get("item_id")
    if not isinstance(item_id, str) or not item_id.strip() or len(item_id) > MAX_ID_LENGTH:
        raise ValueError(f"item_id must be a text of 1 to {MAX_ID_LENGTH} characters, not {item_id!r:.60}")
    said: Said = {name: _text(name, body[name]) for name in TEXTS if body.get(name) is not None}
    for name, column, read in (
        ("tags", "tags", _tags),
        ("price", "price_micros", _micros),
        ("available", "is_available", _available),
        ("created_at", "created_at", _created_ms),
    ):
        if body.get(name) is not None:
            said[column] = read(body[name])
    attributes = _attributes(body)
    if attributes:
        said["attributes"] = attributes
    return item_id.strip(), said


def folded(earlier: Mapping[str, Any], later: Mapping[str, Any]) -> Said:
    """Both together: a column keeps what was said of it last, attributes one by one."""
    merged = {**earlier, **later}
    if "attributes" in earlier and "attributes" in later:
        merged["attributes"] = {**earlier["attributes"], **later["attributes"]}
    return merged


def _storable(body: Mapping[str, Any]) -> None:
    try:
        text = orjson.dumps(body)
    except (orjson.JSONEncodeError, RecursionError) as error:
        raise ValueError(f"a row that cannot be stored ({error!s:.100})") from None
    if len(text) > MAX_ROW_BYTES:
        raise ValueError(f"a row of {len(text):,} bytes of JSON; at most {MAX_ROW_BYTES:,} are kept")


def _text(name: str, value: object) -> str:
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)  # a brand that is called 47
    raise ValueError(f"{name} must be a text, not {value!r:.60}")


def _tags(value: object) -> str:
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, list) and all(isinstance(tag, str) for tag in value):
        return ",".join(tag.strip() for tag in value if tag.strip())
    raise ValueError(f"tags must be a list of texts, or a text with commas, not {value!r:.60}")


def _micros(value: object) -> int:
    try:
        price = math.nan if isinstance(value, bool) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        price = math.nan
    if not 0 <= price <= MAX_PRICE:
        raise ValueError(f"price must be a number from 0 to {MAX_PRICE:g}, not {value!r:.60}")
    return round(price * 1_000_000)


def _available(value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise ValueError(f"available must be true or false, not {value!r:.60}")


def _created_ms(value: object) -> int:
    moment = parse_moment(value)
    if moment > LATEST_MS:
        raise ValueError(f"created_at {value!r:.60} lies after {datetime.fromtimestamp(LATEST_MS / 1000, UTC):%Y}")
    return moment


def _attributes(body: Mapping[str, Any]) -> dict[str, Any]:
    inner = body.get("attributes")
    if inner is not None and not isinstance(inner, dict):
        raise ValueError(f"attributes must be an object, not {inner!r:.60}")
    found = {name: value for name, value in body.items() if name not in TEXTS and name not in OTHERS}
    found |= inner or {}
    if len(found) > MAX_ATTRIBUTES:
        raise ValueError(f"{len(found)} further attributes; at most {MAX_ATTRIBUTES} are kept")
    for name in found:
        if not name or len(name) > 200:
            raise ValueError(f"an attribute called {name!r:.60}")
    return found
