"""Everything known at one cut, together: what retrieval is fitted on and slates are built from. No computation here."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from recommender.states import ItemTable, UserStates

__all__ = ["CutInputs"]


@dataclass(frozen=True)
class CutInputs:
    """The states of one cut: `users` and `items` as of it, `pairs` rows of PAIR_SCHEMA."""

    as_of_ms: int
    users: UserStates
    items: ItemTable
    pairs: pa.Table
