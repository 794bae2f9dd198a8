"""Recomputing a recorded decision: same state, same moment, same bytes. Nothing is chosen again here."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from recommender.decision.pipeline import POPULAR, state_of
from recommender.decision.protocols import Scored, Scorer
from recommender.decision.record import feature_bytes
from recommender.events import Interaction
from recommender.states import Contexts, UserStates

__all__ = ["Replay", "replay"]


@dataclass(frozen=True)
class Replay:
    """What came out when a record's slate was computed again, compared bit for bit."""

    features_are_equal: bool
    scores_are_equal: bool

    @property
    def is_equal(self) -> bool:
        return self.features_are_equal and self.scores_are_equal


def replay(
    record_row: Mapping[str, Any],
    state_row: Mapping[str, Any] | None,
    live_events: Sequence[Interaction],
    scorer: Scorer,
) -> Replay:
    """Compute a recorded slate again from what the decision was given, and compare features and scores.

    `record_row` has the columns of DECISION_SCHEMA (times as datetime or milliseconds); `state_row`
    and `live_events` are those of the decision: the state stored at `state_as_of`, the person's
    journal rows recorded since, up to `journal_seq`. The scorer must be the record's model version.
    """
    index = scorer.items.positions(list(record_row["slate_item_ids"]))
    if (index < 0).any() or record_row["model_version"] != scorer.version:
        return Replay(False, False)
    if record_row["tier"] == POPULAR:
        again, features = scorer.popular(len(scorer.items)), b""
    elif not len(index):
        return Replay(record_row["slate_features"] == b"", True)
    else:
        subject = record_row["user_id"] or record_row["anonymous_id"]
        user = UserStates.from_rows([state_of(subject, state_row, live_events)])
        again = scorer.score(user, _contexts(record_row), index)
        features = feature_bytes(again.features[_rows(again, index)])
    scores = again.scores[_rows(again, index)]
    logged = np.asarray(record_row["slate_scores"], dtype=np.float32)
    return Replay(features == record_row["slate_features"], scores.tobytes() == logged.tobytes())


def _rows(scored: Scored, index: np.typing.NDArray[np.int64]) -> np.typing.NDArray[np.int64]:
    """Row of each item among the scored ones, in whatever order these came back."""
    order = np.argsort(scored.item_index, kind="stable")
    return order[np.searchsorted(scored.item_index, index, sorter=order)]


def _contexts(record_row: Mapping[str, Any]) -> Contexts:
    context = json.loads(record_row["context"])
    decided = record_row["decided_at"]
    if isinstance(decided, datetime):  # naive and UTC, as Parquet gives it back
        decided = round(decided.replace(tzinfo=UTC).timestamp() * 1000)
    return Contexts(
        np.array([decided], np.int64),
        [record_row["placement"]],
        [context.get("device") or ""],
        [context.get("channel") or ""],
        [tuple(context.get("context_items", ()))],
    )
