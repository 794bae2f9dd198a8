"""Explicit needs answered by filter and additive utility, with the reason for each item. No person and no model here.

The family that works for somebody nobody has ever seen: what is asked for is all it looks at
(multi-attribute utility: Keeney & Raiffa, Decisions with Multiple Objectives, 1976; knowledge-based
recommendation with relaxation: Felfernig & Burke, ICEC 2008).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from recommender.attributes import Attributes
from recommender.conditions import Between, Condition, parse_condition
from recommender.errors import RequestError

__all__ = ["Needs", "Preference", "Wish", "reason"]

Rows = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

MAX_MUST = 20
MAX_NICE = 30
MAX_NEEDS = 60  # in all: a mask of 64 bits says which are met
MAX_WEIGHT = 1_000.0
FIELDS = ("budget", "must", "nice", "price_importance")
WORDS_LENGTH = 80  # of one wish, in reasons and records


@dataclass(frozen=True)
class Wish:
    """Something nice to have: met or not."""

    condition: Condition
    weight: float = 1.0

    @property
    def words(self) -> str:
        return f"{self.condition.words:.{WORDS_LENGTH}}"

    def utility(self, attributes: Attributes, rows: Rows) -> npt.NDArray[np.float64]:
        return self.condition.holds(attributes, rows).astype(np.float64)


@dataclass(frozen=True)
class Preference:
    """The more (or the less) of a number the better: the share of the catalogue's known values that it beats or equals.

    A share, because it needs no scale, no outlier bends it, and an item's utility depends on no other candidate.
    """

    attribute: str
    wants_more: bool
    weight: float = 1.0

    @property
    def words(self) -> str:
        return f"{'high' if self.wants_more else 'low'} {self.attribute:.{WORDS_LENGTH}}"

    def utility(self, attributes: Attributes, rows: Rows) -> npt.NDArray[np.float64]:
        column = attributes.column(self.attribute)
        if column is None or column.numbers is None:
            return np.zeros(len(rows))
        known, values = column.sorted_numbers, column.numbers[rows]
        if self.wants_more:
            share = np.searchsorted(known, values, side="right") / max(len(known), 1)
        else:
            share = 1.0 - np.searchsorted(known, values, side="left") / max(len(known), 1)
        return np.asarray(np.where(np.isnan(values), 0.0, share))


@dataclass(frozen=True)
class Needs:
    """What somebody asks for. `must`: from the most to the least important; the budget is the first of them.

    `price_importance`: weight of a low price beside the wishes; 0 means that anything within the budget is as good.
    """

    must: tuple[Condition, ...] = ()
    nice: tuple[Wish | Preference, ...] = ()
    price_importance: float = 0.0
    budget: Between | None = None

    @classmethod
    def parse(cls, body: object, where: str = "needs") -> Needs:
        """Read `{"budget": 50, "must": [{…}, …], "nice": [{"when": {…}, "weight": 2}, {"prefer": "high", "attribute":
        "battery_hours"}], "price_importance": 1}`; raises RequestError with a sentence.
        """
        if not isinstance(body, Mapping):
            raise _refused(f"{where} of type {type(body).__name__}", "an object", "Send an object, or leave it out.")
        for name in body:
            if name not in FIELDS:
                raise _refused(
                    f"{where} with the unknown field {name!r:.80}", f"one of {', '.join(FIELDS)}", "Rename it."
                )
        budget = _budget(body.get("budget"), f"{where}.budget")
        must = _listed(body.get("must"), f"{where}.must", MAX_MUST)
        parts = [
            part for place, one in enumerate(must) for part in parse_condition(one, f"{where}.must[{place}]").parts
        ]
        nice = _listed(body.get("nice"), f"{where}.nice", MAX_NICE)
        importance = _weight(body.get("price_importance", 0.0), f"{where}.price_importance", may_be_zero=True)
        needs = cls(
            must=((budget,) if budget else ()) + tuple(parts),
            nice=tuple(_nice(one, f"{where}.nice[{place}]") for place, one in enumerate(nice)),
            price_importance=importance,
            budget=budget,
        )
        if len(needs.words) > MAX_NEEDS:
            raise _refused(f"{where} of {len(needs.words)} conditions", f"at most {MAX_NEEDS}", "Ask for less at once.")
        if not needs.must and not needs.nice and not importance:
            raise _refused(f"{where} that say nothing", f"at least one of {', '.join(FIELDS)}", "Say what is needed.")
        return needs

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """Everything that names attributes."""
        wishes = tuple(wish.condition for wish in self.nice if isinstance(wish, Wish))
        preferences = (Between(p.attribute, -math.inf, math.inf) for p in self.nice if isinstance(p, Preference))
        return (*self.must, *wishes, *preferences)

    @cached_property
    def words(self) -> tuple[str, ...]:
        """Every need in words: the musts, then the wishes, then a low price where it counts."""
        must = tuple(f"{part.words:.{WORDS_LENGTH}}" for part in self.must)
        return must + tuple(wish.words for wish in self.nice) + (("low price",) if self.price_importance else ())

    def kept(self, attributes: Attributes, rows: Rows) -> tuple[int, ...]:
        """Places of the musts that some item at `rows` meets together; the others are given up.

        From the most important on, each is kept if anything is left with it: a lesser must never costs a greater one.
        """
        fits, kept = np.ones(len(rows), dtype=bool), []
        for place, part in enumerate(self.must):
            narrowed = fits & part.holds(attributes, rows)
            if narrowed.any():
                fits = narrowed
                kept.append(place)
        return tuple(kept)

    def utility(self, attributes: Attributes, rows: Rows) -> npt.NDArray[np.float32]:
        """Σ weight × utility of each wish / Σ weights, float32 (n) from 0 to 1; 1 where nothing is wished.

        Musts count as wishes of weight 1: once some are given up, what meets more of them still goes first.
        """
        total, weights = np.zeros(len(rows)), 0.0
        for wish in (*self.nice, *(Wish(part) for part in self.must)):
            total += wish.weight * wish.utility(attributes, rows)
            weights += wish.weight
        if self.price_importance:
            total += self.price_importance * self._cheapness(attributes, rows)
            weights += self.price_importance
        return np.asarray(total / weights, dtype=np.float32)

    def best(self, attributes: Attributes, rows: Rows, popularity: npt.NDArray[np.float64], limit: int) -> Rows:
        """The `limit` items at `rows` of highest utility, then of highest `popularity` (n); highest first."""
        # Popularity decides below float32's resolution: one partition instead of a sort of the whole catalogue.
        key = self.utility(attributes, rows) + 1e-7 * popularity / max(float(popularity.max(initial=0.0)), 1e-12)
        place = np.argpartition(-key, limit)[:limit] if limit < len(rows) else np.arange(len(rows))
        place = place[np.lexsort((rows[place], -key[place]))]
        return np.asarray(rows[place])

    def met(self, attributes: Attributes, rows: Rows) -> list[int]:
        """For each item at `rows` a bit mask over `words`: which needs it meets (a preference from a half up)."""
        wishes = (*(Wish(part) for part in self.must), *self.nice)
        holds = [wish.utility(attributes, rows) >= 0.5 for wish in wishes]
        if self.price_importance:
            holds.append(self._cheapness(attributes, rows) >= 0.5)
        mask = np.zeros(len(rows), dtype=np.int64)
        for bit, one in enumerate(holds):
            mask |= one.astype(np.int64) << bit
        return [int(one) for one in mask]

    def _cheapness(self, attributes: Attributes, rows: Rows) -> npt.NDArray[np.float64]:
        """From 0 at the budget's end to 1 at its beginning; without one the share of the catalogue that costs more."""
        if self.budget is None or self.budget.high == math.inf:
            return Preference("price", wants_more=False).utility(attributes, rows)
        low, high = max(self.budget.low, 0.0), self.budget.high
        prices = attributes.prices[rows]
        share = (high - prices) / (high - low) if high > low else (prices <= high).astype(np.float64)
        return np.asarray(np.where(np.isnan(prices), 0.0, np.clip(share, 0.0, 1.0)))


