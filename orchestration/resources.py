"""What assets are handed: the workspace with the source and cut of a run. No work is done here."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Self

import dagster as dg

from orchestration.settings import WorkspaceSettings, load_settings
from recommender.workspace import HOME_VARIABLE, Workspace

__all__ = ["PROJECT_ROOT", "Ring"]

PROJECT_ROOT = Path(__file__).resolve().parent.parent


class Ring(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The workspace of a run. `until` in the run's configuration re-runs the ring at an earlier cut (a backfill); `at`
    is the moment at which agents learn and decide, as `nextbest agent run --at` takes it.

    `trial_cuts`: cuts before the holdout at which champion and challenger meet too; with it four weeks, half the noise
    of one.
    """

    home: str
    until: str = ""
    at: str = ""
    seed: int = 7
    tune_trials: int = 30
    study_rounds: int = 60
    study_rows: int = 150_000
    cut_count: int = 8
    cut_interval_days: int = 7
    horizon_days: int = 7
    trial_cuts: int = 3

    @property
    def workspace(self) -> Workspace:
        return Workspace(Path(self.home))

    @property
    def settings(self) -> WorkspaceSettings:
        stored = load_settings(self.workspace)
        return replace(stored, until=self.until or stored.until)

    def environment(self) -> dict[str, str]:
        """What dbt reads from the environment: absolute paths of this workspace."""
        space = self.workspace
        return {
            HOME_VARIABLE: str(space.root),
            "NEXTBEST_WAREHOUSE": str(space.warehouse),
            "NEXTBEST_MARTS": str(space.marts),
            "NEXTBEST_JOURNAL": str(space.journal_events.parent),
            "NEXTBEST_AGENTS": str(space.agents),
            "DBT_TARGET_PATH": str(space.dbt_target),
            "DBT_LOG_PATH": str(space.dbt_target),
        }

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator[Self]:
        """Hold the workspace for the length of a run; a second one waits, whoever launched it.

        A retraining that read marts while a refresh rewrote them judged a model against the wrong cut. Sensors
        are handed this resource without a run, and wait for nobody.
        """
        if context.run is None:
            yield self
            return
        space = self.workspace
        for folder in (space.warehouse.parent, space.marts, space.dbt_target, space.logs):
            folder.mkdir(parents=True, exist_ok=True)
        os.environ.update(self.environment())
        with (space.root / "run.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                (context.log or dg.get_dagster_logger()).info("another run holds this workspace; waiting for its end")
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield self
