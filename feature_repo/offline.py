"""States at past cuts, read through Feast; this is also the feature plane's front door (`__all__`).

Every snapshot counts from its own cut on: a request at cut c may see a snapshot whose `as_of` is c, never
a later one, and never a row that was created after c.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from feature_repo.online import materialise_users
from feature_repo.store import VIEWS, Kind, Progress, apply, mart_cuts, milliseconds, open_store
from recommender.errors import InputError, IntegrityError, NotReadyError
from recommender.states import ITEM_STATE_SCHEMA, USER_STATE_SCHEMA, empty_state
from recommender.workspace import Workspace

__all__ = ["apply", "materialise_users", "states_at"]

# Entity rows a join, which bounds its memory: a user's row can hold 512-entry histories (25 kB), an item's is
# narrow. Each join reads the whole mart: 831,000 item rows took 59 s in chunks of 20,000 and 11 s in these.
CHUNK_ROWS: dict[Kind, int] = {"user": 20_000, "item": 250_000}

_ENTITY_TIME = "event_timestamp"
_REQUEST_ROW = "request_row"


def states_at(
    workspace: Workspace,
    kind: Kind,
    ids: Sequence[str] | pa.Array | pa.ChunkedArray,
    cuts: Sequence[int] | npt.NDArray[np.int64] | pa.Array | pa.ChunkedArray,
    progress: Progress | None = None,
    *,
    max_age_ms: int = 0,
    chunk_rows: int | None = None,
) -> pa.Table:
    """States of entities as they were at cuts: row i answers (`ids[i]`, `cuts[i]`).

    `cuts` are milliseconds or arrow timestamps (UTC). The answer has as many rows as the request, in its
    order, duplicates included, in USER_STATE_SCHEMA or ITEM_STATE_SCHEMA. `as_of` is the snapshot's own cut:
    the requested one, or one at most `max_age_ms` older (0: exactly the requested one; at most SNAPSHOT_TTL).
    An entity without such a snapshot is unknown at that cut: its row is the empty state with `as_of` null, so
    `table.filter(pc.is_valid(table["as_of"]))` leaves the known ones. `chunk_rows` (default CHUNK_ROWS) trades
    memory for speed; the answer does not depend on it.

    Raises NotReadyError when the mart has no snapshot at a requested cut, InputError for a request that
    cannot be read, IntegrityError when Feast answers with more, fewer or other rows than were asked for.
    """
    names, moments = _request(ids, cuts)
    _, schema = VIEWS[kind]
    if not len(names):
        return schema.empty_table()
    _require_cuts(workspace, kind, np.unique(moments), max_age_ms)
    # Each (entity, cut) is asked for once and then repeated: slates share them by the hundred.
    encoded = names.dictionary_encode()
    distinct, count = encoded.dictionary, len(encoded.dictionary)
    cut_values, cut_codes = np.unique(moments, return_inverse=True)
    pairs, answer_of = np.unique(cut_codes * count + encoded.indices.to_numpy(), return_inverse=True)
    pair_names, pair_cuts = distinct.take(pa.array(pairs % count)), cut_values[pairs // count]
    store = open_store(workspace)
    pieces, step = [], chunk_rows or CHUNK_ROWS[kind]
    for start in range(0, len(pairs), step):
        stop = min(start + step, len(pairs))
        pieces.append(_ask(store, kind, pair_names[start:stop], pair_cuts[start:stop], max_age_ms))
        if progress is not None:
            progress(stop, len(pairs))
    states = pa.concat_tables(pieces)
    return states if np.array_equal(answer_of, np.arange(len(pairs))) else states.take(pa.array(answer_of))


def _request(ids: Any, cuts: Any) -> tuple[pa.StringArray, npt.NDArray[np.int64]]:
    names = _array(ids, pa.string())
    moments = milliseconds(_array(cuts, None))
    if len(names) != len(moments):
        raise InputError(f"{len(names)} ids and {len(moments)} cuts.", "one cut for each id.", "pair them row by row.")
    if names.null_count:
        raise InputError(f"{names.null_count} ids that are null.", "an id in each row.", "drop anonymous rows first.")
    return names, moments


def _array(values: Any, kind: pa.DataType | None) -> pa.Array:
    array = values if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(values, type=kind)
    array = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
    return array if kind is None or array.type == kind else array.cast(kind)


def _require_cuts(workspace: Workspace, kind: Kind, wanted: npt.NDArray[np.int64], max_age_ms: int) -> None:
    from feature_repo.feature_definitions import SNAPSHOT_TTL

    limit = int(SNAPSHOT_TTL.total_seconds() * 1000)
    if not 0 <= max_age_ms <= limit:
        raise InputError(f"max_age_ms={max_age_ms}.", f"0 to {limit}, the views' ttl.", "build snapshots at more cuts.")
    held = mart_cuts(workspace, kind)
    newest = np.concatenate([[np.iinfo(np.int64).min // 2], held])[np.searchsorted(held, wanted, side="right")]
    missing = wanted[wanted - newest > max_age_ms]
    if len(missing):
        raise NotReadyError(
            f"{kind} states are wanted at {_texts(missing)}, the mart holds {_texts(held)}.",
            "a snapshot at each wanted cut.",
            "run the data step with these cuts (variable `cuts`), or ask for cuts that it holds.",
        )


def _texts(cuts: npt.NDArray[np.int64], shown: int = 4) -> str:
    """Cuts for a sentence."""
    if not len(cuts):
        return "none"
    texts = [str(cut) for cut in cuts.astype("datetime64[ms]")]
    return ", ".join(texts if len(texts) <= shown else [*texts[: shown - 1], f"and {len(texts) - shown + 1} more"])


def _ask(store: Any, kind: Kind, names: pa.StringArray, cuts: npt.NDArray[np.int64], max_age_ms: int) -> pa.Table:
    """One point-in-time join of distinct (entity, cut) rows, its answer proven, ordered and conformed."""
    from feature_repo.feature_definitions import HIDDEN_COLUMNS

    view, schema = VIEWS[kind]
    rows = np.arange(len(names))
    frame = pa.table(
        {f"{kind}_id": names, _ENTITY_TIME: pa.array(cuts).cast(pa.timestamp("ms", tz="UTC")), _REQUEST_ROW: rows}
    )
    fields = [field for field in schema.names if field not in (f"{kind}_id", *HIDDEN_COLUMNS[kind])]
    answer = store.get_historical_features(
        entity_df=frame.to_pandas(),
        features=[f"{view}:{field}" for field in fields],
        filter_by_created_timestamp=True,  # without it, values created after the label leak in
    ).to_arrow()
    order = pc.sort_indices(answer[_REQUEST_ROW])
    if not np.array_equal(answer[_REQUEST_ROW].to_numpy()[order.to_numpy()], rows):
        raise IntegrityError(
            f"{answer.num_rows} rows for {len(rows)} distinct requests to `{view}`.",
            "each request answered exactly once.",
            "report this with the versions of feast, ibis-framework and duckdb.",
        )
    return _conform(answer.take(order), kind, cuts, max_age_ms)


def _conform(answer: pa.Table, kind: Kind, cuts: npt.NDArray[np.int64], max_age_ms: int) -> pa.Table:
    """The state schema; rows without a snapshot that is fresh enough become the empty state."""
    _, schema = VIEWS[kind]
    found = _snapshot_cuts(answer, kind)
    known = pc.fill_null(pc.greater_equal(found, pa.array(cuts - max_age_ms)), False)
    as_of = found.cast(schema.field("as_of").type)
    columns = {**{name: answer[name] for name in answer.column_names}, "as_of": as_of, "created_at": as_of}
    states = pa.table([columns[name].cast(schema.field(name).type) for name in schema.names], schema=schema)
    if pc.all(known).as_py():
        return states
    # A row behind the last holds the empty state; unknown entities take it, and keep their own id.
    row_of = pc.if_else(known, pa.array(np.arange(len(cuts))), pa.scalar(len(cuts)))
    filled = pa.concat_tables([states, _empty_row(kind)]).take(row_of)
    return filled.set_column(0, schema.field(0), answer[schema.names[0]])


def _snapshot_cuts(answer: pa.Table, kind: Kind) -> pa.Array:
    """The cut of each row's snapshot (int64 ms), null where there is none."""
    found = answer["as_of_ms"] if kind == "user" else answer["as_of"]
    found = found.combine_chunks()
    if pa.types.is_timestamp(found.type):
        found = found.cast(pa.timestamp("ms", tz=found.type.tz))
    return found.cast(pa.int64())


def _empty_row(kind: Kind) -> pa.Table:
    if kind == "user":
        return pa.Table.from_pylist([empty_state("")], schema=USER_STATE_SCHEMA)
    blank = {field.name: "" if pa.types.is_string(field.type) else 0 for field in ITEM_STATE_SCHEMA}
    unlisted = {"as_of": None, "created_at": None, "is_available": 1}
    return pa.Table.from_pylist([{**blank, **unlisted}], schema=ITEM_STATE_SCHEMA)
