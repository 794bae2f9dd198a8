"""What assets are handed: the workspace with the source and cut of a run. No work is done here."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import dagster as dg

from orchestration.settings import WorkspaceSettings, load_settings
from recommender.workspace import HOME_VARIABLE, Workspace

__all__ = ["PROJECT_ROOT", "Ring"]

PROJECT_ROOT = Path(__file__).resolve().parent.parent


class Ring(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The workspace of a run. `until` in the run's configuration re-runs the ring at an earlier cut (a backfill)."""

    home: str
    until: str = ""
    seed: int = 7
    cut_count: int = 8
    cut_interval_days: int = 7
    horizon_days: int = 7

    @property
    def workspace(self) -> Workspace:
        return Workspace(Path(self.home))

    @property
    def settings(self) -> WorkspaceSettings:
        stored = load_settings(self.workspace)
        return replace(stored, until=self.until or stored.until)

    def environment(self) -> dict[str, str]:
        """What dbt and Feast read from the environment: absolute paths of this workspace."""
        space = self.workspace
        return {
            HOME_VARIABLE: str(space.root),
            "NEXTBEST_WAREHOUSE": str(space.warehouse),
            "NEXTBEST_MARTS": str(space.marts),
            "NEXTBEST_JOURNAL": str(space.journal_events.parent),
            "NEXTBEST_FEATURE_REGISTRY": str(space.feature_registry),
            "NEXTBEST_ONLINE_STORE": str(space.online_store),
            "DBT_TARGET_PATH": str(space.dbt_target),
            "DBT_LOG_PATH": str(space.dbt_target),
        }

    @contextmanager
    def warehouse_for_writing(self) -> Iterator[None]:
        """Hold the warehouse: DuckDB refuses a second process, so a second run waits here instead of failing."""
        space = self.workspace
        for folder in (space.warehouse.parent, space.marts, space.dbt_target):
            folder.mkdir(parents=True, exist_ok=True)
        os.environ.update(self.environment())
        with (space.warehouse.parent / "writer.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
