"""Writing the users' states at the serving cut into the online store. Reading it is the service's part.

The ledger, a file beside the registry, says what the store holds: its address, its cut and its users.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from feature_repo.store import VIEWS, Progress, apply, mart_cuts, online_store, open_store
from recommender.errors import IntegrityError, NotReadyError
from recommender.online_store import FILLED_ID
from recommender.states import USER_STATE_SCHEMA, UserStates, empty_state
from recommender.workspace import Workspace, write_bytes_atomically

__all__ = ["answering", "materialise_users", "read_ledger", "write_ledger"]

BATCH_USERS = 1_000  # one SQLite transaction each
_CUT_KEY, _STORE_KEY = b"as_of_ms", b"online_store"

_VIEW, _ = VIEWS["user"]


def materialise_users(
    workspace: Workspace, as_of_ms: int, progress: Progress | None = None, rewind: bool = False
) -> dict[str, int]:
    """Make the online store hold every user's state at `as_of_ms`, and nothing else.

    Users that the store held and the mart no longer has get the empty state with `as_of_ms` null, which reads
    like a user nobody has seen: SQLite would keep their old rows for ever. A cut older than the one in the
    store is refused unless `rewind`, because the stores let an older write overwrite a newer one.

    Raises NotReadyError when the mart has no snapshot at the cut or a Redis does not answer, IntegrityError for an
    older cut.
    """
    held_cut, held_users = read_ledger(workspace)
    if as_of_ms < held_cut and not rewind:
        raise IntegrityError(
            f"a materialisation at {as_of_ms} into a store that serves {held_cut}.",
            "a cut that is not older than what is served.",
            "pass rewind=True when the older state is really wanted.",
        )
    states = _serving_states(workspace, as_of_ms)
    gone = held_users.filter(pc.invert(pc.is_in(held_users, value_set=states["user_id"].combine_chunks())))
    apply(workspace)
    # First the union: after a crash half way the next run still knows everyone who may be in the store.
    write_ledger(workspace, max(as_of_ms, held_cut), pa.concat_arrays([states["user_id"].combine_chunks(), gone]))
    store = open_store(workspace)
    with answering(workspace):
        _write(store, states, progress)
        _write(store, _emptied(gone, as_of_ms), None)
        _write(store, _filled(as_of_ms), None)
    write_ledger(workspace, as_of_ms, states["user_id"].combine_chunks())
    return {"users_written": states.num_rows, "users_emptied": len(gone)}


def _serving_states(workspace: Workspace, as_of_ms: int) -> pa.Table:
    cuts = mart_cuts(workspace, "user")
    if as_of_ms not in cuts:
        raise NotReadyError(
            f"no user states at {as_of_ms}; the mart's newest cut is {cuts[-1] if len(cuts) else 'none'}.",
            "a snapshot at the serving cut.",
            "run the data step for this cut first.",
        )
    at_cut = [("as_of", "=", pa.scalar(as_of_ms, pa.timestamp("ms")))]
    return UserStates.from_table(pq.read_table(workspace.mart(_VIEW), filters=at_cut)).table


def _emptied(user_ids: pa.StringArray, as_of_ms: int) -> pa.Table:
    cut = np.datetime64(as_of_ms, "ms").item()
    moments = {"as_of": cut, "created_at": cut, "as_of_ms": None}
    rows = [{**empty_state(user), **moments} for user in user_ids.to_pylist()]
    return pa.Table.from_pylist(rows, schema=USER_STATE_SCHEMA)


def _filled(as_of_ms: int) -> pa.Table:
    """The row that says that all others are there."""
    cut = np.datetime64(as_of_ms, "ms").item()
    row = {**empty_state(FILLED_ID), "as_of": cut, "created_at": cut, "as_of_ms": as_of_ms}
    return pa.Table.from_pylist([row], schema=USER_STATE_SCHEMA)


def _write(store: Any, states: pa.Table, progress: Progress | None) -> None:
    for start in range(0, states.num_rows, BATCH_USERS):
        batch = states.slice(start, BATCH_USERS)
        store.write_to_online_store(_VIEW, df=batch.to_pandas())
        if progress is not None:
            progress(start + batch.num_rows, states.num_rows)


@contextmanager
def answering(workspace: Workspace) -> Iterator[None]:
    """Tell a Redis that is not there, full or closed to us in a sentence; its own errors never name the password."""
    if (store := online_store(workspace)).kind == "sqlite":
        yield
        return
    from redis.exceptions import RedisError

    try:
        yield
    except RedisError as problem:
        raise NotReadyError(
            f"the online store {store.words} does not take states ({type(problem).__name__}: {problem}).",
            "a Redis that answers there and accepts writes.",
            "start it, or correct online_store in nextbest.yml; then run the step again.",
        ) from problem


def read_ledger(workspace: Workspace) -> tuple[int, pa.StringArray]:
    """The cut that the store serves and the users it holds; cut 0 and nobody before the first time."""
    path, store = _ledger_path(workspace), online_store(workspace)
    nothing = 0, pa.array([], pa.string())
    if not path.exists() or (store.kind == "sqlite" and not workspace.online_store.exists()):
        return nothing
    table = pq.read_table(path)
    if table.schema.metadata.get(_STORE_KEY, b"sqlite") != store.words.encode():
        return nothing  # the operator chose another store since
    return int(table.schema.metadata[_CUT_KEY]), table["user_id"].combine_chunks()


def write_ledger(workspace: Workspace, as_of_ms: int, user_ids: pa.StringArray) -> None:
    sink = pa.BufferOutputStream()
    told = {_CUT_KEY: str(as_of_ms), _STORE_KEY: online_store(workspace).words}
    pq.write_table(pa.table({"user_id": user_ids}).replace_schema_metadata(told), sink)
    write_bytes_atomically(_ledger_path(workspace), sink.getvalue().to_pybytes())


def _ledger_path(workspace: Workspace) -> Path:
    return workspace.online_store.with_name("online_users.parquet")
