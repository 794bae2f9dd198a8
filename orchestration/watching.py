"""Evidence about the champion in life: drift, live performance and age, and the causes that follow."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from monitoring.drift import DriftResult, drift_report, read_drift
from monitoring.performance import LivePerformance, PerformanceFall, live_performance, performance_fall
from monitoring.retraining import Cause, Evidence, read_ledger, update_ledger
from orchestration.alerts import ledger_path, retrain_config
from orchestration.resources import Ring
from orchestration.tables import read_as_of_ms, read_mart, to_iso
from orchestration.training import champion_bundle, watch_window
from recommender.events import DAY_MS
from recommender.model.bundle import read_reference
from recommender.workspace import Workspace, write_bytes_atomically
from services.model_store import aliases, bundle_folder

__all__ = ["RECENT_DAYS", "judge_performance", "look_for_drift", "note_evidence"]

# How the champion does in its last days is compared with how it did before them.
RECENT_DAYS = 3
EVENTS_READ = ("decision_id", "event_type", "occurred_at", "recorded_at")
DECISIONS_READ = ("decision_id", "decided_at", "model_version", "user_id", "anonymous_id")


def look_for_drift(ring: Ring) -> DriftResult | None:
    """Behaviour since the champion against the champion's own reference; None while there is nothing to compare."""
    space = ring.workspace
    champion = champion_bundle(space)
    reference = read_reference(bundle_folder(space, "champion")) if champion else None
    current = watch_window(ring, champion) if champion else None
    if champion is None or reference is None or current is None:
        return None
    # A champion made by an earlier version may carry columns that nobody measures any more.
    reference = reference.select([name for name in reference.column_names if name in current.column_names])
    folder = space.reports / "drift" / f"{champion.version}-{read_as_of_ms(space)}"
    result = drift_report(reference, current, folder, seed=ring.seed)
    summary = {"champion": champion.version, "as_of": to_iso(read_as_of_ms(space)), **result.to_json()}
    _keep(space, "drift", summary)
    return result


def judge_performance(ring: Ring) -> tuple[LivePerformance, PerformanceFall]:
    """Outcomes of served decisions, and whether the champion's last days fell below its days before."""
    space = ring.workspace
    as_of_ms = read_as_of_ms(space)
    decisions = read_mart(space, "decisions", DECISIONS_READ)
    events = read_mart(space, "events", EVENTS_READ)
    live = live_performance(decisions, events, as_of_ms)
    version = aliases(space).get("champion", "none")
    fall = _fall(decisions, events, version, as_of_ms)
    found = {"champion": version, "as_of_ms": as_of_ms, "live": live.to_json(), "fall": asdict(fall)}
    _keep(space, "performance", found)
    return live, fall


def _fall(decisions: Any, events: Any, version: str, as_of_ms: int) -> PerformanceFall:
    """The champion's decisions of the last days against its earlier ones, split at a moment."""
    import pyarrow as pa
    import pyarrow.compute as pc

    split = pa.scalar(as_of_ms - RECENT_DAYS * DAY_MS, pa.timestamp("ms"))
    is_recent = pc.greater_equal(decisions["decided_at"].cast(pa.timestamp("ms")), split)
    before = live_performance(decisions.filter(pc.invert(is_recent)), events, as_of_ms)
    recent = live_performance(decisions.filter(is_recent), events, as_of_ms)
    return performance_fall(before.model(version), recent.model(version))


def note_evidence(ring: Ring) -> tuple[list[Cause], DriftResult | None]:
    """Write this window into the ledger; the causes that rose in it, and the drift that was found."""
    space = ring.workspace
    champion = champion_bundle(space)
    if champion is None:
        return [], None
    known = {entry.cause.key for entry in read_ledger(ledger_path(space)).entries}
    as_of_ms = read_as_of_ms(space)
    drift = _latest_drift(space, champion.version, as_of_ms)
    fall = _latest_fall(space, champion.version, as_of_ms)
    evidence = Evidence(champion.version, champion.manifest.as_of_ms, to_iso(as_of_ms), as_of_ms, drift, fall)
    ledger = update_ledger(ledger_path(space), lambda held: held.note(evidence, retrain_config(space)))
    return [entry.cause for entry in ledger.entries if entry.cause.key not in known], drift


def _latest_drift(workspace: Workspace, version: str, as_of_ms: int) -> DriftResult | None:
    path = workspace.reports / "drift" / f"{version}-{as_of_ms}" / "drift.json"
    return read_drift(path) if path.exists() else None


def _latest_fall(workspace: Workspace, version: str, as_of_ms: int) -> PerformanceFall | None:
    path = _path(workspace, "performance")
    found = json.loads(path.read_text()) if path.exists() else {}
    is_about_it = (found.get("champion"), found.get("as_of_ms")) == (version, as_of_ms)
    return PerformanceFall(**found["fall"]) if is_about_it else None


def _keep(workspace: Workspace, name: str, found: dict[str, Any]) -> None:
    write_bytes_atomically(_path(workspace, name), json.dumps(found, indent=1).encode())


def _path(workspace: Workspace, name: str) -> Path:
    return workspace.monitoring / f"{name}.json"
