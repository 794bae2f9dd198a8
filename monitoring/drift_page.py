"""The one place that calls Evidently for drift: a page for people and the effect sizes. It decides nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from monitoring.drift_frames import is_numeric
from monitoring.harmless import harmless, harmless_frame

__all__ = ["CATEGORICAL_METHOD", "NUMERIC_METHOD", "DriftPage", "draw_drift"]

# Evidently's names. Left to itself it picks a test by the size of the reference alone, and with 5,000 against 300
# rows raised a false alarm in 95 % of quiet windows.
NUMERIC_METHOD = "wasserstein"
CATEGORICAL_METHOD = "jensenshannon"


@dataclass(frozen=True)
class DriftPage:
    """A standalone page (scripts and styles inside, nothing fetched), Evidently's figures, and effect by column."""

    html: str
    figures: dict[str, Any]
    effects: dict[str, float]


def draw_drift(reference: pd.DataFrame, current: pd.DataFrame, limits: Mapping[str, float]) -> DriftPage:
    """Evidently's report on columns of float64 or object, with our limit for each of them.

    `limits` are in effect units. The page calls the window drifted as soon as one column is.
    """
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    shown = {harmless(str(name)): str(name) for name in reference.columns}
    reference, current = harmless_frame(reference), harmless_frame(current)
    numeric = [name for name in shown if is_numeric(reference[name])]
    categorical = [name for name in shown if name not in numeric]
    definition = DataDefinition(numerical_columns=numeric, categorical_columns=categorical)
    preset = DataDriftPreset(
        columns=numeric + categorical,
        num_method=NUMERIC_METHOD,
        cat_method=CATEGORICAL_METHOD,
        per_column_threshold={name: limits[stored] for name, stored in shown.items()},
        drift_share=int(1000 / len(limits)) / 1000,  # "at least one column", rounded so that the page reads well
    )
    sides = (Dataset.from_pandas(frame, data_definition=definition) for frame in (current, reference))
    snapshot = Report([preset]).run(*sides)
    figures = json.loads(snapshot.json())
    effects = {
        shown[metric["config"]["column"]]: float(metric["value"])
        for metric in figures["metrics"]
        if metric["config"]["type"].endswith(":ValueDrift")
    }
    return DriftPage(snapshot.get_html_str(as_iframe=False), figures, effects)
