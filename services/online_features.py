"""Stored user states, read from Feast's online store one row at a time. The feature plane alone writes them.

Feast's own `get_online_features` takes 0.55 ms for one user; three quarters of it look the view up, build columns and
take them apart again. Its online stores' reads, which lie below, take 0.09 ms; of a file, half of that makes times of
columns that nobody reads, so its rows are selected here, on Feast's connection, in 0.06.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from recommender.configuration import read_configuration
from recommender.errors import FeatureStoreError, NotReadyError
from recommender.online_store import FILLED_ID, OnlineStore, feature_environment
from recommender.states import USER_STATE_SCHEMA
from recommender.workspace import Workspace

__all__ = ["OnlineFeatures"]

_STORE_FILE = Path(__file__).resolve().parent.parent / "feature_repo" / "feature_store.yaml"
_VIEW = "user_states"
# The cut travels as the feature `as_of_ms`; the two timestamps are Feast's own columns, not features.
_FEATURES = tuple(name for name in USER_STATE_SCHEMA.names if name not in ("user_id", "as_of", "created_at"))
# Another process may hold the file for itself: to wait for it would make all requests of a worker wait.
_BUSY_MS = 5

_Identity = tuple[object, ...]


@dataclass(frozen=True)
class _Opened:
    """A store as Feast opened it, and what it was opened on."""

    identity: _Identity
    config: Any
    provider: Any
    view: Any
    file: _StatesFile | None  # None: the store is another process

    def read(self, user_id: str) -> dict[str, Any] | None:
        """The row of a person; None where there is none."""
        if self.file is not None:
            return self.file.read(user_id)
        rows = self.provider.online_read(self.config, self.view, [_key(user_id)], list(_FEATURES))
        return _state(user_id, (rows[0][1] or {}).items())

    async def read_remote(self, user_id: str) -> dict[str, Any] | None:
        """The same, awaited, of a store that is another process."""
        rows = await self.provider.online_read_async(self.config, self.view, [_key(user_id)], list(_FEATURES))
        return _state(user_id, (rows[0][1] or {}).items())


@dataclass(frozen=True)
class _StatesFile:
    """Feast's SQLite file: a row for each entity and feature."""

    connection: sqlite3.Connection
    query: str
    key_version: int

    @classmethod
    def of(cls, store: Any, view: Any) -> _StatesFile:
        """The table that Feast keeps a view in, on the connection by which Feast reads it."""
        from feast.infra.online_stores.sqlite import _table_id

        config = store.config
        table = _table_id(config.project, view, config.registry.enable_online_feature_view_versioning)
        connection = store.provider.online_store._get_conn(config)
        connection.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
        query = f'SELECT feature_name, value FROM "{table}" WHERE entity_key = ?'
        return cls(connection, query, config.entity_key_serialization_version)

    def read(self, user_id: str) -> dict[str, Any] | None:
        """See `_Opened.read`."""
        from feast.infra.key_encoding_utils import serialize_entity_key
        from feast.protos.feast.types.Value_pb2 import Value

        key = serialize_entity_key(_key(user_id), self.key_version)
        rows = self.connection.execute(self.query, (key,))
        return _state(user_id, ((name, Value.FromString(value)) for name, value in rows))


