"""`nextbest run`, `tune` and `simulate`: a source landed and taken the whole way round, and what came of it."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.progress import Progress

from orchestration.progress import console, following
from orchestration.resources import Ring
from orchestration.runs import RunOutcome, execute
from orchestration.settings import (
    ARCHIVE_AGE_DAYS,
    WorkspaceSettings,
    forget_baselines,
    load_settings,
    save_settings,
)
from orchestration.sources import check_source, parse_until
from orchestration.tables import read_as_of_ms, to_iso
from recommender.errors import InputError
from recommender.events import DAY_MS
from recommender.simulation import Simulation, SimulationConfig, simulate, write_tables
from recommender.workspace import Workspace

__all__ = ["anchor_clock", "run_ring", "run_study", "run_tuning", "simulate_tables"]

DEFAULT_SEED = 7


def run_ring(workspace: Workspace, source: str | None, path: str | None, until: str) -> dict[str, Any]:
    """Land the source (the last one when none is named), run the job `ring`, report its figures."""
    settings = _settled(workspace, source, path, until)
    if settings.source == "simulated" and not Path(settings.path).exists():
        simulate_tables(2_000, 600, 60, DEFAULT_SEED, settings.path)
    check_source(settings.source, settings.path)
    _begin_anew_with_another_source(workspace, settings)
    save_settings(workspace, settings)
    ring = Ring(home=str(workspace.root))
    with following(f"ring {settings.source}") as listen:
        outcome = execute(ring, "ring", listen)
    if outcome.is_success:
        anchor_clock(workspace)
    return _report(workspace, settings, outcome)


def run_tuning(workspace: Workspace, trials: int, seed: int) -> dict[str, Any]:
    """Run the job `tune` on the training set at hand, report what it found."""
    if trials < 2:
        raise InputError(f"--trials {trials}.", "at least 2: the defaults and one other.", "ask for more trials.")
    load_settings(workspace)  # says what to do in a workspace that was never fed
    ring = Ring(home=str(workspace.root), seed=seed, tune_trials=trials)
    with following("tune") as listen:
        outcome = execute(ring, "tune", listen)
    report: dict[str, Any] = {"succeeded": outcome.is_success, "seconds": round(outcome.seconds, 1)}
    found = outcome.metadata.get("ranker_parameters", {})
    report |= {key: figure for key, figure in found.items() if not _is_picture(figure)}
    if outcome.is_success:
        report["written to"] = str(workspace.models / "search.json")
    return report | ({"failures": outcome.failures} if outcome.failures else {})


def run_study(workspace: Workspace, rounds: int, rows: int) -> dict[str, Any]:
    """Run the job `study` on the latest challenger, report what it found and where the page is."""
    if rounds < 1 or rows < 1_000:
        raise InputError(f"--rounds {rounds} --rows {rows}.", "at least 1 round and 1,000 rows.", "ask for more.")
    load_settings(workspace)
    ring = Ring(home=str(workspace.root), study_rounds=rounds, study_rows=rows)
    with following("study") as listen:
        outcome = execute(ring, "study", listen)
    report: dict[str, Any] = {"succeeded": outcome.is_success, "seconds": round(outcome.seconds, 1)}
    report |= outcome.metadata.get("ranking_study", {})
    return report | ({"failures": outcome.failures} if outcome.failures else {})


def _settled(workspace: Workspace, source: str | None, path: str | None, until: str) -> WorkspaceSettings:
    cut = parse_until(until) if until else ""
    if source is None and path is None:
        stored = load_settings(workspace)
        return replace(stored, until=cut)
    if source is None or path is None:
        raise InputError(
            f"{'--source' if path is None else '--path'} alone.",
            "both --source and --path, or neither to run the workspace's last source again.",
            "write for example `nextbest run --source tables --path DIR`.",
        )
    wanted = WorkspaceSettings(source, str(Path(path).absolute()), cut)
    if workspace.settings.exists():
        stored = load_settings(workspace)
        if (stored.source, stored.path, stored.until) == (wanted.source, wanted.path, wanted.until):
            return stored
    return wanted


def _begin_anew_with_another_source(workspace: Workspace, settings: WorkspaceSettings) -> None:
    if workspace.settings.exists():
        stored = load_settings(workspace)
        if (stored.source, stored.path) != (settings.source, settings.path):
            forget_baselines(workspace)


def anchor_clock(workspace: Workspace) -> None:
    """Start the service's clock where the data end, when they ended long ago; never turn it back within a run."""
    settings = load_settings(workspace)
    now_ms, as_of_ms = time.time_ns() // 1_000_000, read_as_of_ms(workspace)
    if now_ms - as_of_ms <= ARCHIVE_AGE_DAYS * DAY_MS:
        clock: dict[str, Any] = {"mode": "wall"}
    else:
        offset = as_of_ms - now_ms
        clock = {"mode": "replay", "offset_ms": max(offset, settings.clock.get("offset_ms", offset))}
    save_settings(workspace, replace(settings, clock=clock))


def _report(workspace: Workspace, settings: WorkspaceSettings, outcome: RunOutcome) -> dict[str, Any]:
    figures = outcome.metadata
    report: dict[str, Any] = {
        "succeeded": outcome.is_success,
        "run_id": outcome.run_id,
        "source": settings.source,
        "until": settings.until,
        "seconds": round(outcome.seconds, 1),
        "home": str(workspace.root),
    }
    if outcome.is_success:
        report["as_of"] = to_iso(read_as_of_ms(workspace))
        report["clock"] = load_settings(workspace).clock["mode"]
    for name in ("training_set", "challenger", "champion", "online_user_states", "journal"):
        if name in figures:
            report[name] = {key: figure for key, figure in figures[name].items() if not _is_picture(figure)}
    if outcome.failed_checks:
        report["failed_checks"] = outcome.failed_checks
    if outcome.failures:
        report["failures"] = outcome.failures
    return report


def _is_picture(figure: Any) -> bool:
    return isinstance(figure, str) and figure.startswith("![")


def simulate_tables(users: int, items: int, days: int, seed: int, out: str) -> Simulation:
    """Simulate a shop and write its canonical tables to `out`, with a bar."""
    try:
        config = SimulationConfig(users=users, items=items, days=days)
    except ValueError as problem:
        raise InputError(
            f"{users} users, {items} items, {days} days: {problem}.", "a shop that can exist.", "choose larger figures."
        ) from problem
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("simulating days", total=days)
        made = simulate(config, seed, lambda done, total: bar.update(task, completed=done, total=total))
    write_tables(made, Path(out))
    console.print(f"simulated shop: {made.events.num_rows:,} events, {users:,} users, {items:,} items → {out}")
    return made
