"""Stored user states, read from Feast's online store one row at a time. The feature plane alone writes them.

Feast's own `get_online_features` takes 0.55 ms for one user; three quarters of it look the view up, build columns and
take them apart again. Its online stores' reads, which lie below, take 0.12 ms with the values as Python's own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
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
    is_local: bool

    def read(self, user_id: str) -> Any:
        return self.provider.online_read(self.config, self.view, [_key(user_id)], list(_FEATURES))

    async def read_remote(self, user_id: str) -> Any:
        return await self.provider.online_read_async(self.config, self.view, [_key(user_id)], list(_FEATURES))


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
        if opened.is_local:
            return self.user_state(user_id)
        with _told():
            state = _row(user_id, await opened.read_remote(user_id))
            return state if state is not None or _row(FILLED_ID, await opened.read_remote(FILLED_ID)) else _empty()

    def user_state(self, user_id: str) -> Mapping[str, Any] | None:
        """The stored row of a user in the columns of USER_STATE_SCHEMA without its two timestamps; None if unknown.

        FeatureStoreError where it cannot be read, or holds nobody at all.
        """
        opened = self._usable()
        with _told():
            state = _row(user_id, opened.read(user_id))
            return state if state is not None or _row(FILLED_ID, opened.read(FILLED_ID)) else _empty()

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
            opened = _Opened(
                identity, store.config, store.provider, store.get_feature_view(_VIEW), address.kind == "sqlite"
            )
            if opened.is_local:
                opened.read(FILLED_ID)  # opens the file, so that no request pays for it
                _limit_waiting(store.provider.online_store, store.config)
        except NotReadyError as problem:  # the password's variable
            raise FeatureStoreError(problem.found, problem.expected, problem.remedy) from problem
        except Exception as error:
            raise _unreadable(f"{type(error).__name__} while opening {address.words}") from error
        return opened


def _limit_waiting(sqlite_store: Any, config: Any) -> None:
    sqlite_store._get_conn(config).execute(f"PRAGMA busy_timeout = {_BUSY_MS}")


@contextmanager
def _told() -> Iterator[None]:
    """Whatever a store's driver raises, the answer must come from a simpler tier."""
    try:
        yield
    except FeatureStoreError:
        raise
    except Exception as error:
        raise _unreadable(f"{type(error).__name__} while reading a row") from error


def _row(user_id: str, rows: Any) -> dict[str, Any] | None:
    """Feast's answer for one entity as a state; a user that is no more has a row without a cut."""
    _, values = rows[0]
    if values is None or "as_of_ms" not in values or values["as_of_ms"].WhichOneof("val") is None:
        return None
    return {"user_id": user_id, **{name: _plain(value) for name, value in values.items()}}


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
