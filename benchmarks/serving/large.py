"""The same shop with a larger catalogue: its items again and again under new names, each copy with people of its own.

What retrieval is fitted on grows with it; the trees are the champion's. Nothing is measured here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.serving.shop import Shop
from recommender.cuts import CutInputs
from recommender.model.bundle import build_bundle
from recommender.model.manifest import BundleFacts
from recommender.model.scorer import RankingModel
from recommender.retrieval.retriever import fit_retriever
from recommender.states import ItemTable, UserStates
from recommender.workspace import Workspace
from services.model_store import publish, set_alias

__all__ = ["Large", "grown", "large_model", "serve_large"]

PEOPLE = 300  # of each further copy: co-visits that are its own, at a size that can be fitted here
_OF_ITEMS = ("history_item_ids", "recent_item_ids")


@dataclass(frozen=True)
class Large:
    """What a larger catalogue came to: `megabytes` of its bundle on disk."""

    items: int
    megabytes: float


def serve_large(shop: Shop, workspace: Workspace, n_items: int) -> Large:
    """Make a bundle of about `n_items` items the champion of `workspace`."""
    cut = _serving_cut(shop.workspace)
    model = large_model(shop, n_items)
    folder = workspace.models / f"large-{n_items}"
    build_bundle(folder, model, cut.users, BundleFacts(cut.as_of_ms))
    set_alias(workspace, "champion", publish(workspace, folder))
    return Large(len(model.items), round(_size(folder) / 1e6, 1))


def large_model(shop: Shop, n_items: int) -> RankingModel:
    """The champion's trees over retrieval that is fitted on about `n_items` items."""
    cut = _serving_cut(shop.workspace)
    return RankingModel(shop.bundle().ranker, fit_retriever(grown(cut, -(-n_items // len(cut.items)))))


def _serving_cut(workspace: Workspace) -> CutInputs:
    names = ("user_states", "item_states", "item_pairs", "item_segments")
    tables = [pq.read_table(workspace.mart(name)) for name in names]
    latest = pc.max(tables[0]["as_of"])
    users, items, pairs, segments = (table.filter(pc.equal(table["as_of"], latest)) for table in tables)
    return CutInputs(
        latest.cast("int64").as_py(), UserStates.from_table(users), ItemTable.from_table(items), pairs, segments
    )


def grown(cut: CutInputs, copies: int) -> CutInputs:
    """`copies` times the items and pairs; the first copy keeps its names and all its people."""
    users, items, pairs = [cut.users.table], [cut.items.table], [cut.pairs]
    some = cut.users.table.slice(0, PEOPLE)
    for copy in range(1, copies):
        mark = f"~{copy}"
        items.append(_marked(cut.items.table, ("item_id",), mark))
        pairs.append(_marked(cut.pairs, ("item_id", "other_item_id"), mark))
        users.append(_marked(some, ("user_id", *_OF_ITEMS), mark))
    return CutInputs(
        cut.as_of_ms,
        UserStates.from_table(pa.concat_tables(users)),
        ItemTable.from_table(pa.concat_tables(items)),
        pa.concat_tables(pairs),
        cut.segments,
    )


def _marked(table: pa.Table, columns: tuple[str, ...], mark: str) -> pa.Table:
    """The table with `mark` behind every id in these columns, be they ids or lists of ids."""
    for name in columns:
        place, column = table.schema.get_field_index(name), table[name].combine_chunks()
        if pa.types.is_list(column.type):
            ids = _suffixed(column.flatten(), mark)
            lengths = pc.fill_null(pc.list_value_length(column), 0)
            offsets = pa.concat_arrays([pa.array([0], pa.int64()), pc.cumulative_sum(lengths.cast("int64"))])
            marked: pa.Array = pa.ListArray.from_arrays(offsets.cast("int32"), ids)
        else:
            marked = _suffixed(column, mark)
        table = table.set_column(place, table.schema.field(place), marked.cast(table.schema.field(place).type))
    return table


def _suffixed(ids: pa.Array, mark: str) -> pa.Array:
    return pc.binary_join_element_wise(ids.cast(pa.string()), mark, "")


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
