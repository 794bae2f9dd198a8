"""The placements a shop has and how each wants its slate. Nothing is decided here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from recommender.decision.policy import SlatePolicy

__all__ = ["PLACEMENTS", "Placement"]


@dataclass(frozen=True)
class Placement:
    """One place where slates are shown.

    `bought`: whether items the person has bought already may appear ("allowed"), must not ("never")
    or are the only ones that may ("only"). `hides_context`: items named as context (the product
    looked at, the cart's content) stay out of the slate.
    """

    name: str
    default_k: int = 10
    max_k: int = 100
    bought: str = "allowed"
    hides_context: bool = True
    policy: SlatePolicy = field(default_factory=lambda: SlatePolicy(exploration=0.1))


def _by_name(*placements: Placement) -> Mapping[str, Placement]:
    return MappingProxyType({placement.name: placement for placement in placements})


PLACEMENTS: Mapping[str, Placement] = _by_name(
    Placement("home", default_k=10),
    Placement("product", default_k=8),
    Placement("cart", default_k=6),
    # A mail cannot be corrected once sent: less is tried in it.
    Placement("email", default_k=6, policy=SlatePolicy(exploration=0.05)),
    Placement("buy_again", default_k=10, bought="only", policy=SlatePolicy()),
    Placement("discover", default_k=10, bought="never", policy=SlatePolicy(exploration=0.2)),
)
