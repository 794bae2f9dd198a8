"""How a bundle does in service: its last requests, and why it must go, in a sentence. Nothing is swapped here."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from recommender.decision.record import Decision

__all__ = ["Health", "HealthConfig", "Sample"]

FEW = 5  # candidates: fewer may well score the same


@dataclass(frozen=True)
class HealthConfig:
    """When a bundle is abnormal.

    Judged are its last `window` requests once there are `min_requests`. `failed_share` of them could not be scored
    while the bundle before it, or nothing else, could (at least `min_failed`: three in a row need no crowd);
    `odd_share` scored all items the same, or beside the range of the golden scores by more than its own width.
    `slow_factor` and `slow_seconds`: a p99 so many times, and by so much, above the bundle's before it is suspected,
    and then timed beside it on the same requests: a busy machine slows both.
    """

    window: int = 400
    min_requests: int = 20
    min_failed: int = 3
    failed_share: float = 0.02
    odd_share: float = 0.5
    slow_factor: float = 3.0
    slow_seconds: float = 0.02


@dataclass(frozen=True, slots=True)
class Sample:
    """One request: the seconds the decision took, whether it failed, whether its scores were odd (None: unjudged), and
    whether it was answered with popular items, there being no other bundle to say whose fault that was."""

    seconds: float
    has_failed: bool = False
    is_constant: bool | None = None
    is_outside: bool | None = None
    is_unscored: bool = False


class Health:
    """Written by the thread that answers, read by the one that watches."""

    def __init__(self, config: HealthConfig, low: float = -np.inf, high: float = np.inf) -> None:
        self._config, self._low, self._high = config, low, high
        self._samples: deque[Sample] = deque(maxlen=config.window)
        self.requests = self.failures = 0
        self.usual_seconds: float | None = None  # its p99 where it has not answered enough to have one of its own

    def failed(self, seconds: float) -> None:
        """The bundle could not score a request that another one could."""
        self.requests += 1
        self.failures += 1
        self._samples.append(Sample(seconds, True))

    def unscored(self, seconds: float) -> None:
        """The bundle could not score a request, and no other was there to try."""
        self.requests += 1
        self._samples.append(Sample(seconds, is_unscored=True))

    def answered(self, decision: Decision, seconds: float) -> None:
        """Scores are judged where they are the ranker's, not one generator's or the utility of needs."""
        self.requests += 1
        is_by_model = decision.trace.get("rank_by", "model") == "model"
        self._samples.append(self._sample(decision.candidate_scores, seconds, is_by_model))

    def problem(self) -> str:
        """Why the bundle must go, by failures and scores; "" while nothing is wrong."""
        samples, config = list(self._samples), self._config
        failed = sum(sample.has_failed for sample in samples)
        if failed >= config.min_failed and failed >= config.failed_share * len(samples):
            return f"{failed} of its last {len(samples)} requests could not be scored."
        for name, told in (("is_constant", "the same for every item"), ("is_outside", "far from the golden ones")):
            judged = [found for sample in samples if (found := getattr(sample, name)) is not None]
            if len(judged) >= config.min_requests and sum(judged) >= config.odd_share * len(judged):
                return f"scores were {told} in {sum(judged)} of its last {len(judged)} requests."
        return ""

    def suspicion(self) -> str:
        """Why the bundle, which answers alone, should be compared with another again; "" while it is as usual."""
        samples, config = list(self._samples), self._config
        unscored = sum(sample.is_unscored for sample in samples)
        if unscored >= config.min_failed and unscored >= config.failed_share * len(samples):
            return f"{unscored} of its last {len(samples)} requests could not be scored."
        own, usual = self.percentile(99), self.usual_seconds
        if own is not None and usual is not None and own > max(config.slow_factor * usual, usual + config.slow_seconds):
            return f"its p99 is {own:.3f} s, and was {usual:.3f} s when it had proven itself."
        return self.problem()

    def is_suspect_beside(self, before: Health) -> bool:
        """Whether the p99 is so far above the earlier bundle's that the two should be timed side by side."""
        own, other, config = self.percentile(99), before.percentile(99), self._config
        other = before.usual_seconds if other is None else other
        if own is None or other is None:
            return False
        return own > max(config.slow_factor * other, other + config.slow_seconds)

    def percentile(self, percent: float) -> float | None:
        """Seconds; None before `min_requests` were answered."""
        seconds = [one.seconds for one in list(self._samples) if not (one.has_failed or one.is_unscored)]
        if len(seconds) < self._config.min_requests:
            return None
        return float(np.percentile(seconds, percent))

    def facts(self) -> dict[str, Any]:
        """What people may see of it."""
        times = {f"p{percent}_ms": self.percentile(percent) for percent in (50, 99)}
        rounded = {name: None if value is None else round(1000 * value, 2) for name, value in times.items()}
        return {"requests": self.requests, "failures": self.failures, **rounded}

    def _sample(self, scores: Sequence[float], seconds: float, is_by_model: bool) -> Sample:
        if not is_by_model or len(scores) < FEW:
            return Sample(seconds)
        values = np.sort(np.asarray(scores, dtype=np.float32))  # np.median and np.ptp cost every answer 30 µs more
        middle, width = float(values[(len(values) - 1) // 2] + values[len(values) // 2]) / 2, self._high - self._low
        if np.isnan(values[-1]):  # sorted behind everything else
            middle = np.nan
        is_outside = not self._low - width <= middle <= self._high + width if np.isfinite(width) else None
        return Sample(seconds, False, bool(values[0] == values[-1]), is_outside)
