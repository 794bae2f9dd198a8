"""Recomputing a recorded decision: same state, same moment, same plan, same bytes. Nothing is recorded here."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from recommender.attributes import attributes_of
from recommender.decision.pipeline import state_of
from recommender.decision.policy import SlatePolicy
from recommender.decision.pool import POPULAR, strategy_scores
from recommender.decision.protocols import Scored, Scorer
from recommender.decision.record import feature_bytes
from recommender.decision.slots import fill
from recommender.decision.trace import plan_of
from recommender.events import Interaction
from recommender.person_state import PersonState
from recommender.retrieval.knowledge import Needs
from recommender.states import Contexts

__all__ = ["Replay", "contexts_of", "replay"]


@dataclass(frozen=True)
class Replay:
    """What came out when a record's slate was computed again, compared bit for bit."""

    features_are_equal: bool
    scores_are_equal: bool
    choice_is_equal: bool = True  # drawn again from the recorded plan: the same items with the same propensities

    @property
    def is_equal(self) -> bool:
        return self.features_are_equal and self.scores_are_equal and self.choice_is_equal


def replay(
    record_row: Mapping[str, Any],
    state_row: Mapping[str, Any] | None,
    live_events: Sequence[Interaction],
    scorer: Scorer,
) -> Replay:
    """Compute a recorded slate again from what the decision was given; compare features, scores and the draw.

    `record_row` has the columns of DECISION_SCHEMA (times as datetime or milliseconds); `state_row`
    and `live_events` are those of the decision: the state stored at `state_as_of`, the person's
    journal rows recorded since, up to `journal_seq`. The scorer must be the record's model version.
    """
    index = scorer.items.positions(list(record_row["slate_item_ids"]))
    if (index < 0).any() or record_row["model_version"] != scorer.version:
        return Replay(False, False, False)
    trace = json.loads(record_row["trace"] or "{}")
    is_drawn = not trace or _draws_the_same(record_row, trace, scorer)
    if record_row["tier"] == POPULAR:
        again, features = scorer.popular(len(scorer.items)), b""
    elif not len(index):
        return Replay(record_row["slate_features"] == b"", True, is_drawn)
    else:
        subject = record_row["user_id"] or record_row["anonymous_id"]
        user = PersonState(state_of(subject, state_row, live_events))
        again = scorer.score(user, contexts_of(record_row), index)
        features = feature_bytes(again.features[_rows(again, index)])
        again = replace(again, scores=_ranking_scores(record_row, trace, again, scorer))
    scores = again.scores[_rows(again, index)]
    logged = np.asarray(record_row["slate_scores"], dtype=np.float32)
    return Replay(features == record_row["slate_features"], scores.tobytes() == logged.tobytes(), is_drawn)


def _ranking_scores(
    record_row: Mapping[str, Any], trace: Mapping[str, Any], again: Scored, scorer: Scorer
) -> np.typing.NDArray[np.float32]:
    """What the placement ranked by at the time."""
    body = json.loads(record_row["filter"]).get("needs")
    needs, names = None if body is None else Needs.parse(body), trace.get("generators")
    strategy = trace.get("rank_by", "model")
    return strategy_scores(again, strategy, None if names is None else tuple(names), needs, scorer.items)


def _draws_the_same(record_row: Mapping[str, Any], trace: Mapping[str, Any], scorer: Scorer) -> bool:
    candidates = list(record_row["candidate_item_ids"])
    index, attributes = scorer.items.positions(candidates), attributes_of(scorer.items)
    plan = plan_of(trace, {name: attributes.codes(name)[index] for name in trace.get("caps", ())})
    choice = fill(plan, SlatePolicy.named(record_row["policy"]), record_row["seed"])
    drawn = [candidates[row] for row in choice.rows.tolist()]
    is_same_slate = drawn == list(record_row["slate_item_ids"]) and choice.ways == trace["ways"]
    return is_same_slate and choice.propensities.tolist() == list(record_row["slate_propensities"])


def _rows(scored: Scored, index: np.typing.NDArray[np.int64]) -> np.typing.NDArray[np.int64]:
    """Row of each item among the scored ones, in whatever order these came back."""
    order = np.argsort(scored.item_index, kind="stable")
    return order[np.searchsorted(scored.item_index, index, sorter=order)]


def contexts_of(record_row: Mapping[str, Any]) -> Contexts:
    """The moment that a record was scored at: a batch of one. A further page was scored when the first one was."""
    context = json.loads(record_row["context"])
    decided = json.loads(record_row["trace"] or "{}").get("planned_at", record_row["decided_at"])
    if isinstance(decided, datetime):  # naive and UTC, as Parquet gives it back
        decided = round(decided.replace(tzinfo=UTC).timestamp() * 1000)
    return Contexts(
        np.array([decided], np.int64),
        [record_row["placement"]],
        [context.get("device") or ""],
        [context.get("channel") or ""],
        [tuple(context.get("context_items", ()))],
    )
