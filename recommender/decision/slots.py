"""From a plan to a slate, place by place: pins, caps and the quota hold, exploration draws with exact propensities.

A place's choices are what the plan still holds and the constraints allow there. They follow from the places
above alone, so the logged probability of each choice is exact, whatever was explored before.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from recommender.decision.policy import Choice, SlatePolicy, draw_place

__all__ = ["Cap", "Plan", "fill"]

PLANNED, PINNED, QUOTA, EXPLORED, QUOTA_EXPLORED = ".", "P", "Q", "E", "F"

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Cap:
    """At most `limit` items of one code; `codes` int32 (n), one a candidate, negative ones are not capped."""

    name: str
    limit: int
    codes: npt.NDArray[np.int32]


@dataclass(frozen=True)
class Plan:
    """What everything before exploration came to; enough, with policy and seed, to draw the slate again.

    `order` int64: rows of the candidates that may be shown, the best first. `pins`: place (from 0) → row,
    certain. `fresh` bool (n): candidates that count for the quota, of which each first p places
    hold at least ⌊`fresh_share` × p⌋ while any are left.
    """

    k: int
    order: Rows
    pins: Mapping[int, int] = field(default_factory=dict)
    caps: tuple[Cap, ...] = ()
    fresh: npt.NDArray[np.bool_] | None = None
    fresh_share: float = 0.0


class _Shelf:
    """The rows that may still be placed, in the plan's order: the policy's pool, and the rest behind it."""

    def __init__(self, plan: Plan, pool: int) -> None:
        # A pin counts from the start: what is shown above it must leave its place under the cap.
        self._room = [dict.fromkeys(cap.codes[plan.order].tolist(), cap.limit) for cap in plan.caps]
        self._codes = [cap.codes.tolist() for cap in plan.caps]
        pinned = set(plan.pins.values())
        rows: list[int] = plan.order.tolist()
        if pinned:
            rows = [row for row in rows if row not in pinned]
        self.pool: list[int] = rows[:pool]
        self.rest: list[int] = rows[pool:]
        for row in pinned:
            self._count(row)

    def choices(self, among: set[int] | None = None) -> list[int]:
        """What a place may show, planned first: what is left of the pool, else the first behind it, certain."""
        pool = self.pool if among is None else [row for row in self.pool if row in among]
        if pool:
            return pool
        return list(itertools.islice((row for row in self.rest if among is None or row in among), 1))

    def take(self, row: int) -> None:
        """Remove a row, and with it everything whose cap it fills."""
        (self.pool if row in self.pool else self.rest).remove(row)
        self._count(row)

    def _count(self, row: int) -> None:
        for room, codes in zip(self._room, self._codes, strict=True):
            code = codes[row]
            if code >= 0:
                room[code] = room.get(code, 0) - 1
                if room[code] <= 0:
                    self.pool = [other for other in self.pool if codes[other] != code]
                    self.rest = [other for other in self.rest if codes[other] != code]


def fill(plan: Plan, policy: SlatePolicy, seed: int) -> Choice:
    """Up to k rows of the plan with propensities; fewer where caps leave none. The same seed gives the same."""
    share, k = policy.exploration, plan.k
    draws = np.random.default_rng(seed).random((2, k)).tolist() if share else [[0.0] * k] * 2
    shelf = _Shelf(plan, policy.pool)
    fresh = set() if plan.fresh is None else set(np.flatnonzero(plan.fresh).tolist())
    rows: list[int] = []
    propensities: list[float] = []
    ways: list[str] = []
    n_fresh = 0
    for place in range(k):
        if place in plan.pins:
            row, propensity, way = plan.pins[place], 1.0, PINNED
        else:
            is_due = bool(fresh) and n_fresh < math.floor(plan.fresh_share * (place + 1) + 1e-9)
            choices = (shelf.choices(fresh) if is_due else []) or shelf.choices()
            if not choices:
                continue  # nothing is left for this place; a pin further down moves up
            which, propensity = draw_place(len(choices), share, draws[0][place], draws[1][place])
            row = choices[which]
            way = _way(which > 0, is_due and row != shelf.choices()[0] and row in fresh)
            shelf.take(row)
        rows.append(row)
        propensities.append(propensity)
        ways.append(way)
        n_fresh += row in fresh
    return Choice(np.array(rows, dtype=np.int64), np.array(propensities), "".join(ways))


def _way(is_explored: bool, is_quota: bool) -> str:
    if is_quota:
        return QUOTA_EXPLORED if is_explored else QUOTA
    return EXPLORED if is_explored else PLANNED
