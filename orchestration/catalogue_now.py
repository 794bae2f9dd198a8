"""The catalogue as it is now: what the marts say at the serving cut, and behind it what the service was told since."""

from __future__ import annotations

from contextlib import closing

import pyarrow as pa
import pyarrow.compute as pc

from orchestration.tables import read_as_of_ms, rows_at
from recommender.catalogue import lay_over
from recommender.events import CATALOGUE_SCHEMA
from recommender.model.bundle import Bundle
from recommender.model.later_items import lay_items
from recommender.states import ItemTable
from recommender.workspace import Workspace
from services.journal import Journal

__all__ = ["bundle_now", "items_now"]


def items_now(workspace: Workspace) -> ItemTable:
    """Every item of the serving cut and every one told of since, as it is described by now."""
    items = ItemTable.from_table(rows_at(workspace, "item_states", read_as_of_ms(workspace)))
    return lay_over(items, _told(workspace)[0]).items


def bundle_now(workspace: Workspace, bundle: Bundle) -> Bundle:
    """A bundle as the service shows it, and without what has left the shop since it was trained: a champion may be
    weeks older than the marts.
    """
    changes, seq = _told(workspace)
    states = rows_at(workspace, "item_states", read_as_of_ms(workspace), ["item_id", "is_available", "as_of"])
    gone = states.filter(pc.equal(states["is_available"], 0))["item_id"]
    # What the service was told of an item's availability came later, and holds.
    spoken = changes.filter(pc.is_valid(changes["is_available"]))["item_id"]
    gone = gone.filter(pc.is_in(gone, value_set=bundle.items.table["item_id"]))
    gone = gone.filter(pc.invert(pc.is_in(gone, value_set=spoken)))
    return lay_items(bundle, _without(changes, gone.combine_chunks()), seq)[0] if len(changes) or len(gone) else bundle


def _told(workspace: Workspace) -> tuple[pa.Table, int]:
    """Rows of CATALOGUE_SCHEMA, one an item, and the number of the last; none where there is no journal."""
    if not workspace.journal.exists():
        return CATALOGUE_SCHEMA.empty_table(), 0
    with closing(Journal(workspace.journal)) as journal:
        seq = journal.catalogue_seq()
        return journal.catalogue_changes(0, seq), seq


def _without(changes: pa.Table, gone: pa.Array) -> pa.Table:
    """With these items unavailable, in their own rows where they have one, else in new ones behind."""
    is_gone = pc.is_in(changes["item_id"], value_set=gone)
    place = CATALOGUE_SCHEMA.get_field_index("is_available")
    shown = pc.if_else(is_gone, False, changes["is_available"])
    rest = gone.filter(pc.invert(pc.is_in(gone, value_set=changes["item_id"])))
    columns = {field.name: pa.nulls(len(rest), field.type) for field in CATALOGUE_SCHEMA}
    columns |= {"item_id": rest, "is_available": pa.repeat(pa.scalar(False), len(rest))}
    return pa.concat_tables(
        [changes.set_column(place, CATALOGUE_SCHEMA.field(place), shown), pa.table(columns, schema=CATALOGUE_SCHEMA)]
    )
