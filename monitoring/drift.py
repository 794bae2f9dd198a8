"""Drift of one window against a reference: which columns drifted, by how much, and how sure that is.

How large an effect chance alone makes is in `drift_calibration`, Evidently's page in `drift_page`; what
follows from a drift is in `retraining`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from monitoring.drift_calibration import Calibration, calibrate, split_effects
from monitoring.drift_frames import Frame, comparable_frames, is_numeric
from monitoring.drift_page import CATEGORICAL_METHOD, NUMERIC_METHOD, draw_drift
from recommender.errors import IntegrityError
from recommender.workspace import write_bytes_atomically

__all__ = ["ColumnDrift", "DriftConfig", "DriftResult", "decide_drift", "drift_report", "read_drift"]

Verdict = Literal["drift", "no drift", "not enough data"]


@dataclass(frozen=True)
class DriftConfig:
    """A column drifts when its effect reaches a floor (it matters) and a calibrated threshold (it is not chance)."""

    # Wasserstein distance in standard deviations of the reference; a shift of the mean by 0.2 must not escape.
    numeric_floor: float = 0.1
    # Jensen-Shannon distance: about 14 points of share moving between two equal categories.
    categorical_floor: float = 0.1
    # Probability that a window without drift shows any column above its calibrated threshold; the floor lowers it.
    family_wise: float = 0.005
    permutations: int = 999
    # Values that both sides need in a column.
    min_rows: int = 500
    # Rows a side for the calibration. More would only lower thresholds that already lie under the floor.
    max_calibration_rows: int = 5_000
    ignored_columns: tuple[str, ...] = ("user_id", "item_id")


@dataclass(frozen=True)
class ColumnDrift:
    """One column's figures; drifted means effect >= threshold.

    `threshold` is the larger of the floor and the calibrated one. `tail` is family-wise: the share of
    chance splits in which some column lies as far out as this one.
    """

    column: str
    method: str
    effect: float
    threshold: float
    tail: float
    is_drifted: bool


@dataclass(frozen=True)
class DriftResult:
    """What one comparison found. `html_path` is None when there was too little to compare."""

    verdict: Verdict
    columns: tuple[ColumnDrift, ...]
    skipped_columns: tuple[str, ...]  # too few values on one side, or of a type that has no distribution
    n_reference: int
    n_current: int
    min_rows: int
    html_path: str | None = None
    json_path: str | None = None

    @property
    def is_drifted(self) -> bool:
        return self.verdict == "drift"

    @property
    def drifted(self) -> tuple[ColumnDrift, ...]:
        """Drifted columns, the furthest beyond its threshold first."""
        found = (column for column in self.columns if column.is_drifted)
        return tuple(sorted(found, key=lambda column: (-column.effect / column.threshold, column.column)))

    @property
    def drifted_share(self) -> float:
        """Share of the compared columns that drifted; 0 when none could be compared."""
        return len(self.drifted) / len(self.columns) if self.columns else 0.0

    def sentence(self) -> str:
        """The finding for a person."""
        rows = f"{self.n_current:,} rows against {self.n_reference:,}"
        if self.verdict == "not enough data":
            return f"Not enough data to judge drift: {rows}; each side needs {self.min_rows:,} values in a column."
        if not self.drifted:
            return f"No drift in {len(self.columns)} columns ({rows})."
        worst = self.drifted[0]
        return (
            f"{len(self.drifted)} of {len(self.columns)} columns drifted ({rows}); furthest out is "
            f"{worst.column} with {worst.effect:.3f} where {worst.threshold:.3f} is the limit."
        )

    def to_json(self) -> dict[str, Any]:
        """Every field, and what follows from them."""
        derived = {"is_drifted": self.is_drifted, "drifted_share": self.drifted_share, "sentence": self.sentence()}
        return asdict(self) | derived

    def to_markdown(self) -> str:
        """A table of every column for Dagster's metadata, drifted ones first."""
        ordered = (*self.drifted, *(column for column in self.columns if not column.is_drifted))
        head = ["| column | method | effect | limit | tail | drifted |", "| --- | --- | --- | --- | --- | --- |"]
        return "\n".join(head + [_table_row(column) for column in ordered])


