"""What a placement is for: the KPI that an operator declares, and what each type of event is worth to it.

Labels, training, metrics and the gate read an objective; nothing is measured or trained here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from recommender.errors import InputError
from recommender.events import strength_of

__all__ = ["DEFAULT_OBJECTIVE", "KPIS", "OBJECTIVES", "Objective"]

KPIS = ("conversion", "revenue", "engagement", "retention")

# XGBoost's exponential gain, 2^label − 1, takes integers up to 31 (ranking_utils.h). A weight is at most 10, so that
# even with the most that spend adds (12: a purchase of 4,095 units) or a return (10) a label stays below.
MAX_WEIGHT = 10
MAX_SPEND_GRADES = 12

_WEIGHTS: dict[str, tuple[tuple[str, int], ...]] = {
    "conversion": (("add_to_cart", 2), ("purchase", 3)),
    "revenue": (("add_to_cart", 1), ("click", 0), ("purchase", 2), ("view", 0)),
    "engagement": (("add_to_cart", 2), ("bookmark", 3), ("click", 2), ("like", 3), ("purchase", 3), ("rating", 3)),
    "retention": (),
}


@dataclass(frozen=True)
class Objective:
    """An operator's aim in figures; equal objectives are equal values.

    `weights`: event type → integer grade (gain 2^grade − 1), 0 for what does not count, sorted by type. A type
    that is missing there gets `other` when its strength is positive and 0 otherwise (skip, dislike, refund …).
    `attribution_days`: how long an outcome counts for the decision it names.
    `spend_unit` (revenue): money; a purchase of u units is worth log2(1 + u) grades more, so its gain grows as spend.
    `return_grades` (retention): what an interaction gains when the person is back on a later day of the window.
    """

    name: str = "conversion"
    kpi: str = "conversion"
    weights: tuple[tuple[str, int], ...] = _WEIGHTS["conversion"]
    other: int = 1
    attribution_days: float = 7.0
    spend_unit: float = 1.0
    return_grades: int = 2

    def grade_of(self, event_type: str) -> int:
        """Grade of a type by itself, before spend and return; 0 when it says nothing positive for this aim."""
        declared = dict(self.weights).get(event_type)
        if declared is not None:
            return declared
        return self.other if strength_of(event_type) > 0 else 0

    @classmethod
    def of_kpi(cls, kpi: str, name: str = "") -> Self:
        """The default objective of a KPI; raises InputError for one that does not exist."""
        if kpi not in KPIS:
            raise _unusable(name or kpi, f"kpi {kpi!r}", f"one of {', '.join(KPIS)}")
        return cls(name=name or kpi, kpi=kpi, weights=_WEIGHTS[kpi], other=0 if kpi == "revenue" else 1)

    @classmethod
    def parse(cls, mapping: Mapping[str, Any], name: str = "") -> Self:
        """From an operator's words: `kpi` (required) and any of name, weights, other, attribution_days, spend_unit,
        return_grades. Given `weights` change single types of the KPI's defaults. Raises InputError with a sentence.
        """
        if not isinstance(mapping, Mapping):
            raise _unusable(name or "?", f"{mapping!r}", "keys with values, `kpi` among them")
        name = str(mapping.get("name", name) or mapping.get("kpi", ""))
        known = ("name", "kpi", "weights", "other", "attribution_days", "spend_unit", "return_grades")
        if strange := sorted(str(key) for key in mapping if key not in known):
            raise _unusable(name, f"the key {strange[0]!r}", f"only {', '.join(known)}")
        if "kpi" not in mapping:
            raise _unusable(name, "no kpi", f"one of {', '.join(KPIS)}")
        base = cls.of_kpi(str(mapping["kpi"]), name)
        found = cls(
            name=base.name,
            kpi=base.kpi,
            weights=_weights(name, base.weights, mapping.get("weights", {})),
            other=_grade(name, "other", mapping.get("other", base.other)),
            attribution_days=_positive(name, "attribution_days", mapping.get("attribution_days", 7.0)),
            spend_unit=_positive(name, "spend_unit", mapping.get("spend_unit", 1.0)),
            return_grades=_grade(name, "return_grades", mapping.get("return_grades", 2)),
        )
        if not found.other and not any(grade for _, grade in found.weights):
            raise _unusable(name, "weights that are all 0", "at least one event type that counts")
        return found

    def as_json(self) -> dict[str, Any]:
        """Plain values that `parse` reads back to an equal objective."""
        return {
            "name": self.name,
            "kpi": self.kpi,
            "weights": dict(self.weights),
            "other": self.other,
            "attribution_days": self.attribution_days,
            "spend_unit": self.spend_unit,
            "return_grades": self.return_grades,
        }


def _weights(name: str, defaults: tuple[tuple[str, int], ...], given: Any) -> tuple[tuple[str, int], ...]:
    if not isinstance(given, Mapping):
        raise _unusable(name, f"weights {given!r}", "event types with whole numbers")
    own = {str(kind): _grade(name, f"the weight of {kind}", value) for kind, value in given.items()}
    return tuple(sorted((dict(defaults) | own).items()))


def _grade(name: str, what: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_WEIGHT:
        raise _unusable(name, f"{what} {value!r}", f"a whole number from 0 to {MAX_WEIGHT}")
    return int(value)


def _positive(name: str, what: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not (0 < value < math.inf):
        raise _unusable(name, f"{what} {value!r}", "a number above 0")
    return float(value)


def _unusable(name: str, found: str, expected: str) -> InputError:
    return InputError(f"the objective {name!r} with {found}.", f"{expected}.", "correct the objective.")


OBJECTIVES: dict[str, Objective] = {kpi: Objective.of_kpi(kpi) for kpi in KPIS}
DEFAULT_OBJECTIVE = OBJECTIVES["conversion"]
