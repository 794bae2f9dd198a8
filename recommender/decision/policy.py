"""How much a slate explores, with exact propensities, one place at a time. No rule is applied here."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Choice", "SlatePolicy", "draw_place", "seed_of"]

DEFAULT_POOL = 50


@dataclass(frozen=True)
class Choice:
    """An ordered choice among candidates, first shown first.

    `rows` int64 (k): which candidate; `propensities` float64 (k): probability with which the policy
    chose it at its position, given the positions before. Their product is the slate's propensity.
    `ways` names, a letter a place, how it was filled (see `slots`).
    """

    rows: npt.NDArray[np.int64]
    propensities: npt.NDArray[np.float64]
    ways: str = ""


@dataclass(frozen=True)
class SlatePolicy:
    """`exploration`: the share of places that show something else than planned; it is tried among the plan's
    first `pool`. 0 means greedy.
    """

    exploration: float = 0.0
    pool: int = DEFAULT_POOL

    @property
    def name(self) -> str:
        """Name with every parameter: what the record keeps, enough to recompute propensities."""
        # repr, not :g: a replay draws with the very same share.
        return f"explore_slots({self.exploration!r},{self.pool})" if self.exploration else "greedy"

    @classmethod
    def named(cls, name: str) -> SlatePolicy:
        """The policy of a record; ValueError for a name that is not one of these."""
        if name == "greedy":
            return cls()
        kind, _, rest = name.partition("(")
        share, _, pool = rest.rstrip(")").partition(",")
        if kind != "explore_slots":
            raise ValueError(f"no policy of slates is called {name!r}")
        return cls(float(share), int(pool))


def seed_of(decision_id: str) -> int:
    """A stable hash of the id below 2^63: one decision's randomness depends on nothing but its id."""
    digest = hashlib.blake2b(decision_id.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") & (2**63 - 1)


def draw_place(m: int, share: float, first: float, second: float) -> tuple[int, float]:
    """One of m ≥ 1 ordered choices, by two uniform numbers in [0, 1): its place and the probability of that place.

    Place 0, as planned, has probability 1 − s, each other s / (m − 1), where s is the share, at most
    (m − 1)/m: then all are equally likely. So the expected share of other places is the one asked for.
    """
    if m == 1 or not share:
        return 0, 1.0
    others = min(share, (m - 1) / m)
    if first >= others:
        return 0, 1.0 - others
    return 1 + min(int(second * (m - 1)), m - 2), others / (m - 1)
