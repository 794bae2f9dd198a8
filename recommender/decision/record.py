"""The decision as an immutable record, and the two shapes it leaves in: the stored row and the HTTP answer."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from recommender.decision.request import DecisionRequest

__all__ = ["Decision", "feature_bytes"]


@dataclass(frozen=True)
class Decision:
    """One answered request. `slate_*` run by rank, `candidate_*` cover everything scored and allowed or not.

    `slate_reasons` answer explicit needs; None where there were none. `trace`: see `decision.trace`.
    `tier`: "full", "cold" (nothing stored about the person) or "popular" (the scorer failed). `is_recorded`: False
    where the journal did not take the record in time; such a decision is of no use to anybody who learns.
    """

    request: DecisionRequest
    state_as_of_ms: int | None
    journal_seq: int | None
    slate_item_ids: Sequence[str]
    slate_titles: Sequence[str]
    slate_scores: Sequence[float]
    slate_sources: Sequence[str]
    slate_propensities: Sequence[float]
    slate_features: bytes
    candidate_item_ids: Sequence[str]
    candidate_scores: Sequence[float]
    candidate_sources: Sequence[str]
    slate_reasons: Sequence[str] | None
    verdicts: Mapping[str, int]
    trace: Mapping[str, Any]
    policy: str
    variant: str
    seed: int
    model_version: str
    feature_version: str
    tier: str
    is_degraded: bool
    catalogue_seq: int = 0
    is_recorded: bool = True

    def to_row(self) -> dict[str, Any]:
        """The columns of DECISION_SCHEMA in order; times as milliseconds, lists as lists, features as bytes."""
        request = self.request
        return {
            "decision_id": request.decision_id,
            "user_id": request.user_id,
            "anonymous_id": request.anonymous_id,
            "placement": request.placement,
            "decided_at": request.decided_ms,
            "state_as_of": self.state_as_of_ms,
            "journal_seq": self.journal_seq,
            "context": request.context_text(),
            "filter": request.filter_text(),
            "slate_item_ids": self.slate_item_ids,
            "slate_scores": self.slate_scores,
            "slate_sources": self.slate_sources,
            "slate_propensities": self.slate_propensities,
            "slate_features": self.slate_features,
            "candidate_item_ids": self.candidate_item_ids,
            "candidate_scores": self.candidate_scores,
            "candidate_sources": self.candidate_sources,
            "verdicts": json.dumps(self.verdicts, separators=(",", ":")),
            "trace": json.dumps(self.trace, separators=(",", ":"), ensure_ascii=False),
            "policy": self.policy,
            "variant": self.variant,
            "seed": self.seed,
            "model_version": self.model_version,
            "feature_version": self.feature_version,
            "tier": self.tier,
            "is_degraded": self.is_degraded,
            "catalogue_seq": self.catalogue_seq,
            "parent_decision_id": None,
            "first_position": 1,
        }

    def answer(self) -> dict[str, Any]:
        """The body of the HTTP answer."""
        columns: dict[str, Sequence[Any]] = {
            "item_id": self.slate_item_ids,
            "score": self.slate_scores,
            "source": self.slate_sources,
            "propensity": self.slate_propensities,
            "title": self.slate_titles,
        }
        if self.slate_reasons is not None:
            columns["reason"] = self.slate_reasons
        rows = zip(*columns.values(), strict=True)
        return {
            "decision_id": self.request.decision_id,
            "placement": self.request.placement,
            "items": [{"rank": rank, **dict(zip(columns, row, strict=True))} for rank, row in enumerate(rows, 1)],
            "model_version": self.model_version,
            "policy": self.policy,
            "variant": self.variant,
            "degraded": self.is_degraded,
            "recorded": self.is_recorded,
        }


def feature_bytes(features: npt.NDArray[np.float32]) -> bytes:
    """Rows of features as they are logged: float32 little endian, row major."""
    return np.ascontiguousarray(features, dtype="<f4").tobytes()
