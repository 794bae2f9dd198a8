"""Conditions on items' attributes: texts, ranges, any, all, not; read from JSON, applied to rows, told in words.

Requests filter by them, placements filter and boost by them, needs are made of them. What follows from a
condition is decided elsewhere.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from recommender.attributes import CATALOGUE_ATTRIBUTES, AttributeColumn, Attributes
from recommender.errors import RequestError

__all__ = ["AllOf", "AnyOf", "Between", "Columns", "Condition", "Not", "OneOf", "parse_condition", "require_known"]

Rows = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

MAX_DEPTH = 6
MAX_PARTS = 30  # in one object or list
MAX_VALUES = 1_000
GROUPS = ("any", "all", "not")
TEXTS_ONLY = ("brand", "category", "tags")


class Columns(Protocol):
    """Where conditions read: an item table's attributes, or an audience's columns."""

    def column(self, name: str) -> AttributeColumn | None:
        """The attribute of that name; None where nothing has it."""
        ...


class Condition(Protocol):
    """Something that an item (or a person) meets or not; one whose attribute is unknown does not meet it."""

    @property
    def names(self) -> frozenset[str]:
        """The attributes that it looks at."""
        ...

    @property
    def words(self) -> str:
        """The condition as a person would say it."""
        ...

    def holds(self, attributes: Columns, rows: Rows) -> Mask:
        """Mask over the items at `rows` (n)."""
        ...


@dataclass(frozen=True)
class OneOf:
    """The attribute has one of the texts; one of an item's several values is enough."""

    name: str
    texts: tuple[str, ...]

    @property
    def names(self) -> frozenset[str]:
        return frozenset((self.name,))

    @property
    def words(self) -> str:
        return f"{self.name} {' or '.join(self.texts)}"

    def holds(self, attributes: Columns, rows: Rows) -> Mask:
        column = attributes.column(self.name)
        return np.zeros(len(rows), dtype=bool) if column is None else column.has_any(self.texts, rows)


@dataclass(frozen=True)
class Between:
    """The attribute's number lies in an inclusive range; the price in natural units."""

    name: str
    low: float
    high: float

    @property
    def names(self) -> frozenset[str]:
        return frozenset((self.name,))

    @property
    def words(self) -> str:
        if self.low == -math.inf:
            return f"{self.name} at most {self.high:g}"
        return f"{self.name} at least {self.low:g}" if self.high == math.inf else _range_words(self)

    def holds(self, attributes: Columns, rows: Rows) -> Mask:
        column = attributes.column(self.name)
        return np.zeros(len(rows), dtype=bool) if column is None else column.lies_between(self.low, self.high, rows)


@dataclass(frozen=True)
class AllOf:
    """Every part holds; without parts always."""

    parts: tuple[Condition, ...] = ()

    @property
    def names(self) -> frozenset[str]:
        return _names(self.parts)

    @property
    def words(self) -> str:
        return _joined(" and ", self.parts) or "anything"

    def holds(self, attributes: Columns, rows: Rows) -> Mask:
        found = np.ones(len(rows), dtype=bool)
        for part in self.parts:
            found &= part.holds(attributes, rows)
        return found


@dataclass(frozen=True)
class AnyOf:
    """At least one part holds."""

    parts: tuple[Condition, ...]

    @property
    def names(self) -> frozenset[str]:
        return _names(self.parts)

    @property
    def words(self) -> str:
        return _joined(" or ", self.parts)

    def holds(self, attributes: Columns, rows: Rows) -> Mask:
        found = np.zeros(len(rows), dtype=bool)
        for part in self.parts:
            found |= part.holds(attributes, rows)
        return found


@dataclass(frozen=True)
class Not:
    """The part does not hold; so it is also met by items that say nothing about the attribute."""

    part: Condition

    @property
    def names(self) -> frozenset[str]:
        return self.part.names

    @property
    def words(self) -> str:
        return f"not {_bracketed(self.part)}"

    def holds(self, attributes: Columns, rows: Rows) -> Mask:
        return ~self.part.holds(attributes, rows)


