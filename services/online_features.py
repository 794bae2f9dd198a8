"""Stored user states, read from Feast's online store one row at a time. The feature plane alone writes them."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recommender.errors import FeatureStoreError
from recommender.states import USER_STATE_SCHEMA
from recommender.workspace import Workspace

__all__ = ["OnlineFeatures"]

_STORE_FILE = Path(__file__).resolve().parent.parent / "feature_repo" / "feature_store.yaml"
_VIEW = "user_states"
# The cut travels as the feature `as_of_ms`; the two timestamps are Feast's own columns, not features.
_FEATURES = [f"{_VIEW}:{name}" for name in USER_STATE_SCHEMA.names if name not in ("user_id", "as_of", "created_at")]


class OnlineFeatures:
    """The decision's FeatureSource over Feast. Reads block: callers bring a thread and a deadline of their own."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._store: Any = None
        self._connecting = threading.Lock()

    def connect(self) -> None:
        """Open the store (the first time takes seconds: importing Feast); FeatureStoreError where that fails."""
        with self._connecting:
            if self._store is not None:
                return
            if not self._workspace.online_store.exists() or not self._workspace.feature_registry.exists():
                raise _unreadable(f"no online store at {self._workspace.online_store.parent}")
            os.environ.update(self._workspace.feature_environment)
            try:
                store = _feature_store_class()(repo_path=str(self._workspace.root), fs_yaml_file=_STORE_FILE)
                _read(store, "")  # fills the registry's cache, so that no request pays for it
            except Exception as error:
                raise _unreadable(f"{type(error).__name__} while opening it") from error
            self._store = store

    def user_state(self, user_id: str) -> Mapping[str, Any] | None:
        """The stored row of a user in the columns of USER_STATE_SCHEMA without its two timestamps; None if unknown."""
        if self._store is None:
            raise _unreadable("an online store that is not open")
        try:
            state = _read(self._store, user_id)
        except Exception as error:  # whatever the store's driver raises: the answer must come from a simpler tier
            raise _unreadable(f"{type(error).__name__} while reading a row") from error
        return None if state.get("as_of_ms") is None else state


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


def _read(store: Any, user_id: str) -> dict[str, Any]:
    answer = store.get_online_features(features=_FEATURES, entity_rows=[{"user_id": user_id}]).to_dict()
    return {name: values[0] for name, values in answer.items()}


def _unreadable(found: str) -> FeatureStoreError:
    return FeatureStoreError(
        f"{found}.", "Feast's online store with the users' states.", "run `nextbest run` to materialise it."
    )
