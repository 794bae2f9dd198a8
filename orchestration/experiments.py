"""The files around experiments: people in, arms out; a table of outcomes in, a readout and its page out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recommender.errors import InputError
from recommender.experiments.assignment import assign
from recommender.experiments.experiment_table import ExperimentColumns
from recommender.experiments.readout import ReadoutConfig, read_out
from recommender.report.experiment_page import experiment_page
from recommender.workspace import write_bytes_atomically

__all__ = ["assign_people", "read_shares", "write_readout"]


def read_shares(text: str) -> dict[str, float]:
    """`holdout=.1,agent=.9` as a mapping, in that order."""
    shares: dict[str, float] = {}
    for part in text.split(","):
        name, sign, share = part.partition("=")
        try:
            shares[name.strip()] = float(share)
        except ValueError:
            sign = ""
        if not (sign and name.strip()):
            raise InputError(f"shares {text!r}.", "name=share, apart by commas.", "Such as holdout=.1,agent=.9.")
    return shares


def assign_people(users: Path, salt: str, shares: Mapping[str, float], out: Path) -> dict[str, int]:
    """Write `user_id, arm` for each person of `users` (each once, in their order); return people by arm."""
    table = _read(users, ["user_id"])
    ids = table["user_id"].cast(pa.string())
    if ids.null_count:
        raise InputError(f"{ids.null_count:,} rows without user_id.", "an id in each row.", "Drop these rows.")
    ids = ids.unique()
    names = np.array(list(shares), dtype=object)
    arms = assign(salt, ids.to_pylist(), shares)
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"user_id": ids, "arm": pa.array(names[arms], pa.string())}), sink)
    write_bytes_atomically(out, sink.getvalue().to_pybytes())
    counts = np.bincount(arms, minlength=len(names)).tolist()
    return dict(zip(shares, counts, strict=True))


def write_readout(
    table: Path,
    columns: ExperimentColumns,
    shares: Mapping[str, float] | None,
    config: ReadoutConfig,
    page: Path | None,
) -> dict[str, Any]:
    """Read an experiment's table, write its page where one is asked for, and return the report."""
    report = read_out(_read(table), columns, shares, config)
    if page is not None:
        write_bytes_atomically(page, experiment_page(report).encode())
    return report


def _read(path: Path, columns: list[str] | None = None) -> pa.Table:
    try:
        found = pq.read_schema(path).names
        if columns and not set(columns) <= set(found):
            raise InputError(f"{path} with columns {', '.join(found)}.", f"{', '.join(columns)}.", "Rename a column.")
        return pq.read_table(path, columns=columns)
    except (OSError, pa.ArrowInvalid) as problem:
        raise InputError(
            f"{path} cannot be read: {problem}.", "a Parquet file.", "Hand over another file."
        ) from problem
