"""Released bundles: BentoML's model store under the workspace, and the aliases that name them. Nothing is loaded here.

A bundle is immutable and named by its own hash. `champion` is what is served, `previous` the one
before it (the way back), `challenger` the one on trial.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from recommender.errors import InputError, IntegrityError, NoChampionError
from recommender.model.manifest import read_manifest, verify_files
from recommender.workspace import Workspace, write_bytes_atomically

__all__ = ["ALIASES", "aliases", "bundle_folder", "locked", "publish", "rename", "set_alias", "versions"]

ALIASES = ("champion", "challenger", "previous")
MODEL_NAME = "nextbest-ranker"
_FOLDER = "bundle"  # inside the stored model, beside BentoML's own model.yaml


def publish(workspace: Workspace, folder: Path) -> str:
    """Copy a verified bundle into the model store; its version. A bundle that is already there stays as it is."""
    version = _verified(folder)
    store = _store(workspace)
    stored = _stored_path(store, version)
    if stored is not None:
        if _is_whole(stored):
            return version
        store.delete(f"{MODEL_NAME}:{version}")  # an earlier copy was cut short
        (workspace.verdicts / f"{version}.json").unlink(missing_ok=True)  # and refused for it
    import bentoml

    with bentoml.models.create(f"{MODEL_NAME}:{version}", _model_store=store) as model:
        shutil.copytree(folder, Path(model.path_of(_FOLDER)))
    stored = _stored_path(store, version)
    assert stored is not None
    _sync(stored.parent)
    _verified(stored)
    return version


def aliases(workspace: Workspace) -> dict[str, str]:
    """Alias → version, for the aliases that are set."""
    if not workspace.aliases.exists():
        return {}
    try:
        found = orjson.loads(workspace.aliases.read_bytes())
        return {name: str(found[name]) for name in ALIASES if name in found}
    except (orjson.JSONDecodeError, TypeError):
        raise IntegrityError(
            f"{workspace.aliases} cannot be read.", "JSON that maps aliases to versions.", "promote a bundle again."
        ) from None


def set_alias(workspace: Workspace, alias: str, version: str) -> dict[str, str]:
    """Point an alias at a stored version, in one step; a new champion makes the old one `previous`."""
    if alias not in ALIASES:
        raise InputError(f"alias {alias!r}.", f"one of {', '.join(ALIASES)}.", "name one of them.")
    bundle_folder(workspace, version)

    def pointed(named: dict[str, str]) -> dict[str, str]:
        if alias == "champion" and named.get("champion", version) != version:
            named["previous"] = named["champion"]
        if alias == "champion" and named.get("challenger") == version:
            del named["challenger"]
        return named | {alias: version}

    return rename(workspace, pointed)


def rename(workspace: Workspace, change: Callable[[dict[str, str]], dict[str, str]]) -> dict[str, str]:
    """The one way in which aliases change: read, changed and replaced while nobody else does, process or thread.

    The pipeline promotes, people promote and roll back, every worker may refuse: each says what it changes from
    what it finds, so that two of them never undo each other.
    """
    with locked(workspace.aliases):
        named = aliases(workspace)
        changed = change(dict(named))
        if changed != named:
            write_bytes_atomically(workspace.aliases, orjson.dumps(changed, option=orjson.OPT_SORT_KEYS))
        return changed


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """One at a time, thread or process, at what `path` names; the kernel lets go when its process dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f".{path.name}.lock").open("wb") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def bundle_folder(workspace: Workspace, alias_or_version: str) -> Path:
    """The folder of a stored bundle, every file of it verified against the manifest's hashes."""
    version = alias_or_version
    if alias_or_version in ALIASES:
        found = aliases(workspace).get(alias_or_version)
        if found is None:
            raise NoChampionError(
                f"no {alias_or_version} in {workspace.root}.",
                "a bundle that the gate promoted.",
                "run `nextbest run --source NAME --path DIR` first.",
            )
        version = found
    folder = _stored_path(_store(workspace), version)
    if folder is None:
        raise IntegrityError(
            f"version {version!r} is not in the model store {workspace.bento_home}.",
            "a bundle that was published.",
            "run `nextbest run` again, or point the alias at a version that is there.",
        )
    _verified(folder)
    return folder


def versions(workspace: Workspace) -> list[str]:
    """All published versions, in no particular order of merit."""
    folder = workspace.bento_home / "models" / MODEL_NAME
    return sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def _store(workspace: Workspace) -> Any:
    # Before the first import: BentoML would otherwise create and use ~/bentoml. The store is also named
    # explicitly, because the package remembers the first home it saw for the rest of the process.
    os.environ["BENTOML_HOME"] = str(workspace.bento_home)
    workspace.bento_home.mkdir(parents=True, exist_ok=True)
    from bentoml._internal.models.model import ModelStore

    models = workspace.bento_home / "models"
    models.mkdir(exist_ok=True)
    return ModelStore(models)


def _stored_path(store: Any, version: str) -> Path | None:
    from bentoml.exceptions import BentoMLException

    if not version or not version.isalnum():
        return None  # the store takes prefixes and "latest" for names; a version here is the whole hash prefix
    try:
        found = store.list(f"{MODEL_NAME}:{version}")
    except BentoMLException:
        return None
    return Path(found[0].path) / _FOLDER if found else None


def _verified(folder: Path) -> str:
    """The version of a bundle whose every byte is as written. As `verify_bundle`, without importing XGBoost (2.5 s)."""
    manifest = read_manifest(folder)
    verify_files(folder, manifest)
    return manifest.version


def _is_whole(folder: Path) -> bool:
    try:
        _verified(folder)
    except IntegrityError:
        return False
    return True


def _sync(folder: Path) -> None:
    """Bring every file and folder to disk: an alias must never name bytes that a power cut can take back."""
    for path in [*folder.rglob("*"), folder]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
