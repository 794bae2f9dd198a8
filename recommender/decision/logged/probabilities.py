"""Probabilities of actions as a table (row, action, probability) and as a matrix, checked. No policy here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recommender.decision.logged.bandit_log import action_labels, read_table
from recommender.errors import InputError

__all__ = ["probability_table", "read_probabilities"]

Floats = npt.NDArray[np.float64]
COLUMNS = ("row", "action", "probability")
TOLERANCE = 1e-6


def probability_table(probabilities: Floats, actions: Sequence[str], action_type: str = "string") -> pa.Table:
    """n × k rows, row by row: `row` int64 from 0, `action` with the type it has in the log, `probability` float64."""
    n, k = probabilities.shape
    labels, places = pa.array(actions, pa.string()), pa.array(np.tile(np.arange(k), n))
    try:
        names = labels.cast(pa.type_for_alias(action_type)).take(places)
    except (ValueError, pa.ArrowException):  # dictionaries and the like stay text
        names = labels.take(places)
    return pa.table({"row": np.repeat(np.arange(n), k), "action": names, "probability": probabilities.ravel()})


def read_probabilities(path: Path, n: int, actions: Sequence[str]) -> tuple[Floats, tuple[str, ...]]:
    """float64 (n, k') and its k' ≥ k actions: the log's, then those that only the table has. An action that a row
    leaves out has probability 0. InputError for a table that is not one distribution for each of the log's rows."""
    table = read_table(path, "table of probabilities")
    missing = [name for name in COLUMNS if name not in table.column_names]
    if missing:
        raise _unusable(path, f"the columns {', '.join(table.column_names)}; {' and '.join(missing)} missing")
    rows, chances = (table[name].to_numpy(zero_copy_only=False) for name in ("row", "probability"))
    labels = action_labels(table["action"])
    names = (*actions, *sorted(set(labels.unique().drop_null().to_pylist()) - set(actions)))
    place = pc.index_in(labels, pa.array(names, pa.string())).fill_null(-1).to_numpy()
    try:
        chances = np.asarray(chances, dtype=np.float64)
    except (TypeError, ValueError) as problem:
        raise _unusable(path, f"probabilities of type {table['probability'].type}") from problem
    if not np.isfinite(chances).all() or (chances < 0).any() or (place < 0).any():
        raise _unusable(path, "missing actions, or probabilities below 0 or not finite")
    if not np.issubdtype(rows.dtype, np.integer) or rows.min() < 0 or rows.max() >= n:
        raise _unusable(path, f"rows from {rows.min()} to {rows.max()} beside a log of {n:,} rows, which count from 0")
    cell = rows.astype(np.int64) * len(names) + place
    if len(np.unique(cell)) < len(cell):
        raise _unusable(path, "the same row and action twice")
    found = np.zeros(n * len(names))
    found[cell] = chances
    matrix = found.reshape(n, len(names))
    sums = matrix.sum(axis=1)
    off = np.abs(sums - 1.0) > TOLERANCE
    if off.any():
        raise _unusable(
            path,
            f"{int(off.sum()):,} rows whose probabilities do not sum to 1, row {int(off.argmax())} "
            f"first ({sums[off.argmax()]:.6g})",
        )
    return matrix, names


def _unusable(path: Path, problem: str) -> InputError:
    return InputError(
        f"{path} with {problem}.",
        "row (0 … n − 1, as in the log), action and probability; each row's sum 1.",
        "Write it with `nextbest policy probabilities` on the log itself, or in the same shape.",
    )
