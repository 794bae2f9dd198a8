"""Whether marts are fit to learn from: measures and samples judged by the suites, compared with the last good run.

Limits and their reasons are in suites.py, measures in measures.py, Great Expectations in gx.py.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from monitoring.gx import Batch, Check, Outcome, run_checks
from monitoring.measures import Marts, Measures, baseline_of, measure
from monitoring.suites import ROW_EXPECTATIONS, Limits, suite
from recommender.workspace import Workspace, write_bytes_atomically

__all__ = ["LANDED_TABLES", "STATE_TABLES", "Failure", "ValidationResult", "validate"]

LANDED_TABLES = ("events", "items", "users", "decisions")
STATE_TABLES = ("user_states", "item_states")
SAMPLE_ROWS = 100_000  # rows for the row expectations, evenly spaced; the measures see every row
_ROWS_REASON = "rows that a reader or a feature cannot use"


@dataclass(frozen=True)
class Failure:
    """One expectation that was not met: what was found, what was expected and why."""

    table: str
    subject: str
    found: str
    expected: str
    reason: str

    def __str__(self) -> str:
        return f"{self.table}: {self.subject} is {self.found}, expected {self.expected} ({self.reason})"


@dataclass(frozen=True)
class ValidationResult:
    """The verdict on the tables: `measures` by table, and the page for people."""

    success: bool
    failures: tuple[Failure, ...]
    expectations: int
    rows: dict[str, int]
    measures: dict[str, Measures]
    docs_path: Path


def validate(
    workspace: Workspace, as_of_ms: int, tables: Sequence[str] = LANDED_TABLES, limits: Limits | None = None
) -> ValidationResult:
    """Judge marts as of a cut; a success becomes the baseline that later runs are compared with.

    The Data Docs are written to `workspace.data_docs / "landed"` (or `"states"`, for the tables of features).
    Raises NotReadyError for a mart that is not there, InputError for one without its columns, IntegrityError
    when Great Expectations itself stumbles.
    """
    marts, gate = Marts(workspace), "states" if set(tables) <= set(STATE_TABLES) else "landed"
    before = _baseline(workspace, gate, as_of_ms)
    measures = {table: measure(marts, table, as_of_ms, before.get(table)) for table in tables}
    batches = [_measured(table, measures[table], limits or Limits()) for table in tables]
    # An empty frame passes every row expectation: it is left to the measure `rows`.
    sampled = [_sampled(workspace, table) for table in tables if marts.rows(table)]
    docs = workspace.data_docs / gate
    outcomes = run_checks([*batches, *sampled], docs)
    failures = tuple(_failure(outcome) for outcome in outcomes if not outcome.success)
    if not failures:
        _remember(workspace, gate, as_of_ms, {**before, **{table: baseline_of(marts, table) for table in tables}})
    rows = {table: marts.rows(table) for table in tables}
    return ValidationResult(not failures, failures, len(outcomes), rows, measures, docs / "index.html")


def _measured(table: str, measures: Measures, limits: Limits) -> Batch:
    """The whole table as one row; measures that do not apply (no prices, no earlier run) are left out."""
    applicable = {name: value for name, value in measures.items() if value is not None}
    checks = [
        Check(
            "ExpectColumnValuesToBeBetween",
            {"column": name, "min_value": limit.low, "max_value": limit.high},
            limit.reason,
        )
        for name, limit in suite(table, limits).items()
        if name in applicable
    ]
    return Batch(f"{table}.measures", pd.DataFrame([applicable], dtype="float64"), checks, is_measures=True)


def _sampled(workspace: Workspace, table: str) -> Batch:
    expected = ROW_EXPECTATIONS[table]
    columns = sorted({column for _, column, _ in expected})
    rows = pq.read_table(workspace.mart(table), columns=columns)
    if rows.num_rows > SAMPLE_ROWS:
        rows = rows.take(pa.array(np.linspace(0, rows.num_rows - 1, SAMPLE_ROWS).astype(np.int64)))
    checks = [Check(kind, {"column": column, **arguments}, _ROWS_REASON) for kind, column, arguments in expected]
    return Batch(f"{table}.rows", rows.to_pandas(), checks)


def _failure(outcome: Outcome) -> Failure:
    line = outcome.line()
    return Failure(line.batch.partition(".")[0], line.subject, line.found, line.expected, line.reason)


def _baseline(workspace: Workspace, gate: str, as_of_ms: int) -> dict[str, Any]:
    """What the last good run found, by table; nothing when that run looked further ahead than this one."""
    path = _baseline_path(workspace, gate)
    stored = json.loads(path.read_bytes()) if path.exists() else {"as_of_ms": 0, "tables": {}}
    tables: dict[str, Any] = stored["tables"] if stored["as_of_ms"] <= as_of_ms else {}
    return tables


def _remember(workspace: Workspace, gate: str, as_of_ms: int, tables: Mapping[str, Any]) -> None:
    text = json.dumps({"as_of_ms": as_of_ms, "tables": tables}, indent=2, sort_keys=True)
    write_bytes_atomically(_baseline_path(workspace, gate), text.encode())


def _baseline_path(workspace: Workspace, gate: str) -> Path:
    return workspace.monitoring / f"validation_{gate}.json"
