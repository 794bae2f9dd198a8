"""What fills the item slots of a run: the champion, the placements and the states of a workspace. Nothing is drawn."""

from __future__ import annotations

from collections.abc import Callable

from orchestration.catalogue_now import bundle_now
from orchestration.progress import telling
from orchestration.tables import past_cuts_ms, read_as_of_ms, rows_at
from recommender.agents.agent import Agent
from recommender.agents.placement_slots import PlacementSlots
from recommender.agents.slots import SlotFiller
from recommender.configuration import read_configuration
from recommender.model.bundle import load_bundle
from recommender.states import UserStates
from recommender.workspace import Workspace
from services.model_store import aliases, bundle_folder

__all__ = ["open_slots"]


def open_slots(workspace: Workspace, agent: Agent, decided_ms: int, tell: Callable[[str], None]) -> SlotFiller | None:
    """None where no action has slots, or there is no champion that could fill them. `tell` hears of progress."""
    if not any(action.slots for action in agent.actions):
        return None
    champion = aliases(workspace).get("champion")
    if champion is None:
        tell("there is no champion: actions with slots are given to nobody")
        return None
    bundle = bundle_now(workspace, load_bundle(bundle_folder(workspace, champion)))
    placements = read_configuration(workspace.configuration).placements
    return PlacementSlots(_states_at(workspace, decided_ms), decided_ms, bundle, placements, telling(tell))


def _states_at(workspace: Workspace, decided_ms: int) -> UserStates:
    """States of the newest cut that had passed at a moment; nobody's where there is none."""
    cuts = [*past_cuts_ms(workspace), read_as_of_ms(workspace)]
    cut_ms = max((cut for cut in cuts if cut <= decided_ms), default=-1)
    return UserStates.from_table(rows_at(workspace, "user_states", cut_ms))
