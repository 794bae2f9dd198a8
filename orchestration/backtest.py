"""Backtests: the production pipeline run at earlier cuts, each in a workspace of its own, and its lists kept."""

from __future__ import annotations

import json
import multiprocessing
import re
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from orchestration.progress import console, following
from orchestration.provenance import code_fingerprint
from orchestration.resources import Ring
from orchestration.runs import execute
from orchestration.settings import WorkspaceSettings, forget_baselines, save_settings
from orchestration.sources import check_source, parse_until
from orchestration.tables import read_as_of_ms, rows_at
from orchestration.tuning import declared_objective
from recommender.errors import InputError, NextbestError
from recommender.model.bundle import load_bundle, verify_bundle
from recommender.model.lists import LIST_SCHEMA as LISTS_AT_ONE_CUT
from recommender.model.lists import recommend_lists
from recommender.states import UserStates
from recommender.workspace import Workspace, write_bytes_atomically

__all__ = ["LIST_SCHEMA", "backtest", "take_configuration"]

# Much of a run waits for one core: on two busy cores one took 229 s, two at once 284 to 312 s, about 3 GB each.
AT_A_TIME = 2

LIST_SCHEMA = pa.schema([("cut", pa.timestamp("ms")), *LISTS_AT_ONE_CUT])


def backtest(
    workspace: Workspace,
    source: str,
    path: str,
    cuts: Sequence[str],
    horizon: str,
    k: int,
    is_novel: bool,
    out: str,
) -> dict[str, Any]:
    """Lists at each cut for every user seen before it, written to `out` (LIST_SCHEMA); figures of each cut returned.

    `horizon` (such as "7d") is the span that labels look ahead while training, and the spacing of training cuts. Cuts
    closer than their horizon share labels: with 18 weekly cuts of 31 days, early stopping was judged on days that had
    been trained on and took 266 rounds, 12 without them; the lists of complete_journey were no better for it (R@20
    .089, with 8 cuts 31 days apart .090).
    Nothing at or after a cut is read for it: the source is landed as if it ended there.
    """
    horizon_days = _days(horizon)
    if k < 1:
        raise InputError(f"--k {k}.", "a list length of 1 or more.", "ask for at least one item, for example --k 20.")
    moments = sorted({parse_until(cut) for cut in cuts})
    fingerprint = check_source(source, path)
    tasks = [
        _Task(workspace.root, source, str(Path(path).absolute()), moment, horizon_days, k, is_novel, fingerprint.sha256)
        for moment in moments
    ]
    tables, report = [], []
    for lists, row in _judged(tasks):
        tables.append(lists)
        report.append(row)
        console.print(f"[bold]{row['cut']}[/]: lists for {row['users']:,} users, {row['seconds']} s")
    _write(pa.concat_tables(tables), Path(out))
    return {"source": source, "k": k, "novel": is_novel, "cuts": report, "out": out}


@dataclass(frozen=True)
class _Task:
    """One cut; plain values, so that another process can take it. `is_alone`: no other cut is at work beside it."""

    root: Path
    source: str
    path: str
    moment: str
    horizon_days: int
    k: int
    is_novel: bool
    fingerprint: str
    is_alone: bool = False


def _judged(tasks: Sequence[_Task]) -> Iterator[tuple[pa.Table, dict[str, Any]]]:
    """Lists and figures of each cut, in the order of the tasks, two cuts at a time."""
    if len(tasks) == 1:
        yield _lists_at(replace(tasks[0], is_alone=True))
        return
    with ProcessPoolExecutor(AT_A_TIME, multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(_lists_at, tasks)


def _lists_at(task: _Task) -> tuple[pa.Table, dict[str, Any]]:
    started = time.monotonic()
    workspace = Workspace(task.root)
    name = f"{task.source}-{re.sub(r'[^0-9]', '', task.moment)[:17]}-{task.horizon_days}d"
    home = str(workspace.root / "backtests" / name)
    # No champion is met here, so no ranker is fitted for meeting one at earlier cuts: 9 of 87 s.
    ring = Ring(home=home, horizon_days=task.horizon_days, cut_interval_days=task.horizon_days, trial_cuts=0)
    take_configuration(workspace, ring.workspace)
    version = _learn(ring, WorkspaceSettings(task.source, task.path, task.moment), task.fingerprint, task.is_alone)
    lists = _lists(ring, task.k, task.is_novel)
    users, seconds = len(lists["user_id"].unique()), round(time.monotonic() - started, 1)
    return lists, {"cut": task.moment, "users": users, "bundle": version, "seconds": seconds}


def take_configuration(workspace: Workspace, home: Workspace) -> None:
    """What the operator wants holds at past cuts too. Parameters that a search found do not: it has seen later days."""
    if workspace.configuration.exists():
        write_bytes_atomically(home.configuration, workspace.configuration.read_bytes())
    else:
        home.configuration.unlink(missing_ok=True)


def _learn(ring: Ring, settings: WorkspaceSettings, fingerprint: str, is_alone: bool) -> str:
    """A challenger trained at the cut; one that the same code made of the same files is taken as it is."""
    folder = ring.workspace.models / "challenger"
    stamp = ring.workspace.root / "backtest.json"
    objective = declared_objective(ring.workspace).as_json()
    facts = {"files": fingerprint, "code": code_fingerprint(), "path": settings.path, "objective": objective}
    wanted = json.dumps(facts)
    if not (stamp.exists() and stamp.read_text() == wanted and folder.exists()):
        forget_baselines(ring.workspace)  # a home serves every folder of tables that is judged at its cut
        save_settings(ring.workspace, settings)
        with following(f"backtest {settings.until}", has_bar=is_alone) as listen:
            outcome = execute(ring, "learn", listen)
        if not outcome.is_success:
            raise NextbestError(
                f"the run at the cut {settings.until} failed: {'; '.join(outcome.failures + outcome.failed_checks)}",
                "a challenger trained on everything before the cut.",
                f"open `NEXTBEST_HOME={ring.workspace.root} nextbest dev` for the whole log of run {outcome.run_id}.",
            )
        stamp.write_text(wanted)
    return str(verify_bundle(folder).version)


def _lists(ring: Ring, k: int, is_novel: bool) -> pa.Table:
    cut_ms = read_as_of_ms(ring.workspace)
    users = UserStates.from_table(rows_at(ring.workspace, "user_states", cut_ms))
    bundle = load_bundle(ring.workspace.models / "challenger")
    lists = recommend_lists(bundle, users, cut_ms, k, is_novel)
    cut = pa.array([cut_ms] * lists.num_rows, pa.timestamp("ms"))
    return lists.add_column(0, "cut", cut).select(LIST_SCHEMA.names).cast(LIST_SCHEMA)


def _days(text: str) -> int:
    found = re.fullmatch(r"([1-9]\d?)d", text)
    if not found:
        raise InputError(f"--horizon {text!r}.", "whole days from 1d to 99d.", "write for example --horizon 7d.")
    return int(found.group(1))


def _write(table: pa.Table, out: Path) -> None:
    """Aside, then rename: a reader never sees half a file."""
    out.parent.mkdir(parents=True, exist_ok=True)
    aside = out.with_name(f".{out.name}.part")
    pq.write_table(table, aside)
    aside.replace(out)
