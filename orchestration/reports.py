"""The evaluation report in the workspace: what was kept of evidence, verdict and study, as one page and one JSON."""

from __future__ import annotations

import json
from typing import Any

from recommender.report.page import evaluation_page
from recommender.workspace import Workspace, write_bytes_atomically

__all__ = ["keep", "write_report"]


def keep(workspace: Workspace, name: str, version: str, content: dict[str, Any]) -> None:
    """`models/<name>.json`, with the version of the bundle that it is about."""
    text = json.dumps({"version": version, **content}, indent=1)
    write_bytes_atomically(workspace.models / f"{name}.json", text.encode())


def write_report(workspace: Workspace) -> None:
    """Make the page of the latest challenger from what is kept; a study of an earlier one stays out."""
    evidence, verdict, study = (_kept(workspace, name) for name in ("evidence", "verdict", "study"))
    own = study if study and study["version"] == evidence["version"] else None
    page = evaluation_page(evidence, verdict, own)
    figures = json.dumps({"evidence": evidence, "verdict": verdict, "study": own}, indent=1)
    write_bytes_atomically(workspace.evaluation_page, page.encode())
    write_bytes_atomically(workspace.evaluation_page.with_suffix(".json"), figures.encode())


def _kept(workspace: Workspace, name: str) -> Any:
    path = workspace.models / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None
