"""Which source feeds a workspace, until when, and which clock its service keeps: one JSON file, kept here."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from recommender.errors import NotReadyError
from recommender.workspace import Workspace, write_bytes_atomically

__all__ = ["ARCHIVE_AGE_DAYS", "WorkspaceSettings", "forget_baselines", "load_settings", "save_settings"]

# Data that end longer ago than this are an archive: the service's clock then starts where they end,
# because a recency of 5,400 days (online_retail served in 2026) means nothing to a model trained on weeks.
ARCHIVE_AGE_DAYS = 3


@dataclass(frozen=True)
class WorkspaceSettings:
    """What `nextbest run` was told last."""

    source: str
    path: str
    until: str = ""
    clock: dict[str, Any] = field(default_factory=lambda: {"mode": "wall"})
    retrain: dict[str, Any] = field(default_factory=dict)  # overrides of monitoring.retraining.RetrainConfig


def load_settings(workspace: Workspace) -> WorkspaceSettings:
    """Read the settings; a workspace that was never fed gets a sentence."""
    if not workspace.settings.exists():
        raise NotReadyError(
            f"the workspace {workspace.root} has no source yet.",
            "a workspace that a source was landed in.",
            "run `nextbest run --source NAME --path DIR` first, or `nextbest demo` to look around.",
        )
    return WorkspaceSettings(**json.loads(workspace.settings.read_text()))


def save_settings(workspace: Workspace, settings: WorkspaceSettings) -> None:
    """Replace the settings in one step."""
    write_bytes_atomically(workspace.settings, json.dumps(asdict(settings), indent=2).encode())


def forget_baselines(workspace: Workspace) -> None:
    """Let the next run make the baseline: volumes and kinds of one source say nothing about those of another."""
    for baseline in workspace.monitoring.glob("validation_*.json"):
        baseline.unlink()
