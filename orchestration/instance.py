"""The Dagster instance of a workspace: its home folder and settings. Runs are made in `runs`."""

from __future__ import annotations

import os

import dagster as dg

from recommender.workspace import Workspace, write_bytes_atomically

__all__ = ["open_instance"]

# One run at a time: two would wait for the same warehouse anyway, and SQLite run storage locks under parallel writers.
INSTANCE_SETTINGS = """\
telemetry:
  enabled: false
nux:
  enabled: false
run_queue:
  max_concurrent_runs: 1
run_monitoring:
  enabled: true
  start_timeout_seconds: 300
"""


def open_instance(workspace: Workspace) -> dg.DagsterInstance:
    """The instance under the workspace, created on first use; `DAGSTER_HOME` is set for child processes too."""
    settings = workspace.dagster_home / "dagster.yaml"
    if not settings.exists() or settings.read_text() != INSTANCE_SETTINGS:
        write_bytes_atomically(settings, INSTANCE_SETTINGS.encode())
    os.environ["DAGSTER_HOME"] = str(workspace.dagster_home)
    return dg.DagsterInstance.get()
