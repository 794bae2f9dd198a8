"""Why an item is, or is not, in the slate that a person would get now: decided once more, read, and not recorded."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict, replace
from typing import Any

from recommender.configuration import read_configuration
from recommender.decision.pipeline import Decision, DecisionRequest, decide, state_of
from recommender.decision.policy import SlatePolicy
from recommender.decision.trace import whereabouts
from recommender.errors import InputError
from recommender.events import Interaction
from recommender.explanation.phrases import sentences
from recommender.explanation.reasons import Reasons, reasons_for
from recommender.model.bundle import Bundle, load_bundle
from recommender.model.later_items import lay_items
from recommender.states import UserStates
from recommender.workspace import Workspace
from services.clock import Clock
from services.journal import Journal
from services.model_store import bundle_folder
from services.online_features import OnlineFeatures

__all__ = ["explain"]


def explain(
    workspace: Workspace,
    user_id: str,
    item_id: str | None = None,
    placement: str = "home",
    k: int | None = None,
    at_ms: int | None = None,
) -> dict[str, Any]:
    """The slate of `placement` for the person at a moment, without exploration, each item with its reasons.

    `at_ms` None means now, by the service's clock. With `item_id` only that item, shown or not: the stage that
    dropped it is named. Raises NextbestError when there is no champion or no store, InputError for an item that the
    champion does not know.
    """
    bundle = _as_served(workspace)
    if item_id is not None and item_id not in bundle.items.index:
        raise _unheard_of(item_id, bundle)
    at_ms = Clock.from_settings(workspace.settings).now_ms() if at_ms is None else at_ms
    body = {"user_id": user_id, "placement": placement} | ({} if k is None else {"k": k})
    placements = read_configuration(workspace.configuration).placements
    request = DecisionRequest.parse(body, "explanation", at_ms, placements)
    # What exploration would draw says nothing of the item; without it the answer is the same each time.
    calm = replace(placements[request.placement], policy=SlatePolicy())
    state, live = _person(workspace, user_id)
    decision = decide(request, state, live, bundle, {request.placement: calm})
    user = UserStates.from_rows([state_of(user_id, state, live)])
    wanted = decision.slate_item_ids if item_id is None else [item_id]
    found = reasons_for(bundle, user, request.contexts(), wanted, generators=calm.generators)
    return {
        "user_id": user_id,
        "placement": request.placement,
        "k": request.k,
        "model_version": bundle.version,
        "tier": decision.tier,
        "history_items": len(state["history_item_ids"]) if state else 0,
        "live_events": len(live),
        "items": [_told(decision, reasons) for reasons in found],
    }


def _as_served(workspace: Workspace) -> Bundle:
    """The champion with what the journal was told of the catalogue since."""
    bundle = load_bundle(bundle_folder(workspace, "champion"))
    if not workspace.journal.exists():
        return bundle
    with closing(Journal(workspace.journal)) as journal:
        seq = journal.catalogue_seq()
        return lay_items(bundle, journal.catalogue_changes(0, seq), seq)[0] if seq else bundle


def _person(workspace: Workspace, user_id: str) -> tuple[Mapping[str, Any] | None, tuple[Interaction, ...]]:
    """The stored state, and what the journal recorded since."""
    features = OnlineFeatures(workspace)
    features.connect()
    state = features.user_state(user_id)
    if not workspace.journal.exists():
        return state, ()
    with closing(Journal(workspace.journal)) as journal:
        return state, journal.live_events([user_id], state["as_of_ms"] if state else 0).events


def _told(decision: Decision, reasons: Reasons) -> dict[str, Any]:
    way = whereabouts(decision.to_row(), reasons.item_id)
    return {
        "item_id": reasons.item_id,
        "title": reasons.title,
        "stage": way.stage,
        "position": way.position,
        "sentences": [way.sentence, *sentences(reasons)],
        "figures": asdict(reasons),
    }


def _unheard_of(item_id: str, bundle: Bundle) -> InputError:
    near = difflib.get_close_matches(item_id, list(bundle.items.index), n=3)
    return InputError(
        f"the item {item_id!r}, which bundle {bundle.version} does not hold.",
        f"one of its {len(bundle.items):,} items" + (f", for example {', '.join(near)}." if near else "."),
        "check the id; tell the service of an item that is new (POST /v1/items).",
    )
