"""The champion that a worker serves: verified, loaded, swapped while requests run. Nothing is decided here."""

from __future__ import annotations

import gc
import logging
from typing import Any

from recommender.attributes import attributes_of
from recommender.decision.protocols import Scorer
from recommender.errors import NextbestError
from recommender.workspace import Workspace
from services.model_store import aliases, bundle_folder

__all__ = ["Champion"]

_LOG = logging.getLogger("nextbest.champion")


class Champion:
    """Follows the alias `champion`. `scorer` is replaced in one assignment: a request sees the old or the new one."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._seen: tuple[int, int] | None = None
        self.scorer: Scorer | None = None

    @property
    def version(self) -> str:
        """The version in service, "" while there is none."""
        return "" if self.scorer is None else self.scorer.version

    def refresh(self) -> None:
        """Load the champion if the aliases changed; a bundle that is not sound is told and the old one stays."""
        try:
            status = self._workspace.aliases.stat()
        except FileNotFoundError:
            return
        if (seen := (status.st_mtime_ns, status.st_ino)) == self._seen:
            return
        self._seen = seen  # also when loading fails: the same bytes would fail again every half second
        try:
            self._load()
        except NextbestError as problem:
            kept = f"{self.version} stays in service" if self.scorer else "nothing is served"
            _LOG.error("the new champion is refused, %s. %s", kept, problem)
        except Exception:
            _LOG.exception("the new champion cannot be loaded")

    def _load(self) -> None:
        version = aliases(self._workspace).get("champion")
        if version is None or version == self.version:
            return
        # Here, not above: BentoML's supervisor imports this module too and has no use for XGBoost (2.5 s).
        from recommender.model.bundle import load_bundle

        fresh: Any = load_bundle(bundle_folder(self._workspace, "champion"))
        attributes_of(fresh.items).warm()
        before, self.scorer = self.version, fresh
        # What was just loaded lives as long as the process: out of the collector's sight, tails get shorter.
        gc.collect()
        gc.freeze()
        _LOG.info("champion %s is in service%s", fresh.version, f", after {before}" if before else "")
