"""What was known at past cuts, and what happened after them: marts and features as the core's inputs. No training."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from feature_repo.offline import states_at
from orchestration.resources import Ring
from orchestration.tables import (
    item_ids_at,
    past_cuts_ms,
    read_as_of_ms,
    read_horizon_ms,
    read_mart,
    rows_at,
    user_ids_at,
)
from recommender.cuts import CutInputs
from recommender.errors import InputError
from recommender.events import DAY_MS
from recommender.states import ItemTable, UserStates
from recommender.workspace import Workspace

__all__ = ["cut_inputs", "ended_cuts", "events_since"]

EVENT_COLUMNS = (
    *("event_id", "user_id", "item_id", "event_type", "occurred_at", "recorded_at"),
    *("quantity", "price_micros", "device", "channel", "country", "decision_id", "position"),
)


def cut_inputs(ring: Ring, cut_ms: int) -> CutInputs:
    """States of everyone and everything known at a cut, through Feast's point-in-time join; the rest from marts."""
    space = ring.workspace
    users, items = user_ids_at(space, cut_ms), item_ids_at(space, cut_ms)
    user_states = UserStates.from_table(states_at(space, "user", users, np.full(len(users), cut_ms)))
    item_states = ItemTable.from_table(states_at(space, "item", items, np.full(len(items), cut_ms)))
    pairs, segments = rows_at(space, "item_pairs", cut_ms), rows_at(space, "item_segments", cut_ms)
    return CutInputs(cut_ms, user_states, item_states, pairs, segments)


def ended_cuts(workspace: Workspace) -> list[int]:
    """Past cuts whose horizon has ended, oldest first; InputError where there is none."""
    as_of_ms, horizon_ms = read_as_of_ms(workspace), read_horizon_ms(workspace)
    cuts = [cut for cut in past_cuts_ms(workspace) if cut + horizon_ms <= as_of_ms]
    if not cuts:
        raise InputError(
            f"a history too short for a past cut whose horizon of {horizon_ms / DAY_MS:.3g} days has ended.",
            "events over several hours at least.",
            "bring a longer history.",
        )
    return cuts


def events_since(workspace: Workspace, start_ms: int) -> pa.Table:
    moment = pa.scalar(start_ms, pa.timestamp("ms"))
    return read_mart(workspace, "events", EVENT_COLUMNS, pc.field("occurred_at").cast(pa.timestamp("ms")) >= moment)
