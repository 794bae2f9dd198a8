"""The bundles a worker holds, and which answers: champion, canary, the one before as a way back. None is loaded."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from recommender.decision.pool import POPULAR
from recommender.decision.protocols import Scorer, Scoring
from recommender.decision.record import Decision
from recommender.decision.scoring import decided_together
from recommender.errors import InputError
from services import metrics
from services.health import Health
from services.release import gets_canary
from services.shadow import Shadow

__all__ = ["CHALLENGER", "CHAMPION", "Asked", "Lane", "Lineup", "Make"]

CHAMPION, CHALLENGER = "champion", "challenger"

# Decides one request with a scorer, as a variant, degraded or not: whatever else it needs, its maker has bound.
Make = Callable[[Scorer, str, bool], Decision]


@dataclass(frozen=True)
class Asked:
    """One request on its way to a decision: `make` decides it alone, `begin` as far as its first scores, so that those
    of several can be made together."""

    subject: str
    decision_id: str
    make: Make
    begin: Callable[[Scorer, str, bool], Scoring[Decision]]
    is_degraded: bool


@dataclass(frozen=True)
class Lane:
    """One loaded bundle, how it does, and its latest requests, on which it can be timed beside another."""

    scorer: Scorer
    health: Health
    since: float = field(default_factory=time.monotonic)
    recent: deque[Make] = field(default_factory=lambda: deque(maxlen=6))

    @property
    def version(self) -> str:
        return self.scorer.version


@dataclass(frozen=True)
class Lineup:
    """What answers at a moment; replaced as a whole, so that a request sees one line-up from beginning to end.

    `spare` is the last good bundle, kept until the champion has proven itself.
    """

    champion: Lane
    spare: Lane | None = None
    challenger: Lane | None = None
    canary_share: float = 0.0
    shadow_share: float = 0.0

    def decide(self, subject: str, decision_id: str, make: Make, is_degraded: bool, shadow: Shadow) -> Decision:
        """The champion's answer, or the challenger's for the people of the canary; a failing bundle's comes from the
        one before it, degraded, and is held against it. Raises what `make` raises for a bad request."""
        lane, variant, behind = self._way(subject)
        started = time.perf_counter()
        try:
            made: Decision | Exception = make(lane.scorer, variant, is_degraded)
        except Exception as problem:
            made = problem
        decision = _settled(lane, variant, behind, make, made, time.perf_counter() - started)
        self._shadow(decision_id, variant, decision, make, shadow)
        return decision

    def decide_together(
        self, asked: Sequence[Asked], over: Callable[[Scorer], Scorer], shadow: Shadow
    ) -> list[Decision | Exception]:
        """`decide` for each, or what it would raise. `over` gives a bundle as it is served now."""
        found: dict[int, Decision | Exception] = {}
        ways = [self._way(one.subject) for one in asked]
        for variant in dict.fromkeys(way[1] for way in ways):
            places = [place for place, way in enumerate(ways) if way[1] == variant]
            lane, _, behind = ways[places[0]]
            started = time.perf_counter()
            begun = [asked[place].begin(lane.scorer, variant, asked[place].is_degraded) for place in places]
            outcomes = decided_together(begun, over(lane.scorer))
            seconds = (time.perf_counter() - started) / len(places)
            for place, made in zip(places, outcomes, strict=True):
                one = asked[place]
                try:
                    decision = _settled(lane, variant, behind, one.make, made, seconds)
                    self._shadow(one.decision_id, variant, decision, one.make, shadow)
                    found[place] = decision
                except Exception as problem:
                    found[place] = problem
        return [found[place] for place in range(len(asked))]

    def _way(self, subject: str) -> tuple[Lane, str, Lane | None]:
        """Which bundle answers this person, as what, and which one stands behind it."""
        if self.challenger is not None and gets_canary(subject, self.challenger.version, self.canary_share):
            return self.challenger, CHALLENGER, self.champion
        return self.champion, CHAMPION, self.spare

    def _shadow(self, decision_id: str, variant: str, decision: Decision, make: Make, shadow: Shadow) -> None:
        on_trial = self.challenger if variant == CHAMPION else None
        # By the decision's id, not the person's: everybody has a part in the comparison.
        if on_trial is not None and gets_canary(decision_id, on_trial.version, self.shadow_share):
            shadow.offer(decision, lambda: _tried(on_trial, make))


def _settled(
    lane: Lane, variant: str, behind: Lane | None, make: Make, made: Decision | Exception, seconds: float
) -> Decision:
    """What a bundle made, or failed to, held for or against it; a failure is answered by the one behind it."""
    if isinstance(made, InputError):
        raise made
    # A failure is not even its popular items: the one behind it may still answer.
    decision = made if isinstance(made, Decision) else None
    if decision is not None and decision.tier != POPULAR:
        lane.recent.append(make)
        lane.health.answered(decision, seconds)
        return decision
    if behind is not None:
        # Held against the bundle only if another one can: a request that nobody can answer accuses nobody.
        again = make(behind.scorer, CHAMPION, True)
        if again.tier != POPULAR or decision is None:
            lane.health.failed(seconds)
            metrics.observe_fallback(variant)
            return again
    else:
        lane.health.unscored(seconds)
    if isinstance(made, Exception):
        raise made
    return made


def _tried(lane: Lane, make: Make) -> Decision | None:
    """The challenger's answer that is not shown; None where it failed."""
    started = time.perf_counter()
    decision = make(lane.scorer, CHALLENGER, False)
    seconds = time.perf_counter() - started
    if decision.tier == POPULAR:
        lane.health.failed(seconds)
        return None
    lane.health.answered(decision, seconds)
    return decision


def is_slower(lane: Lane, other: Lane, factor: float, seconds: float) -> tuple[float, float] | None:
    """Median processor seconds of both on the same late requests, where the first takes `factor` times the second's
    and `seconds` more; None otherwise. Side by side and in turns, so that a busy machine slows both."""
    taken: tuple[list[float], list[float]] = ([], [])
    for make in list(lane.recent):
        for place, one in enumerate((lane, other)):
            started = time.thread_time()
            make(one.scorer, CHAMPION, False)
            taken[place].append(time.thread_time() - started)
    if not taken[0]:
        return None
    own, others = (float(np.median(values)) for values in taken)
    return (own, others) if own > max(factor * others, others + seconds) else None
