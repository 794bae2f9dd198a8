"""Everything known at one cut, together: what retrieval is fitted on and slates are built from. No computation here."""

from __future__ import annotations

from dataclasses import dataclass, field

import pyarrow as pa

from recommender.states import SEGMENT_SCHEMA, ItemTable, UserStates

__all__ = ["CutInputs"]


@dataclass(frozen=True)
class CutInputs:
    """The states of one cut: `users` and `items` as of it, rows of PAIR_SCHEMA and of SEGMENT_SCHEMA."""

    as_of_ms: int
    users: UserStates
    items: ItemTable
    pairs: pa.Table
    segments: pa.Table = field(default_factory=SEGMENT_SCHEMA.empty_table)
