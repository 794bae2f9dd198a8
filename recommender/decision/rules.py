"""Hard filters: which candidates must not be shown, counted by reason. Scores play no part here."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recommender.errors import RequestError
from recommender.states import ItemTable

__all__ = ["Filter", "Rules", "bought_items"]

TEXT_ATTRIBUTES = ("brand", "category", "tags")  # a list of accepted values; one of an item's tags is enough
RANGE_ATTRIBUTES = {"price": ("price_micros", 1_000_000)}  # attribute → column and the units in one


@dataclass(frozen=True)
class Filter:
    """What a request asks of every item: novel only, accepted texts, ranges (inclusive) in natural units."""

    novel: bool = False
    texts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    @classmethod
    def parse(cls, body: object) -> Filter:
        """Read `{"novel": true, "category": ["a", "b"], "price": {"min": 1, "max": 5}}`.

        Raises RequestError for attributes nobody knows and for values of another shape.
        """
        if not isinstance(body, dict):
            raise _refused(f"filter of type {type(body).__name__}", "an object", "Send an object, or leave it out.")
        novel, texts, ranges = False, {}, {}
        for name, wanted in body.items():
            if name == "novel":
                novel = _flag(wanted)
            elif name in TEXT_ATTRIBUTES:
                texts[name] = _accepted(name, wanted)
            elif name in RANGE_ATTRIBUTES:
                ranges[name] = _range(name, wanted)
            else:
                known = ", ".join(["novel", *TEXT_ATTRIBUTES, *RANGE_ATTRIBUTES])
                raise _refused(f"filter by unknown attribute {name!r}", f"one of {known}", "Rename or remove it.")
        return cls(novel, texts, ranges)


@dataclass(frozen=True)
class Rules:
    """Everything that can keep an item off a slate; `allowed` applies it in the order of the fields."""

    excluded: Sequence[str] = ()
    context_items: Sequence[str] = ()  # hidden from the slate
    bought: Sequence[str] = ()
    bought_mode: str = "allowed"  # see Placement.bought
    filter: Filter = field(default_factory=Filter)

    @property
    def wants_novel(self) -> bool:
        """Whether nothing that was bought may be shown."""
        return self.filter.novel or self.bought_mode == "never"

    def allowed(
        self, items: ItemTable, item_index: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.bool_], dict[str, int]]:
        """Mask over candidates (n), and how many each rule removed; an item counts for the first that does."""
        mask = np.ones(len(item_index), dtype=bool)
        verdicts: dict[str, int] = {}
        for rule, passes in self._verdicts(items, item_index):
            removed = int((mask & ~passes).sum())
            if removed:
                verdicts[rule] = removed
                mask &= passes
        return mask, verdicts

    def _verdicts(self, items: ItemTable, item_index: npt.NDArray[np.int64]) -> list[tuple[str, npt.NDArray[np.bool_]]]:
        found = [("unavailable", items.integers("is_available")[item_index] != 0)]
        for rule, ids in (("excluded", self.excluded), ("in_context", self.context_items)):
            if ids:
                found.append((rule, ~np.isin(item_index, items.positions(ids))))
        if self.wants_novel or self.bought_mode == "only":
            owned = np.isin(item_index, items.positions(self.bought))
            found += [("not_novel", ~owned)] if self.wants_novel else []
            found += [("never_bought", owned)] if self.bought_mode == "only" else []
        rows = pa.array(item_index)
        for name, wanted in self.filter.texts.items():
            found.append((name, _has_text(items.table[name].take(rows), wanted, is_list=name == "tags")))
        for name, (low, high) in self.filter.ranges.items():
            column, unit = RANGE_ATTRIBUTES[name]
            values = items.integers(column)[item_index] / unit
            found.append((name, (low <= values) & (values <= high)))
        return found


def bought_items(state: Mapping[str, Any]) -> list[str]:
    """Items of a user state that were bought at least once."""
    pairs = zip(state["history_item_ids"], state["history_purchase_counts"], strict=True)
    return [item_id for item_id, count in pairs if count > 0]


def _has_text(values: pa.ChunkedArray, wanted: Sequence[str], is_list: bool) -> npt.NDArray[np.bool_]:
    if not is_list:
        found = pc.is_in(values, value_set=pa.array(wanted, pa.string()))
        return np.asarray(found.to_numpy(), dtype=bool)
    accepted = set(wanted)
    tags = [{tag.strip() for tag in (text or "").split(",")} for text in values.to_pylist()]
    return np.fromiter((not accepted.isdisjoint(of_item) for of_item in tags), dtype=bool, count=len(tags))


def _flag(wanted: object) -> bool:
    if isinstance(wanted, bool):
        return wanted
    raise _refused(f"filter.novel = {wanted!r:.80}", "true or false", "Send a boolean.")


def _accepted(name: str, wanted: object) -> tuple[str, ...]:
    values = [wanted] if isinstance(wanted, str) else wanted
    if isinstance(values, list) and values and all(isinstance(value, str) for value in values):
        return tuple(values)
    raise _refused(f"filter.{name} = {wanted!r:.80}", "a text or a list of texts", "List the accepted values.")


def _range(name: str, wanted: object) -> tuple[float, float]:
    if isinstance(wanted, dict) and wanted and set(wanted) <= {"min", "max"}:
        low, high = (_number(name, wanted.get(end)) for end in ("min", "max"))
        return (-math.inf if low is None else low), (math.inf if high is None else high)
    raise _refused(f"filter.{name} = {wanted!r:.80}", 'an object with "min", "max" or both', "Give the range's ends.")


def _number(name: str, value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15:
        return float(value)
    raise _refused(f"filter.{name} with the end {value!r:.80}", "a number below 1e15", "Send a number.")


def _refused(found: str, expected: str, remedy: str) -> RequestError:
    return RequestError(f"{found}.", f"{expected}.", remedy)