def drift_report(
    reference: Frame, current: Frame, out_folder: Path, config: DriftConfig | None = None, seed: int = 0
) -> DriftResult:
    """Compare two frames; write `drift.json` (the decision), and `drift.html` and `evidently.json` (the evidence).

    The effects are Evidently's, the thresholds are ours and handed to Evidently, so page and verdict agree.
    Raises InputError when the current frame lacks a column of the reference.
    """
    config = config or DriftConfig()
    before, after, blank = _prepare(reference, current, config)
    json_path = out_folder / "drift.json"
    result = replace(blank, json_path=str(json_path))
    if len(before.columns):
        calibration = _calibrate(before, after, config, seed)
        page = draw_drift(before, after, _limits(before, calibration, config))
        result = _judge(result, before, page.effects, calibration, config)
        result = replace(result, html_path=str(out_folder / "drift.html"))
        write_bytes_atomically(out_folder / "evidently.json", json.dumps(page.figures, indent=1).encode())
        write_bytes_atomically(out_folder / "drift.html", page.html.encode())
    write_bytes_atomically(json_path, json.dumps(result.to_json(), indent=1).encode())
    return result


def decide_drift(reference: Frame, current: Frame, config: DriftConfig | None = None, seed: int = 0) -> DriftResult:
    """The same decision as `drift_report` without Evidently and without files; made for thousands of windows."""
    config = config or DriftConfig()
    before, after, blank = _prepare(reference, current, config)
    if not len(before.columns):
        return blank
    pooled = pd.concat([before, after], ignore_index=True)
    effects = split_effects(pooled, (np.arange(len(pooled)) < len(before))[None, :])[0]
    calibration = _calibrate(before, after, config, seed)
    return _judge(blank, before, dict(zip(before.columns, effects, strict=True)), calibration, config)


def read_drift(json_path: Path) -> DriftResult:
    """The result as `drift_report` wrote it. Raises IntegrityError when the file is something else."""
    try:
        stored = json.loads(json_path.read_bytes())
        columns = tuple(ColumnDrift(**column) for column in stored.pop("columns"))
        for derived in ("is_drifted", "drifted_share", "sentence"):
            del stored[derived]
        return DriftResult(**{**stored, "columns": columns, "skipped_columns": tuple(stored["skipped_columns"])})
    except (KeyError, TypeError, ValueError) as error:
        raise IntegrityError(
            f"{json_path}, which does not hold a drift result ({error}).",
            "the file that the drift report wrote.",
            "materialise the drift report again.",
        ) from error


def _prepare(reference: Frame, current: Frame, config: DriftConfig) -> tuple[pd.DataFrame, pd.DataFrame, DriftResult]:
    """Comparable frames, and the result that stands when nothing could be compared."""
    before, after, skipped = comparable_frames(reference, current, config.ignored_columns, config.min_rows)
    blank = DriftResult("not enough data", (), skipped, len(reference), len(current), config.min_rows)
    return before, after, blank


def _calibrate(before: pd.DataFrame, after: pd.DataFrame, config: DriftConfig, seed: int) -> Calibration:
    return calibrate(
        before,
        after,
        family_wise=config.family_wise,
        permutations=config.permutations,
        max_rows=config.max_calibration_rows,
        seed=seed,
    )


def _limits(before: pd.DataFrame, calibration: Calibration, config: DriftConfig) -> dict[str, float]:
    return {
        str(name): max(float(threshold), config.numeric_floor if is_numeric(before[name]) else config.categorical_floor)
        for name, threshold in zip(before.columns, calibration.thresholds, strict=True)
    }


def _judge(
    blank: DriftResult,
    before: pd.DataFrame,
    effects: Mapping[str, float],
    calibration: Calibration,
    config: DriftConfig,
) -> DriftResult:
    tails = calibration.tails(np.array([effects[name] for name in before.columns]))
    limits = _limits(before, calibration, config)
    columns = tuple(
        ColumnDrift(
            column=name,
            method=NUMERIC_METHOD if is_numeric(before[name]) else CATEGORICAL_METHOD,
            effect=float(effects[name]),
            threshold=limits[name],
            tail=float(tail),
            is_drifted=bool(effects[name] >= limits[name]),
        )
        for name, tail in zip(before.columns, tails, strict=True)
    )
    verdict: Verdict = "drift" if any(column.is_drifted for column in columns) else "no drift"
    return replace(blank, verdict=verdict, columns=columns)


def _table_row(column: ColumnDrift) -> str:
    figures = f"{column.effect:.3f} | {column.threshold:.3f} | {column.tail:.3f}"
    return f"| {column.column} | {column.method} | {figures} | {'yes' if column.is_drifted else ''} |"