class OnlineFeatures:
    """The decision's FeatureSource over Feast. A worker holds one, with one connection.

    A file is read on the event loop's own thread: 0.12 ms, where a thread that could be given up takes 0.38. A Redis
    is awaited, so that a frozen one costs whoever asks its deadline and nobody else anything.
    """

    def __init__(self, workspace: Workspace, address: Callable[[], OnlineStore] | None = None) -> None:
        """`address` says where the states are now: the operator may move them under a running service. Without it,
        the operator's file is read at each `connect`."""
        self._workspace = workspace
        self._address = address or (lambda: read_configuration(workspace.configuration).online_store)
        self._opened: _Opened | None = None
        self._connecting = threading.Lock()

    def connect(self) -> None:
        """Open the store, anew where its file was replaced or its address changed (the first time takes seconds:
        importing Feast). FeatureStoreError where that fails; what was open is then given up too."""
        with self._connecting:
            address = self._address()
            try:
                identity = self._identity(address)
                if self._opened is None or self._opened.identity != identity:
                    self._opened = self._open(address, identity)
            except FeatureStoreError:
                self._opened = None
                raise

    def close(self) -> None:
        """Let go of the store; its connections end with the last read under way."""
        self._opened = None

    async def read(self, user_id: str) -> Mapping[str, Any] | None:
        """`user_state`, awaited where the store is another process. A deadline is the caller's."""
        opened = self._usable()
        if opened.file is not None:
            return self.user_state(user_id)
        with _told():
            state = await opened.read_remote(user_id)
            return state if state is not None or await opened.read_remote(FILLED_ID) else _empty()

    def user_state(self, user_id: str) -> Mapping[str, Any] | None:
        """The stored row of a user in the columns of USER_STATE_SCHEMA without its two timestamps; None if unknown.

        FeatureStoreError where it cannot be read, or holds nobody at all.
        """
        opened = self._usable()
        with _told():
            state = opened.read(user_id)
            return state if state is not None or opened.read(FILLED_ID) else _empty()

    def _usable(self) -> _Opened:
        if self._opened is None:
            raise _unreadable("an online store that is not open")
        return self._opened

    def _identity(self, address: OnlineStore) -> _Identity:
        """What must be the same for an open store to be the right one."""
        if address.kind != "sqlite":
            return (address,)
        try:
            status = self._workspace.online_store.stat()
        except OSError:
            raise _unreadable(f"no online store at {self._workspace.online_store.parent}") from None
        return address, status.st_dev, status.st_ino

    def _open(self, address: OnlineStore, identity: _Identity) -> _Opened:
        if not self._workspace.feature_registry.exists():
            raise _unreadable(f"no registry of features at {self._workspace.feature_registry.parent}")
        try:
            with feature_environment(self._workspace, address, socket_timeout=5, socket_connect_timeout=5):
                store = _feature_store_class()(repo_path=str(self._workspace.root), fs_yaml_file=_STORE_FILE)
            view = store.get_feature_view(_VIEW)
            file = _StatesFile.of(store, view) if address.kind == "sqlite" else None
            opened = _Opened(identity, store.config, store.provider, view, file)
            if file is not None:
                file.read(FILLED_ID)  # a file that is no store fails here, not in a request
        except NotReadyError as problem:  # the password's variable
            raise FeatureStoreError(problem.found, problem.expected, problem.remedy) from problem
        except Exception as error:
            raise _unreadable(f"{type(error).__name__} while opening {address.words}") from error
        return opened


@contextmanager
def _told() -> Iterator[None]:
    """Whatever a store's driver raises, the answer must come from a simpler tier."""
    try:
        yield
    except FeatureStoreError:
        raise
    except Exception as error:
        raise _unreadable(f"{type(error).__name__} while reading a row") from error


def _state(user_id: str, values: Iterable[tuple[str, Any]]) -> dict[str, Any] | None:
    """Feast's values of one entity as a state; a user that is no more has a row without a cut."""
    state = {"user_id": user_id, **{name: _plain(value) for name, value in values}}
    return None if state.get("as_of_ms") is None else state


def _key(user_id: str) -> Any:
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value

    return EntityKey(join_keys=["user_id"], entity_values=[Value(string_val=user_id)])


def _plain(value: Any) -> Any:
    """A feature as Python's own value; None where it is null."""
    kind = value.WhichOneof("val")
    if kind is None:
        return None
    held = getattr(value, kind)
    return list(held.val) if kind.endswith("_list_val") else held


def _feature_store_class() -> Any:
    """Feast's FeatureStore, imported without instrumenting Feast.

    While it is imported, Feast has typeguard rewrite its classes to check every argument: 5.5 of 7.8 s
    measured, in every worker at every start, for checks that help whoever defines views, not a reader.
    """
    import typeguard

    checked = typeguard.typechecked
    typeguard.typechecked = lambda target=None, **options: target or (lambda inner: inner)  # type: ignore[assignment]
    try:
        from feast import FeatureStore
    finally:
        typeguard.typechecked = checked
    return FeatureStore


def _empty() -> NoReturn:
    """Nobody is unknown to a store that knows nobody."""
    raise _unreadable("a store that was never filled, or has lost what it held")


def _unreadable(found: str) -> FeatureStoreError:
    return FeatureStoreError(
        f"{found}.", "Feast's online store with the users' states.", "run `nextbest run` to materialise it."
    )
