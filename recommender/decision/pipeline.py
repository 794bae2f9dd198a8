"""From a request to a recorded slate: state, candidates and scores, rules, policy, record. Nothing is fetched here."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from recommender.decision.placements import PLACEMENTS, Placement
from recommender.decision.policy import SlatePolicy, seed_of
from recommender.decision.protocols import Scored, Scorer
from recommender.decision.record import Decision, feature_bytes
from recommender.decision.request import DecisionRequest
from recommender.decision.rules import Rules, bought_items
from recommender.errors import IntegrityError
from recommender.events import Interaction
from recommender.states import USER_STATE_SCHEMA, Contexts, ItemTable, UserStates, empty_state, merge_live

__all__ = ["Decision", "DecisionRequest", "decide", "state_of"]

TOP_UP = 100  # popular items that are scored too when the rules leave fewer than k of the retrieved ones
POPULAR = "popular"

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Pool:
    """What was scored, which of it may be shown, and what the rules removed."""

    scored: Scored
    allowed: npt.NDArray[np.bool_]
    verdicts: Mapping[str, int]


def decide(
    request: DecisionRequest,
    state_row: Mapping[str, Any] | None,
    live_events: Sequence[Interaction],
    scorer: Scorer,
    placements: Mapping[str, Placement] = PLACEMENTS,
    *,
    journal_seq: int | None = None,
    is_degraded: bool = False,
    variant: str = "champion",
) -> Decision:
    """Choose a slate for a request and record everything that led to it.

    `state_row` is the stored user state (None for somebody unknown), `live_events` what the journal
    recorded since, up to row `journal_seq`. `is_degraded` says that the caller already had to do
    without something, such as the feature store. Fewer than k items come back only when the rules
    leave no more in the whole catalogue, or among the request's own candidates.
    """
    placement = placements[request.placement]
    rules, as_of_ms = _rules(request, placement, ()), None
    try:
        state = state_of(request.subject, state_row, live_events)
        user, as_of_ms = UserStates.from_rows([state]), state["as_of_ms"] or None
        rules = _rules(request, placement, bought_items(state))
        pool = _personal_pool(request, user, rules, scorer)
        policy, tier = placement.policy, "cold" if state_row is None else "full"
    except Exception:
        # Degrade, never fail: whatever the model's side raises, the popular tier answers, and the log says why.
        _LOG.exception("decision %s falls back to the popular tier", request.decision_id)
        pool = _popular_pool(request, rules, scorer)
        policy, tier, is_degraded = SlatePolicy(), POPULAR, True
    seed = seed_of(request.decision_id)
    rows = np.flatnonzero(pool.allowed)
    choice = policy.choose(pool.scored.scores[rows], request.k, seed)
    return Decision(
        request=request,
        state_as_of_ms=as_of_ms,
        journal_seq=journal_seq,
        **_slate_columns(pool.scored, rows[choice.rows], scorer.items),
        slate_propensities=choice.propensities.tolist(),
        verdicts=pool.verdicts,
        policy=policy.name,
        variant=variant,
        seed=seed,
        model_version=scorer.version,
        feature_version=scorer.feature_version,
        tier=tier,
        is_degraded=is_degraded,
    )


def state_of(subject: str, state_row: Mapping[str, Any] | None, live_events: Sequence[Interaction]) -> dict[str, Any]:
    """The state at the moment of a decision: the stored row, nulls filled, with the live events folded in."""
    state = empty_state(subject)
    if state_row is not None:
        state.update((name, state_row[name]) for name in USER_STATE_SCHEMA.names if state_row.get(name) is not None)
        # An online store hands times back in its own types; the integer is the same everywhere.
        state.update(user_id=subject, as_of=state["as_of_ms"], created_at=state["as_of_ms"])
    return merge_live(state, live_events) if live_events else state


def _slate_columns(scored: Scored, slate: npt.NDArray[np.int64], items: ItemTable) -> dict[str, Any]:
    """The record's `slate_*` and `candidate_*` columns; `slate` holds rows of `scored`, first shown first."""
    item_ids, titles = items.item_ids.take(pa.array(scored.item_index)).to_pylist(), items.table["title"]
    return {
        "slate_item_ids": [item_ids[row] for row in slate],
        "slate_titles": [titles[row].as_py() for row in scored.item_index[slate].tolist()],
        "slate_scores": scored.scores[slate].tolist(),
        "slate_sources": [scored.source[row] for row in slate],
        "slate_features": feature_bytes(scored.features[slate]),
        "candidate_item_ids": item_ids,
        "candidate_scores": scored.scores.tolist(),
        "candidate_sources": list(scored.source),
    }