def parse_condition(body: object, where: str = "filter", depth: int = 0) -> AllOf:
    """Read `{"category": ["a", "b"], "price": {"max": 5}, "any": [{"colour": "red"}, {"not": {"brand": "x"}}]}`.

    Entries of an object must all hold. Raises RequestError, whose `found` begins with the path `where`.
    """
    if not isinstance(body, Mapping):
        raise _refused(f"{where} of type {type(body).__name__}", "an object", "Send an object, or leave it out.")
    if depth > MAX_DEPTH or len(body) > MAX_PARTS:
        raise _refused(
            f"{where} with {len(body)} entries at depth {depth}",
            f"at most {MAX_PARTS} at a depth of at most {MAX_DEPTH}",
            "Ask for less at once.",
        )
    return AllOf(tuple(_part(name, wanted, where, depth) for name, wanted in body.items()))


def require_known(conditions: Iterable[Condition], attributes: Attributes, where: str = "filter") -> None:
    """RequestError for an attribute that no item of the catalogue has: nothing could ever meet it."""
    for condition in conditions:
        for name in sorted(condition.names):
            if name not in CATALOGUE_ATTRIBUTES and name not in attributes.names:
                near = difflib.get_close_matches(name, attributes.names, n=1)
                remedy = f"Did you mean {near[0]}?" if near else "Rename or remove it."
                known = ", ".join(attributes.names[:20])
                raise _refused(f"{where} by unknown attribute {name!r:.80}", f"one of {known}", remedy)


def _part(name: object, wanted: object, where: str, depth: int) -> Condition:
    if not isinstance(name, str) or not name or len(name) > 200:
        raise _refused(f"{where} by {name!r:.80}", "the name of an attribute", "Name one.")
    path = f"{where}.{name}"
    if name == "not":
        return Not(_single(parse_condition(wanted, path, depth + 1)))
    if name in GROUPS:
        if not isinstance(wanted, list) or not 0 < len(wanted) <= MAX_PARTS:
            raise _refused(
                f"{path} = {wanted!r:.80}", f"a list of 1 to {MAX_PARTS} objects", "List so many conditions."
            )
        parts = (parse_condition(one, f"{path}[{place}]", depth + 1) for place, one in enumerate(wanted))
        group = tuple(_single(part) for part in parts)
        return AnyOf(group) if name == "any" else AllOf(group)
    if name == "price" or isinstance(wanted, Mapping):
        return Between(name, *_range(path, wanted)) if name not in TEXTS_ONLY else _texts(name, wanted, path)
    return _texts(name, wanted, path)


def _texts(name: str, wanted: object, path: str) -> OneOf:
    """A value or a list of them; numbers and booleans are spelt as the columns spell them."""
    values = wanted if isinstance(wanted, list) else [wanted]
    allowed: type | tuple[type, ...] = str if name in TEXTS_ONLY else (str, int, float, bool)
    if 0 < len(values) <= MAX_VALUES and all(isinstance(value, allowed) for value in values):
        return OneOf(name, tuple(_spelt(value) for value in values))
    raise _refused(
        f"{path} = {wanted!r:.80}", f"a text or a list of 1 to {MAX_VALUES:,} texts", "List the accepted values."
    )


def _spelt(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(int(value)) if math.isfinite(value) and float(value).is_integer() else repr(value)
    return str(value)


def _range(path: str, wanted: object) -> tuple[float, float]:
    if isinstance(wanted, Mapping) and wanted and set(wanted) <= {"min", "max"}:
        low, high = (_number(path, wanted.get(end)) for end in ("min", "max"))
        return (-math.inf if low is None else low), (math.inf if high is None else high)
    raise _refused(f"{path} = {wanted!r:.80}", 'an object with "min", "max" or both', "Give the range's ends.")


def _number(path: str, value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15:
        return float(value)
    raise _refused(f"{path} with the end {value!r:.80}", "a number below 1e15", "Send a number.")


def _single(condition: AllOf) -> Condition:
    return condition.parts[0] if len(condition.parts) == 1 else condition


def _names(parts: Sequence[Condition]) -> frozenset[str]:
    return frozenset(name for part in parts for name in part.names)


def _joined(word: str, parts: Sequence[Condition]) -> str:
    return parts[0].words if len(parts) == 1 else word.join(_bracketed(part) for part in parts)


def _bracketed(part: Condition) -> str:
    return f"({part.words})" if isinstance(part, AllOf | AnyOf) and len(part.parts) > 1 else part.words


def _range_words(between: Between) -> str:
    return f"{between.name} from {between.low:g} to {between.high:g}"


def _refused(found: str, expected: str, remedy: str) -> RequestError:
    return RequestError(f"{found}.", f"{expected}.", remedy)
