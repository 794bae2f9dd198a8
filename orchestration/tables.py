"""Marts as Arrow tables and the cuts they hold: reading only, dbt is their one writer."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recommender.errors import InputError, NotReadyError
from recommender.workspace import Workspace

__all__ = [
    "item_ids_at",
    "past_cuts_ms",
    "read_as_of_ms",
    "read_horizon_ms",
    "read_mart",
    "rows_at",
    "source_funnel",
    "to_iso",
    "user_ids_at",
]


def read_mart(workspace: Workspace, name: str, columns: Sequence[str] | None = None, filters: Any = None) -> pa.Table:
    """A mart, or the columns and rows of it that are wanted."""
    path = workspace.mart(name)
    if not path.exists():
        raise NotReadyError(
            f"the mart {name} does not exist in {workspace.marts}.",
            "marts that dbt has built.",
            "run `nextbest run --source NAME --path DIR` first.",
        )
    return pq.read_table(path, columns=None if columns is None else list(columns), filters=filters)


def read_as_of_ms(workspace: Workspace) -> int:
    """The cut that the marts were built for, milliseconds since 1970."""
    cuts = read_mart(workspace, "feature_cuts")
    serving = cuts.filter(cuts["is_serving"])["cut_at"].cast(pa.timestamp("ms")).cast(pa.int64()).to_pylist()
    if not serving:
        raise InputError(
            "no event that could be kept.",
            "a source with at least one event that parses.",
            "look at marts/source_counts.parquet and marts/dead_letters.parquet: they say what was dropped and why.",
        )
    return int(serving[0])


def past_cuts_ms(workspace: Workspace) -> list[int]:
    """The training cuts, oldest first: evenly spaced before the serving cut.

    Other cuts in the mart are those that decisions were served from.
    """
    cuts = read_mart(workspace, "feature_cuts", ["cut_at", "is_training"])
    moments = cuts.filter(cuts["is_training"])["cut_at"].cast(pa.timestamp("ms")).cast(pa.int64())
    return sorted(moments.to_pylist())


def read_horizon_ms(workspace: Workspace) -> int:
    """How far labels look ahead: the ring's horizon, or a quarter of a history shorter than four of them."""
    read_as_of_ms(workspace)  # says what is wrong where there is no cut at all
    return int(read_mart(workspace, "feature_cuts", ["horizon_ms"])["horizon_ms"][0].as_py())


def rows_at(workspace: Workspace, name: str, cut_ms: int, columns: Sequence[str] | None = None) -> pa.Table:
    """The rows of a mart that is grained by `as_of`, at one cut; empty text for no rows is not an error here."""
    moment = pa.scalar(cut_ms, pa.timestamp("ms"))
    return read_mart(workspace, name, columns, pc.field("as_of").cast(pa.timestamp("ms")) == moment)


def user_ids_at(workspace: Workspace, cut_ms: int) -> pa.Array:
    """Users that have a state at a cut: whom Feast is then asked about."""
    return rows_at(workspace, "user_states", cut_ms, ["user_id", "as_of"])["user_id"].combine_chunks()


def item_ids_at(workspace: Workspace, cut_ms: int) -> pa.Array:
    """Items that can be recommended at a cut: everything listed by then, as far as `max_untouched_items` goes.

    Items that nobody ever touched belong to it (of complete_journey's 92,331 items 20,902 were ever bought): at
    a shop whose catalogue turns over, they are most of what is bought next.
    """
    return rows_at(workspace, "item_states", cut_ms, ["item_id", "as_of"])["item_id"].combine_chunks()


def source_funnel(workspace: Workspace) -> str:
    """How many rows came in, what was dropped and why, as one line a step."""
    steps = read_mart(workspace, "source_counts").to_pylist()
    return "\n".join(f"{step['step']}: {step['row_count']:,}" for step in steps)


def to_iso(moment_ms: int) -> str:
    """A moment for people: UTC, to the second."""
    return datetime.fromtimestamp(moment_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