def _rules(request: DecisionRequest, placement: Placement, bought: Sequence[str]) -> Rules:
    return Rules(
        excluded=request.exclude,
        context_items=request.context_items if placement.hides_context else (),
        bought=bought,
        bought_mode=placement.bought,
        filter=request.filter,
    )


def _personal_pool(request: DecisionRequest, user: UserStates, rules: Rules, scorer: Scorer) -> _Pool:
    """Retrieved (or given) candidates scored for the person, topped up with popular items where rules left too few."""
    contexts, items = request.contexts(), scorer.items
    given = request.candidates if rules.bought_mode != "only" or request.candidates is not None else rules.bought
    index = None if given is None else _known(items, given)
    scored = _scored(scorer, user, contexts, index, rules.wants_novel)
    allowed, verdicts = rules.allowed(items, scored.item_index)
    if given is not None or int(allowed.sum()) >= request.k:
        return _Pool(scored, allowed, verdicts)
    popular = _popular_pool(request, rules, scorer, known=scored.item_index)
    extra = popular.scored.item_index[popular.allowed][:TOP_UP]
    more = _scored(scorer, user, contexts, extra)
    return _Pool(
        _joined(scored, replace(more, source=[POPULAR] * len(extra))),
        np.concatenate([allowed, np.ones(len(extra), dtype=bool)]),
        verdicts,
    )


def _popular_pool(
    request: DecisionRequest, rules: Rules, scorer: Scorer, known: npt.NDArray[np.int64] | None = None
) -> _Pool:
    """Popular items that the rules allow and that are not `known` yet, of a few hundred or else of all items."""
    items = scorer.items
    everything = len(items)
    for n in (min(4 * TOP_UP, everything), everything):
        scored = scorer.popular(n)
        allowed, verdicts = rules.allowed(items, scored.item_index)
        if request.candidates is not None:
            allowed &= np.isin(scored.item_index, _known(items, request.candidates))
        if known is not None:
            allowed &= ~np.isin(scored.item_index, known)
        if int(allowed.sum()) >= request.k or n == everything:
            break
    found = len(scored.item_index)
    bare = replace(scored, features=np.zeros((found, 0), np.float32), source=[POPULAR] * found)
    return _Pool(bare, allowed, verdicts)


def _scored(
    scorer: Scorer, user: UserStates, contexts: Contexts, index: npt.NDArray[np.int64] | None, novel: bool = False
) -> Scored:
    if index is not None and not len(index):
        return Scored(index, np.zeros(0, np.float32), np.zeros((0, 0), np.float32), [])
    scored = scorer.score(user, contexts, index, novel)
    if not np.isfinite(scored.scores).all():
        raise IntegrityError(
            f"scores of model {scorer.version} that are not finite.",
            "finite numbers.",
            "Roll back to the last good model.",
        )
    return scored


def _joined(first: Scored, second: Scored) -> Scored:
    if not len(first.item_index) or not len(second.item_index):
        return first if len(first.item_index) else second
    return Scored(
        np.concatenate([first.item_index, second.item_index]),
        np.concatenate([first.scores, second.scores]),
        np.concatenate([first.features, second.features]),
        [*first.source, *second.source],
    )


def _known(items: ItemTable, item_ids: Sequence[str]) -> npt.NDArray[np.int64]:
    """Item index of the ids that exist, each once, in their order."""
    index = items.positions(list(dict.fromkeys(item_ids)))
    return index[index >= 0]
