"""False alarms and missed shifts of the drift decision over 1,000 windows each; prints a table and writes a JSON.

    python -m benchmarks.drift_calibration [--windows 1000] [--workers 4] [--out FILE.json]

A window is 1,000 rows against 5,000, with the kinds of columns that a behaviour profile has: bell-shaped,
skewed, heavy-tailed, counts, mostly zero, shares, correlated, with gaps, few and many categories.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from monitoring.drift import DriftConfig, decide_drift

REFERENCE_ROWS, WINDOW_ROWS = 5_000, 1_000
SHIFT = 0.2  # of the column's standard deviation
NUMERIC = ("bell", "skewed", "heavy", "counts", "mostly_zero", "share", "twin", "gaps")
Shift = Callable[[pd.DataFrame, int], pd.DataFrame]


def population(rows: int, rng: np.random.Generator) -> pd.DataFrame:
    """People drawn independently from one unchanging population."""
    taste = rng.normal(size=rows)
    return pd.DataFrame(
        {
            "bell": taste,
            "skewed": rng.exponential(10.0, rows),
            "heavy": np.exp(rng.normal(3.0, 1.0, rows)),
            "counts": rng.poisson(3.0, rows).astype(float),
            "mostly_zero": rng.poisson(0.2, rows).astype(float),
            "share": rng.beta(2.0, 5.0, rows),
            "twin": taste + 0.3 * rng.normal(size=rows),
            "gaps": np.where(rng.random(rows) < 0.2, np.nan, rng.normal(size=rows)),
            "country": rng.choice(["GB", "DE", "FR", "US"], rows, p=[0.7, 0.15, 0.1, 0.05]),
            "category": rng.choice([f"c{i}" for i in range(40)], rows),
            "is_member": rng.random(rows) < 0.3,
        }
    )


def unchanged(window: pd.DataFrame, number: int) -> pd.DataFrame:
    return window


def one_shifted(window: pd.DataFrame, number: int) -> pd.DataFrame:
    """One numeric column in turn: the hardest shift to see among eleven columns."""
    name = NUMERIC[number % len(NUMERIC)]
    return window.assign(**{name: window[name] + SHIFT * DEVIATIONS[name]})


def all_shifted(window: pd.DataFrame, number: int) -> pd.DataFrame:
    return window.assign(**{name: window[name] + SHIFT * DEVIATIONS[name] for name in NUMERIC})


_LARGE = population(200_000, np.random.default_rng(0))[list(NUMERIC)]
DEVIATIONS = {str(name): float(_LARGE[name].std()) for name in _LARGE}


def is_alarm(number: int, shift: Shift, reference_seed: int | None, config: DriftConfig) -> bool:
    """Draw a window (and its reference, unless one is given) and decide."""
    rng = np.random.default_rng([number, 7])
    reference_rng = rng if reference_seed is None else np.random.default_rng([reference_seed, 11])
    reference = population(REFERENCE_ROWS, reference_rng)
    return decide_drift(reference, shift(population(WINDOW_ROWS, rng), number), config, seed=number).is_drifted


def interval(hits: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's interval."""
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share = hits / trials
    centre = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z / (1 + z * z / trials) * (share * (1 - share) / trials + z * z / (4 * trials * trials)) ** 0.5
    return max(centre - half, 0.0), min(centre + half, 1.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--windows", type=int, default=1_000)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/drift_calibration.json"))
    arguments = parser.parse_args()
    bare = DriftConfig(numeric_floor=0.0, categorical_floor=0.0)
    questions: dict[str, tuple[Shift, int | None, DriftConfig, str]] = {
        "no drift, a new reference each time": (unchanged, None, DriftConfig(), "at most 1 %"),
        "no drift, one reference for all": (unchanged, 1, DriftConfig(), "at most 1 %"),
        "no drift, calibration alone (no floor)": (unchanged, None, bare, "at most 1 %"),
        "0.2 sd in one of eight numeric columns": (one_shifted, None, DriftConfig(), "at least 95 %"),
        "0.2 sd in all eight": (all_shifted, None, DriftConfig(), "at least 95 %"),
    }
    table = Table("windows", "alarms", "share", "95 % interval", "target", title="Drift decision")
    figures = {}
    with ProcessPoolExecutor(arguments.workers) as pool:
        for name, (shift, seed, config, target) in questions.items():
            ask = partial(is_alarm, shift=shift, reference_seed=seed, config=config)
            alarms = sum(pool.map(ask, range(arguments.windows), chunksize=10))
            low, high = interval(alarms, arguments.windows)
            table.add_row(name, str(alarms), f"{alarms / arguments.windows:.2%}", f"{low:.2%} to {high:.2%}", target)
            figures[name] = {"windows": arguments.windows, "alarms": alarms, "low": low, "high": high, "target": target}
    Console(width=120).print(table)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
