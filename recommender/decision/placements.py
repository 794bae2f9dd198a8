"""The placements a shop has and how each wants its slate. Nothing is decided here, and no file is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from recommender.conditions import AllOf
from recommender.decision.policy import SlatePolicy

__all__ = ["BOUGHT_MODES", "KNOWLEDGE", "PLACEMENTS", "RANK_BY", "Boost", "Diversity", "Freshness", "Pin", "Placement"]

BOUGHT_MODES = ("allowed", "never", "only")
RANK_BY = ("model", "generator")
KNOWLEDGE = "knowledge"  # the generator that answers explicit needs; it looks at no model


@dataclass(frozen=True)
class Diversity:
    """`weight` is what being unlike the items above counts beside relevance (MMR's 1 − λ; 0: not at all); at most so
    many items of a category and of a brand in one slate (None: no cap). Unknown categories and brands are not capped.
    """

    weight: float = 0.0
    max_per_category: int | None = None
    max_per_brand: int | None = None


@dataclass(frozen=True)
class Boost:
    """Relevance, 0 to 1 over the candidates, × `multiply` + `add` for items that meet `when`."""

    when: AllOf
    multiply: float = 1.0
    add: float = 0.0


@dataclass(frozen=True)
class Pin:
    """An item at a fixed position (first is 1) from `from_ms` until before `until_ms`, if the hard filters let it."""

    item_id: str
    position: int
    from_ms: int | None = None
    until_ms: int | None = None

    def is_valid(self, at_ms: int) -> bool:
        return (self.from_ms or 0) <= at_ms and (self.until_ms is None or at_ms < self.until_ms)


@dataclass(frozen=True)
class Freshness:
    """Of the first n places at least ⌊share × n⌋ go to items listed in the last `days` with at most `max_events`."""

    share: float
    days: float = 14.0
    max_events: int = 20


@dataclass(frozen=True)
class Placement:
    """One place where slates are shown.

    `generators`: who proposes candidates (None: all). `rank_by`: the hybrid "model", or "generator", the score
    of the one generator named. `filter`: what every item must meet. `bought`: whether items the person has
    bought already may appear ("allowed"), must not ("never") or are the only ones that may ("only").
    `hides_context`: items named as context (the product looked at, the cart's content) stay out of the
    slate. `requires`: fields that a request must bring. `objective`: the name of what it is trained for.
    """

    name: str
    default_k: int = 10
    max_k: int = 100
    generators: tuple[str, ...] | None = None
    rank_by: str = "model"
    filter: AllOf = field(default_factory=AllOf)
    bought: str = "allowed"
    hides_context: bool = True
    requires: tuple[str, ...] = ()
    objective: str = "conversion"
    diversity: Diversity = field(default_factory=Diversity)
    boosts: tuple[Boost, ...] = ()
    pins: tuple[Pin, ...] = ()
    freshness: Freshness | None = None
    policy: SlatePolicy = field(default_factory=lambda: SlatePolicy(exploration=0.1))


def _by_name(*placements: Placement) -> Mapping[str, Placement]:
    return MappingProxyType({placement.name: placement for placement in placements})


GREEDY = SlatePolicy()

# An older bundle may lack a generator named here; then the others propose, and if none is left, all.
PLACEMENTS: Mapping[str, Placement] = _by_name(
    Placement("home", default_k=10),
    Placement("product", default_k=8),
    Placement("product_similar", default_k=8, generators=("like_recent",), policy=SlatePolicy(0.05)),
    Placement(
        "product_bought_together",
        default_k=4,
        generators=("bought_together", "session", "covisitation"),
        policy=SlatePolicy(0.05),
    ),
    Placement("cart", default_k=6),
    # A mail cannot be corrected once sent: less is tried in it. No caps are shipped: in a shop of one category, or
    # under a filter by category, a cap of three would end every slate at three.
    Placement("email", default_k=6, diversity=Diversity(weight=0.1), policy=SlatePolicy(exploration=0.05)),
    Placement("category", default_k=24, requires=("filter",)),
    Placement("rerank", default_k=20, requires=("candidates",), hides_context=False, policy=GREEDY),
    Placement("buy_again", default_k=10, bought="only", policy=GREEDY),
    Placement(
        "discover", default_k=10, bought="never", diversity=Diversity(weight=0.2), policy=SlatePolicy(exploration=0.2)
    ),
    Placement("needs", default_k=10, generators=(KNOWLEDGE,), rank_by="generator", requires=("needs",), policy=GREEDY),
)
