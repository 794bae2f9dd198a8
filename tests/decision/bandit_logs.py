"""Small logged bandit data with a known world, and the real reader to turn them into logs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recommender.decision.logged.bandit_log import BanditLog, read_bandit_log


def write(folder: Path, table: pa.Table | dict[str, Any]) -> Path:
    path = folder / "log.parquet"
    pq.write_table(table if isinstance(table, pa.Table) else pa.table(table), path)
    return path


def world(n: int, seed: int = 0, gain: float = 0.4) -> pa.Table:
    """Three actions at random. `tea` earns .3 of all, `cups` .2, and `gain` more of those who wear `blue`."""
    rng = np.random.default_rng(seed)
    blue, age = rng.random(n) < 0.4, rng.normal(40, 12, n)
    action = rng.integers(0, 3, n)
    mean = np.choose(action, [np.where(blue, 0.2 + gain, 0.2), np.full(n, 0.05), np.full(n, 0.3)])
    return pa.table(
        {
            "age": age,
            "colour": np.where(blue, "blue", "red"),
            "action": np.array(["cups", "none", "tea"])[action],
            "reward": (rng.random(n) < mean).astype(float),
            "propensity": np.full(n, 1 / 3),
        }
    )


def log_of(folder: Path, table: pa.Table | dict[str, Any], **words: Any) -> BanditLog:
    return read_bandit_log(write(folder, table), **words)
