"""A bundle whose scoring is timed: what the decision passes to it is passed on. The core itself reads no clock."""

from __future__ import annotations

from typing import Any

from recommender.decision.protocols import Scored, Scorer
from services.metrics import stage

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
