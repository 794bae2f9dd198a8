"""Opening and registering the feature store of a workspace, and which cuts its marts hold; no state is read here."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recommender.configuration import read_configuration
from recommender.errors import NotReadyError
from recommender.online_store import OnlineStore, feature_environment
from recommender.states import ITEM_STATE_SCHEMA, USER_STATE_SCHEMA
from recommender.workspace import Workspace

__all__ = [
    "FEATURE_STORE_YAML",
    "VIEWS",
    "Kind",
    "Progress",
    "apply",
    "mart_cuts",
    "milliseconds",
    "online_store",
    "open_store",
]

FEATURE_STORE_YAML = Path(__file__).with_name("feature_store.yaml")

Kind = Literal["user", "item"]
Progress = Callable[[int, int], None]  # rows done, rows in all

# Kind of entity → its view (also the mart's name) and schema.
VIEWS: dict[Kind, tuple[str, pa.Schema]] = {
    "user": ("user_states", USER_STATE_SCHEMA),
    "item": ("item_states", ITEM_STATE_SCHEMA),
}


def open_store(workspace: Workspace) -> Any:
    """A `feast.FeatureStore` on the workspace's registry and stores (the import takes about 5 s).

    A Redis that is frozen is given up after half a minute: its client would wait for ever.
    """
    from feast import FeatureStore

    workspace.feature_registry.parent.mkdir(parents=True, exist_ok=True)
    with feature_environment(workspace, online_store(workspace), socket_timeout=30, socket_connect_timeout=5):
        return FeatureStore(repo_path=str(workspace.root), fs_yaml_file=FEATURE_STORE_YAML)


def online_store(workspace: Workspace) -> OnlineStore:
    """Where the operator wants users' states to be served from."""
    return read_configuration(workspace.configuration).online_store


def apply(workspace: Workspace) -> dict[str, int]:
    """Register entities, views and the user's service; doing it again changes nothing. Counts for a person."""
    from feature_repo.feature_definitions import define

    store = open_store(workspace)
    if online_store(workspace).kind == "sqlite":
        # Write-ahead logging is a lasting property of the file: without it a materialisation makes the
        # service's reads wait for its commits.
        with closing(sqlite3.connect(workspace.online_store)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
    definitions = define(workspace.marts)
    store.apply(definitions.objects())
    return {
        "user_features": len(definitions.user_view.features),
        "item_features": len(definitions.item_view.features),
    }


def mart_cuts(workspace: Workspace, kind: Kind) -> npt.NDArray[np.int64]:
    """The cuts (ms, ascending) at which the mart holds snapshots."""
    view, _ = VIEWS[kind]
    path = workspace.mart(view)
    if not path.exists():
        raise NotReadyError(f"no mart `{view}` at {path}.", "the Parquet that dbt writes.", "run the data step first.")
    return np.sort(milliseconds(pc.unique(pq.read_table(path, columns=["as_of"])["as_of"]).drop_null()))


def milliseconds(times: pa.Array) -> npt.NDArray[np.int64]:
    """Arrow timestamps of any unit, or integers that are milliseconds already, as int64 milliseconds."""
    if pa.types.is_timestamp(times.type):
        times = times.cast(pa.timestamp("ms", tz=times.type.tz)).cast(pa.int64())
    return np.asarray(times.to_numpy(zero_copy_only=False), dtype=np.int64)
