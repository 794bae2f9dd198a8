"""Whether a released bundle may be served: tried once a machine in a process of its own, the verdict kept. No aliases.

A verdict is one small file beside the aliases, so that of many workers one tries and all know. A trial's verdict
holds on the machine and for the XGBoost that it was reached with; a refusal in service, or by hand, holds everywhere.
"""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil

from recommender.errors import IntegrityError
from recommender.workspace import Workspace, write_bytes_atomically
from services.model_store import aliases, bundle_folder, locked

__all__ = ["TrialConfig", "Verdict", "forget_verdict", "mark_proven", "read_verdict", "try_bundle", "write_verdict"]

TRIAL, SERVICE, HAND = "trial", "service", "hand"
_PROJECT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class TrialConfig:
    """What a bundle may take: `seconds` for the whole trial (1.5 measured for a small shop, most of it imports) and
    `memory_share` of the machine's memory. Of processor time for one person `score_seconds`, or less where the
    champion needs little: `slow_factor` times its time, `quick_seconds` at least."""

    seconds: float = 120.0
    score_seconds: float = 0.25
    slow_factor: float = 10.0
    quick_seconds: float = 0.05
    memory_share: float = 0.4


@dataclass(frozen=True)
class Verdict:
    """`stage` says who found it: "trial", "service" (in life) or "hand"; `reason` is a sentence where it is not sound.

    `facts` of a sound one: see `trial_load.try_out`.
    """

    version: str
    is_sound: bool
    reason: str = ""
    stage: str = TRIAL
    machine: str = ""
    facts: Mapping[str, float] = field(default_factory=dict)

    @property
    def holds_here(self) -> bool:
        """Whether the verdict need not be reached again."""
        return self.stage != TRIAL or self.machine == _machine()


def try_bundle(workspace: Workspace, version: str, config: TrialConfig | None = None) -> Verdict:
    """The verdict on a version: the one that is kept, or a new one from a process that may die of it."""
    if not version.isalnum():
        raise IntegrityError(f"version {version!r:.80}.", "sixteen hex digits.", "take one from `nextbest status`.")
    with locked(_path(workspace, version)):
        known = read_verdict(workspace, version)
        if known is not None and known.holds_here:
            return known
        found = _tried(workspace, version, config or TrialConfig())
        write_verdict(workspace, found)
        return found


def read_verdict(workspace: Workspace, version: str) -> Verdict | None:
    """The verdict that is kept, whatever machine it is of; None where there is none that can be read."""
    try:
        return Verdict(**json.loads(_path(workspace, version).read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


def write_verdict(workspace: Workspace, verdict: Verdict) -> None:
    """Keep a verdict instead of an earlier one."""
    body = json.dumps(asdict(verdict), indent=1, sort_keys=True).encode()
    write_bytes_atomically(_path(workspace, verdict.version), body)


def mark_proven(workspace: Workspace, version: str) -> None:
    """Note that a bundle served its probation: a worker that starts later needs no way back."""
    with locked(_path(workspace, version)):
        known = read_verdict(workspace, version)
        if known is not None and known.is_sound:
            write_verdict(workspace, replace(known, facts={**known.facts, "proven": 1.0}))


def forget_verdict(workspace: Workspace, version: str) -> None:
    """Let the next one who wants the bundle try it again."""
    _path(workspace, version).unlink(missing_ok=True)


def _path(workspace: Workspace, version: str) -> Path:
    return workspace.verdicts / f"{version}.json"


@cache
def _machine() -> str:
    # Without importing it (2.5 s); its distribution has several names.
    found = find_spec("xgboost")
    version = (Path(found.origin).with_name("VERSION")).read_text().strip() if found and found.origin else "none"
    return f"{platform.node()}, xgboost {version}"


def _tried(workspace: Workspace, version: str, config: TrialConfig) -> Verdict:
    """Bytes first, then the trial; whatever happens to its process is the verdict."""
    try:
        folder = bundle_folder(workspace, version)
    except IntegrityError as problem:
        return Verdict(version, False, problem.found, TRIAL, _machine())
    arguments = {
        "folder": str(folder),
        "score_seconds": _allowed_seconds(workspace, version, config),
        "memory_bytes": int(config.memory_share * psutil.virtual_memory().total),
    }
    try:
        done = subprocess.run(
            [sys.executable, "-m", "services.trial_load", json.dumps(arguments)],
            cwd=_PROJECT,
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=config.seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Verdict(version, False, f"it had not loaded and scored within {config.seconds:g} s.", TRIAL, _machine())
    return Verdict(version=version, stage=TRIAL, machine=_machine(), **_outcome(done))


def _allowed_seconds(workspace: Workspace, version: str, config: TrialConfig) -> float:
    champion = aliases(workspace).get("champion", version)
    beside = read_verdict(workspace, champion) if champion != version else None
    if beside is None or not beside.holds_here or "score_seconds" not in beside.facts:
        return config.score_seconds
    quick = max(config.slow_factor * beside.facts["score_seconds"], config.quick_seconds)
    return min(quick, config.score_seconds)


def _outcome(done: subprocess.CompletedProcess[bytes]) -> dict[str, Any]:
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        return {"is_sound": False, "reason": f"the process that tried it was ended by {name}."}
    try:
        return dict(json.loads(done.stdout.splitlines()[-1]))
    except (ValueError, IndexError, TypeError):
        told = done.stderr.decode(errors="replace").strip().splitlines() or ["nothing was said"]
        return {"is_sound": False, "reason": f"the process that tried it failed: {told[-1][:300]}"}