def reason(words: Sequence[str], met: int, given_up: Sequence[int] = ()) -> str:
    """Why an item answers needs: what it meets, what it does not, and which musts were given up for everybody."""
    yes = [word for bit, word in enumerate(words) if met >> bit & 1]
    no = [word for bit, word in enumerate(words) if not met >> bit & 1 and bit not in given_up]
    lost = [words[bit] for bit in given_up if not met >> bit & 1]
    parts = [f"meets {', '.join(yes)}" if yes else "meets none of the wishes"]
    parts += [f"not {', '.join(no)}"] if no else []
    parts += [f"given up, because nothing had it together with the rest: {', '.join(lost)}"] if lost else []
    return "; ".join(parts)


def _budget(value: object, where: str) -> Between | None:
    if value is None:
        return None
    body = {"max": value} if isinstance(value, int | float) and not isinstance(value, bool) else value
    (part,) = parse_condition({"price": body}, where).parts
    assert isinstance(part, Between)
    if part.low > part.high:
        raise _refused(f"{where} from {part.low:g} to {part.high:g}", "a minimum below the maximum", "Swap them.")
    return part


def _listed(value: object, where: str, limit: int) -> list[Any]:
    found = [] if value is None else [value] if isinstance(value, Mapping) else value
    if not isinstance(found, list) or len(found) > limit:
        raise _refused(f"{where} = {value!r:.80}", f"a list of at most {limit} objects", "List the conditions.")
    return found


def _nice(one: object, where: str) -> Wish | Preference:
    if not isinstance(one, Mapping):
        raise _refused(f"{where} = {one!r:.80}", "an object", 'Send {"when": {…}, "weight": 2}.')
    weight = _weight(one.get("weight", 1.0), f"{where}.weight")
    if set(one) <= {"when", "weight"} and "when" in one:
        condition = parse_condition(one["when"], f"{where}.when")
        return Wish(condition.parts[0] if len(condition.parts) == 1 else condition, weight)
    if set(one) <= {"prefer", "attribute", "weight"} and one.get("prefer") in ("high", "low"):
        name = one.get("attribute")
        if isinstance(name, str) and name:
            return Preference(name, one["prefer"] == "high", weight)
    raise _refused(
        f"{where} = {dict(one)!r:.80}",
        'either {"when": {…}} or {"prefer": "high" or "low", "attribute": name}, each with a weight if need be',
        "Write it in one of the two forms.",
    )


def _weight(value: object, where: str, may_be_zero: bool = False) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and 0 <= value <= MAX_WEIGHT and (value > 0 or may_be_zero):  # type: ignore[operator]
        return float(value)  # type: ignore[arg-type]
    raise _refused(f"{where} = {value!r:.80}", f"a number above 0, at most {MAX_WEIGHT:g}", "Send one.")


def _refused(found: str, expected: str, remedy: str) -> RequestError:
    return RequestError(f"{found}.", f"{expected}.", remedy)
