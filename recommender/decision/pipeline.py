"""From a request to a recorded slate: state, pool, plan, draw, record. Each step lives in a module of its own."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from recommender.attributes import attributes_of
from recommender.conditions import require_known
from recommender.decision.arrangement import arrange
from recommender.decision.placements import PLACEMENTS, Placement
from recommender.decision.policy import SlatePolicy, seed_of
from recommender.decision.pool import POPULAR, Ask, Pool, personal_pool, popular_pool
from recommender.decision.protocols import Scored, Scorer, Scoring
from recommender.decision.record import Decision, feature_bytes
from recommender.decision.request import DecisionRequest
from recommender.decision.rules import bought_items
from recommender.decision.scoring import decided
from recommender.decision.slots import fill
from recommender.decision.trace import trace_of
from recommender.errors import IntegrityError
from recommender.events import Interaction
from recommender.person_state import PersonState
from recommender.retrieval.knowledge import reason
from recommender.states import ItemTable, empty_state, merge_live

__all__ = ["Decision", "DecisionRequest", "decide", "deciding", "state_of"]

_LOG = logging.getLogger(__name__)


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
    """`deciding` from beginning to end."""
    steps = deciding(
        request,
        state_row,
        live_events,
        scorer,
        placements,
        journal_seq=journal_seq,
        is_degraded=is_degraded,
        variant=variant,
    )
    return decided(steps, scorer)


def deciding(
    request: DecisionRequest,
    state_row: Mapping[str, Any] | None,
    live_events: Sequence[Interaction],
    scorer: Scorer,
    placements: Mapping[str, Placement] = PLACEMENTS,
    *,
    journal_seq: int | None = None,
    is_degraded: bool = False,
    variant: str = "champion",
) -> Scoring[Decision]:
    """Choose a slate for a request and record everything that led to it.

    `state_row` is the stored user state (None for somebody unknown), `live_events` what the journal
    recorded since, up to row `journal_seq`. `is_degraded` says that the caller already had to do
    without something, such as the feature store. Fewer than k items come back only when rules and caps
    leave no more in the whole catalogue, or among the request's own candidates. Raises RequestError for
    a filter or a need by an attribute that the catalogue does not have.
    """
    placement = placements[request.placement]
    _require_known(request, scorer.items)
    bought: Sequence[str] = ()
    as_of_ms, tier = None, "cold" if state_row is None else "full"
    try:
        state = state_of(request.subject, state_row, live_events)
        user, as_of_ms = PersonState(state), state["as_of_ms"] or None
        bought = bought_items(state)
        ask = Ask.of(request, placement, bought, scorer.items)
        pool = yield from personal_pool(ask, user, scorer)
        _require_numbers(pool)
        slate = _slate(ask, pool, scorer)
    except Exception:
        # Degrade, never fail: whatever the model's side raises, the popular tier answers, and the log says why.
        _LOG.exception("decision %s falls back to the popular tier", request.decision_id)
        # Filters, pins and caps hold; what needs content, boosts or chance is left out.
        calm = replace(placement, rank_by="model", boosts=(), freshness=None, policy=SlatePolicy())
        calm = replace(calm, diversity=replace(calm.diversity, weight=0.0))
        ask = Ask.of(request, calm, bought, scorer.items)
        pool, tier, is_degraded = popular_pool(ask, scorer), POPULAR, True
        slate = _slate(ask, pool, scorer)
    return Decision(
        request=request,
        state_as_of_ms=as_of_ms,
        journal_seq=journal_seq,
        **slate,
        policy=ask.placement.policy.name,
        variant=variant,
        model_version=scorer.version,
        feature_version=scorer.feature_version,
        tier=tier,
        is_degraded=is_degraded,
        catalogue_seq=scorer.catalogue_seq,
    )


def state_of(subject: str, state_row: Mapping[str, Any] | None, live_events: Sequence[Interaction]) -> dict[str, Any]:
    """The state at the moment of a decision: the stored row, nulls filled, with the live events folded in."""
    state = empty_state(subject)
    if state_row is not None:
        # By the state's own names: a schema makes a list of its names whenever it is asked for them.
        state |= {name: value for name in state if (value := state_row.get(name)) is not None}
        # An online store hands times back in its own types; the integer is the same everywhere.
        state.update(user_id=subject, as_of=state["as_of_ms"], created_at=state["as_of_ms"])
    return merge_live(state, live_events) if live_events else state


def _require_known(request: DecisionRequest, items: ItemTable) -> None:
    """The request's attributes must exist; the operator's are looked at by `nextbest placements check`."""
    parts = request.filter.condition.parts
    if parts:
        require_known(parts, attributes_of(items))
    if request.needs is not None:
        require_known(request.needs.conditions, attributes_of(items), "needs")


def _require_numbers(pool: Pool) -> None:
    """A score that is no number has no rank: whatever order it came out in would look like an answer. The model's own
    were looked at when they came."""
    if pool.scores is pool.scored.scores:
        return
    bad = np.count_nonzero(~np.isfinite(pool.scores))
    if bad:
        raise IntegrityError(
            f"{bad} of {len(pool.scores)} scores that are no number.", "numbers.", "serve another bundle."
        )


def _slate(ask: Ask, pool: Pool, scorer: Scorer) -> dict[str, Any]:
    """Plan, draw and describe: the columns of the record that depend on the pool."""
    request, items, index = ask.request, scorer.items, pool.scored.item_index
    arrangement = arrange(
        ask.placement,
        request.k,
        request.decided_ms,
        items,
        index,
        pool.scores,
        pool.allowed,
        ties=pool.ties,
        wishes=pool.wishes,
        similarity=scorer.similarity if ask.placement.diversity.weight > 0 else None,
    )
    seed = seed_of(request.decision_id)
    choice = fill(arrangement.plan, ask.placement.policy, seed)
    needs, reasons = _needs_met(ask, items, index[choice.rows])
    return {
        **_slate_columns(pool.scored, pool.scores, choice.rows, items),
        "slate_propensities": choice.propensities.tolist(),
        "slate_reasons": reasons,
        "verdicts": pool.verdicts.counts(),
        "trace": trace_of(ask.placement, pool.verdicts, arrangement, choice, needs),
        "seed": seed,
    }


def _needs_met(
    ask: Ask, items: ItemTable, shown: npt.NDArray[np.int64]
) -> tuple[dict[str, Any] | None, list[str] | None]:
    """Which needs each shown item meets, for the trace, and the same in a sentence for the answer."""
    needs = ask.request.needs
    if needs is None:
        return None, None
    met = needs.met(attributes_of(items), shown)
    entry = {"words": list(needs.words), "met": met, "given_up": list(ask.given_up)}
    return entry, [reason(needs.words, mask, ask.given_up) for mask in met]


def _slate_columns(
    scored: Scored, scores: npt.NDArray[np.float32], slate: npt.NDArray[np.int64], items: ItemTable
) -> dict[str, Any]:
    """The record's `slate_*` and `candidate_*` columns; `slate` holds rows of `scored`, first shown first."""
    titles = items.titles
    item_ids = list(map(items.names.__getitem__, scored.item_index.tolist()))
    return {
        "slate_item_ids": [item_ids[row] for row in slate],
        "slate_titles": [titles[row].as_py() for row in scored.item_index[slate].tolist()],
        "slate_scores": scores[slate].tolist(),
        "slate_sources": [scored.source[row] for row in slate],
        "slate_features": feature_bytes(scored.features[slate]),
        "candidate_item_ids": item_ids,
        "candidate_scores": scores.tolist(),
        "candidate_sources": list(scored.source),
    }
