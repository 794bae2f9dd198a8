"""A bundle whose scoring is timed: what the decision passes to it is passed on. The core itself reads no clock."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from recommender.decision.protocols import Scored, Scorer, ToScore
from services.metrics import observe_stage, stage

__all__ = ["TimedScorer"]


class TimedScorer:
    """Stands for the bundle in one decision; what decisions ask of a bundle beyond scores is the bundle's own."""

    __slots__ = ("_scorer",)

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._scorer, name)

    def score(self, *given: Any, **named: Any) -> Scored:
        """See Scorer."""
        with stage("score"):
            return self._scorer.score(*given, **named)

    def score_many(self, asked: Sequence[ToScore]) -> list[Scored]:
        """See Scorer; each is held to have taken its part."""
        started = time.perf_counter()
        scored = self._scorer.score_many(asked)
        observe_stage("score", (time.perf_counter() - started) / len(asked), len(asked))
        return scored
