"""Which code and which commit made a thing. No data is read here."""

from __future__ import annotations

import hashlib
import subprocess
from functools import cache

from orchestration.resources import PROJECT_ROOT

__all__ = ["code_fingerprint", "commit"]

_ROOMS = ("recommender", "feature_repo", "services", "monitoring", "orchestration", "dbt_project", "requirements")
_SUFFIXES = {".py", ".sql", ".yml", ".yaml", ".csv", ".txt"}


@cache
def code_fingerprint() -> str:
    """sha256 over every source file of the product and its lock file: equal prints, equal behaviour."""
    digest = hashlib.sha256()
    for room in _ROOMS:
        for path in sorted((PROJECT_ROOT / room).rglob("*")):
            if path.suffix in _SUFFIXES and not {"target", "logs", "__pycache__"} & set(path.parts):
                digest.update(str(path.relative_to(PROJECT_ROOT)).encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()


@cache
def commit() -> str:
    """The git commit of this checkout, "unknown" outside of one."""
    try:
        found = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return found.stdout.strip()
