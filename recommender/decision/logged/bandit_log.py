"""A logged bandit table read and checked: context, action, reward, propensity. `columns` chooses the features."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recommender.decision.logged.columns import ColumnChoice, Logged, choose_columns
from recommender.decision.logged.owners import standard_error
from recommender.errors import InputError

__all__ = ["RESERVED", "BanditLog", "action_labels", "read_bandit_log", "read_table"]

RESERVED = ("action", "reward", "propensity", "position", "occurred_at", "row", "index")
OWNERS = ("user_id", "decision_id")  # rows of one owner are drawn together
UNIFORM = "uniform"
LEAST_PROPENSITY = 1e-9  # an action chosen once in a billion times is a mistake of logging, and its weight drowns all
MISSING = {
    "propensity": "Leave out rows whose propensity was not logged: it cannot be guessed afterwards.",
    "position": "Leave the column position out, or those rows: every row of it needs the place that was shown.",
}
LARGEST = 1e30  # trees keep float32, which ends at 3.4e38, and sums of squares must not overflow either


@dataclass(frozen=True)
class BanditLog:
    """One row a decision: `action` int64 (n) into `actions`, `reward` float64 (n), `propensity` float64 (n) of the
    action that was taken; `contexts` holds the columns of features, `position` float64 (n) the place it was shown at,
    `owner` int64 (n) whose decision it was where the log tells."""

    actions: tuple[str, ...]
    action_type: pa.DataType
    action: npt.NDArray[np.int64]
    reward: npt.NDArray[np.float64]
    propensity: npt.NDArray[np.float64]
    contexts: pa.Table
    reward_name: str
    columns: ColumnChoice
    position: npt.NDArray[np.float64] | None = None
    owner: npt.NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.action)

    @property
    def counts(self) -> npt.NDArray[np.int64]:
        """int64 (k): rows of each action."""
        return np.bincount(self.action, minlength=len(self.actions))

    def take(self, rows: npt.NDArray[np.int64]) -> BanditLog:
        """These rows, in this order; the actions stay the same."""
        return replace(
            self,
            action=self.action[rows],
            reward=self.reward[rows],
            propensity=self.propensity[rows],
            contexts=self.contexts.take(pa.array(rows)),
            position=None if self.position is None else self.position[rows],
            owner=None if self.owner is None else self.owner[rows],
        )


def read_bandit_log(
    path: Path, reward: str = "reward", features: tuple[str, ...] | None = None, propensity: str | None = None
) -> BanditLog:
    """Read and check a log; every way in which it cannot be used is an InputError that names column, count and remedy.

    `features` None: chosen by `choose_columns`. `propensity="uniform"` declares that every action was equally likely,
    for a log that does not state it.
    """
    table = read_table(path, "log")
    _demand(table, ("action", reward), path)
    actions, codes = _actions(table["action"])
    rewards = _numbers(table[reward], reward)
    if propensity == UNIFORM:
        chances = np.full(len(codes), 1.0 / len(actions))
    else:
        chances = _propensities(table, path)
    owner = next((_owners(table[name], name) for name in OWNERS if name in table.column_names), None)
    _agreeing(codes, chances, actions, owner)
    logged = Logged(codes, rewards, chances, len(actions), owner)
    others = table.drop_columns([name for name in {*RESERVED, reward} if name in table.column_names])
    choice = choose_columns(others, logged, features)
    position = _numbers(table["position"], "position") if "position" in table.column_names else None
    return BanditLog(
        actions,
        table["action"].type,
        codes,
        rewards,
        chances,
        table.select(list(choice.features)),
        reward,
        choice,
        position,
        owner,
    )


def read_table(path: Path, what: str) -> pa.Table:
    """A Parquet file with at least one row; InputError otherwise."""
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as problem:
        raise InputError(
            f"{path}, which cannot be read as Parquet ({str(problem).splitlines()[0]}).",
            f"a Parquet file as {what}.",
            "Check the path, or write the table with pandas' to_parquet.",
        ) from problem
    if not table.num_rows:
        raise InputError(f"{path} without a single row.", f"a {what} with rows.", "Check how the file was written.")
    return table


def action_labels(column: pa.ChunkedArray) -> pa.Array:
    """Actions as text, the same for 2, 2.0 and "2"; InputError for what is neither text nor number."""
    column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    try:
        if pa.types.is_dictionary(column.type):
            column = pc.cast(column, column.type.value_type)
        if pa.types.is_floating(column.type) and pc.all(pc.equal(pc.round(column), column)).as_py():
            column = pc.cast(column, pa.int64())
        return pc.cast(column, pa.string())
    except pa.ArrowException as problem:
        raise InputError(
            f"actions of type {column.type} ({str(problem).splitlines()[0]}).",
            "actions as text or numbers.",
            "Write the name or the number of the action into the column action.",
        ) from problem


def _demand(table: pa.Table, names: tuple[str, ...], path: Path) -> None:
    missing = [name for name in names if name not in table.column_names]
    if missing:
        raise InputError(
            f"{path} with the columns {', '.join(table.column_names)}; {' and '.join(missing)} missing.",
            "a log with action, reward (or the column that --reward names) and propensity.",
            "Rename the columns, or name the reward with --reward.",
        )


def _actions(column: pa.ChunkedArray) -> tuple[tuple[str, ...], npt.NDArray[np.int64]]:
    missing = column.null_count
    if pa.types.is_floating(column.type):
        missing += int(pc.sum(pc.is_nan(column)).as_py() or 0)
    if missing:
        raise InputError(
            f"{missing:,} rows without an action.",
            "an action in every row; doing nothing is an action too.",
            "Leave those rows out, or name the action (for instance 'nothing').",
        )
    labels = action_labels(column).dictionary_encode()
    names = labels.dictionary.to_pylist()
    if len(names) < 2:
        raise InputError(
            f"one action only ({names[0]}).",
            "a log in which at least two actions were taken.",
            "Nothing can be learnt from one action: let the logging policy explore first.",
        )
    numeric = all(name.lstrip("-").isdigit() for name in names)
    order = sorted(range(len(names)), key=lambda place: (int(names[place]) if numeric else 0, names[place]))
    place_of = np.empty(len(names), dtype=np.int64)
    place_of[order] = np.arange(len(names))
    return tuple(names[place] for place in order), place_of[labels.indices.to_numpy()]


def _numbers(column: pa.ChunkedArray, name: str) -> npt.NDArray[np.float64]:
    kind = column.type
    if pa.types.is_boolean(kind):
        column = pc.cast(column, pa.int8())
    elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        raise InputError(f"the column {name} of type {kind}.", "numbers.", f"Write {name} as a number.")
    values = np.asarray(pc.cast(column, pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)
    bad = ~np.isfinite(values)
    if bad.any():
        raise InputError(
            f"{int(bad.sum()):,} rows whose {name} is missing or not finite, row {int(bad.argmax())} first.",
            f"a finite {name} in every row.",
            MISSING.get(name, f"Write 0 where nothing happened, and leave out rows whose {name} is not known yet."),
        )
    if len(values) and np.abs(values).max() > LARGEST:
        raise InputError(
            f"a {name} of {values[np.abs(values).argmax()]:g} in row {int(np.abs(values).argmax())}.",
            f"numbers of at most {LARGEST:g} in size.",
            f"Write {name} in a larger unit, or correct that row.",
        )
    return values


def _propensities(table: pa.Table, path: Path) -> npt.NDArray[np.float64]:
    if "propensity" not in table.column_names:
        raise InputError(
            f"{path} without the column propensity.",
            "the probability with which each logged action was chosen.",
            "Log it at choice time; where every action was equally likely, say so with --propensity uniform. "
            "It cannot be guessed afterwards.",
        )
    values = _numbers(table["propensity"], "propensity")
    bad = (values < LEAST_PROPENSITY) | (values > 1 + 1e-9)
    if bad.any():
        raise InputError(
            f"{int(bad.sum()):,} rows with a propensity outside (0, 1], row {int(bad.argmax())} first "
            f"({values[bad.argmax()]:g}).",
            f"the probability, above 0 (at least {LEAST_PROPENSITY:g}) and at most 1, of the action that was taken.",
            "Correct how the propensity is logged; an action that was taken cannot have had probability 0.",
        )
    return np.minimum(values, 1.0)


def _agreeing(
    codes: npt.NDArray[np.int64],
    chances: npt.NDArray[np.float64],
    actions: tuple[str, ...],
    owner: npt.NDArray[np.int64] | None,
) -> None:
    """E[1{A = a} / p] is 1, or less where the log never takes a; significantly more means that p is wrong."""
    for place, name in enumerate(actions):
        inverse = np.where(codes == place, 1.0 / chances, 0.0)
        mean, error = float(inverse.mean()), standard_error(inverse, owner)
        if mean > 1.05 and mean - 1.0 > 6.0 * error:
            raise InputError(
                f"propensities that do not fit the log: the rows of {name} stand for {mean:.2f} times all rows.",
                "inverse propensities that add up to the number of rows, for each action.",
                "Check that propensity is that of the action taken, at the time it was taken.",
            )


def _owners(column: pa.ChunkedArray, name: str) -> npt.NDArray[np.int64]:
    """int64 (n) from 0; a row without an owner is one of its own."""
    try:
        encoded = pc.cast(column, pa.string()).combine_chunks().dictionary_encode()
    except pa.ArrowException as problem:
        raise InputError(
            f"the column {name} of type {column.type}.", "text or numbers.", f"Write {name} as text, or leave it out."
        ) from problem
    codes = np.asarray(pc.fill_null(encoded.indices, -1).to_numpy(), dtype=np.int64).copy()
    nobody = codes < 0
    codes[nobody] = len(encoded.dictionary) + np.arange(int(nobody.sum()))
    return codes
