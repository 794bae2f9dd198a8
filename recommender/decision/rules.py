"""Hard filters: which candidates must not be shown, and by which rule each went. Scores play no part here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from recommender.attributes import attributes_of
from recommender.conditions import AllOf, AnyOf, Between, Condition, Not, OneOf, parse_condition
from recommender.errors import RequestError
from recommender.states import ItemTable

__all__ = ["Filter", "Rules", "Verdicts", "bought_items"]

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Filter:
    """What a request asks of every item: novel only, and conditions on attributes."""

    novel: bool = False
    condition: AllOf = field(default_factory=AllOf)

    @classmethod
    def parse(cls, body: object, where: str = "filter") -> Filter:
        """Read `{"novel": true, "category": ["a", "b"], "price": {"min": 1, "max": 5}, "not": {…}, "any": […]}`.

        Raises RequestError for values of another shape; whether the catalogue has an attribute is not known here.
        """
        if not isinstance(body, Mapping):
            return cls(False, parse_condition(body, where))
        novel = body.get("novel", False)
        if not isinstance(novel, bool):
            raise RequestError(f"{where}.novel = {novel!r:.80}.", "true or false.", "Send a boolean.")
        return cls(novel, parse_condition({name: wanted for name, wanted in body.items() if name != "novel"}, where))


@dataclass(frozen=True)
class Verdicts:
    """`removed_by` int64 (n): 0 for what may be shown, else 1 + the place in `rules` of the first that said no."""

    rules: tuple[str, ...]
    removed_by: npt.NDArray[np.int64]

    @property
    def allowed(self) -> Mask:
        return np.asarray(self.removed_by == 0)

    def counts(self) -> dict[str, int]:
        """Rule → how many candidates it removed; rules that removed none are left out."""
        found = np.bincount(self.removed_by, minlength=len(self.rules) + 1)[1:].tolist()
        return {rule: count for rule, count in zip(self.rules, found, strict=True) if count}

    def also_allowed(self, n: int) -> Verdicts:
        """With `n` more candidates, which were judged before, behind these."""
        return Verdicts(self.rules, np.concatenate([self.removed_by, np.zeros(n, np.int64)]))


@dataclass(frozen=True)
class Rules:
    """Everything that can keep an item off a slate; `judge` applies it in the order of the fields.

    `placement_filter` is the operator's, `filter` the request's; `must` are needs that are kept, with their place.
    """

    excluded: Sequence[str] = ()
    context_items: Sequence[str] = ()  # hidden from the slate
    bought: Sequence[str] = ()
    bought_mode: str = "allowed"  # see Placement.bought
    placement_filter: AllOf = field(default_factory=AllOf)
    filter: Filter = field(default_factory=Filter)
    must: tuple[tuple[int, Condition], ...] = ()

    @property
    def wants_novel(self) -> bool:
        """Whether nothing that was bought may be shown."""
        return self.filter.novel or self.bought_mode == "never"

    def judge(self, items: ItemTable, item_index: npt.NDArray[np.int64]) -> Verdicts:
        """The verdict on each candidate; an item goes by the first rule that it does not pass."""
        removed_by = np.zeros(len(item_index), dtype=np.int64)
        names = []
        for name, passes in self._verdicts(items, item_index):
            names.append(name)
            removed_by[(removed_by == 0) & ~passes] = len(names)
        return Verdicts(tuple(names), removed_by)

    def _verdicts(self, items: ItemTable, item_index: npt.NDArray[np.int64]) -> Iterator[tuple[str, Mask]]:
        yield "unavailable", items.integers("is_available")[item_index] != 0
        for name, ids in (("excluded", self.excluded), ("in_context", self.context_items)):
            if ids:
                yield name, ~np.isin(item_index, items.positions(ids))
        if self.wants_novel or self.bought_mode == "only":
            owned = np.isin(item_index, items.positions(self.bought))
            if self.wants_novel:
                yield "not_novel", ~owned
            if self.bought_mode == "only":
                yield "never_bought", owned
        attributes = attributes_of(items)
        for part in self.placement_filter.parts:
            yield f"placement.{_label(part)}", part.holds(attributes, item_index)
        for part in self.filter.condition.parts:
            yield _label(part), part.holds(attributes, item_index)
        for place, part in self.must:
            yield f"needs.{place + 1}", part.holds(attributes, item_index)


def bought_items(state: Mapping[str, Any]) -> list[str]:
    """Items of a user state that were bought at least once."""
    pairs = zip(state["history_item_ids"], state["history_purchase_counts"], strict=True)
    return [item_id for item_id, count in pairs if count > 0]


def _label(part: Condition) -> str:
    """The key that a part has in its object."""
    if isinstance(part, OneOf | Between):
        return part.name
    return "not" if isinstance(part, Not) else "any" if isinstance(part, AnyOf) else "all"
