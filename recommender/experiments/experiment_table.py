"""The table of an experiment, read and checked: one entry a person, whatever the rows are. Nothing is compared here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from recommender.errors import InputError
from recommender.experiments.moments import Moments, moments_by_group

__all__ = ["ExperimentColumns", "ExperimentTable", "read_experiment"]

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]
LEVELS = 20  # of a segment column; what is rarer goes into "other"
BINS = 4  # of a segment column of numbers


@dataclass(frozen=True)
class ExperimentColumns:
    """Names of columns. `denominator` makes the outcome a ratio (earned a session); `covariate` is the person's own
    value from before the experiment; `day` says when a row happened. Without the `user` column each row is a person."""

    arm: str = "arm"
    outcome: str = "outcome"
    user: str = "user_id"
    denominator: str | None = None
    covariate: str | None = None
    segments: tuple[str, ...] = ()
    day: str | None = None


@dataclass(frozen=True)
class ExperimentTable:
    """`arm` int64 (people) into `arms`; `values` float64 (people, 3): outcome, denominator, covariate; `segments`: name
    → labels and int64 (people) into them; `by_day` moments (days, arms) of the rows up to each of `days`."""

    arms: tuple[str, ...]
    arm: Codes
    values: Floats
    segments: dict[str, tuple[tuple[str, ...], Codes]]
    days: tuple[str, ...] = ()
    by_day: Moments | None = None

    @property
    def moments(self) -> Moments:
        """Moments (arms)."""
        return moments_by_group(self.values, self.arm, len(self.arms))


def read_experiment(table: pa.Table, columns: ExperimentColumns) -> ExperimentTable:
    """Check the table and make people of its rows: outcomes and denominators of a person's rows are added up.

    InputError: a column is missing or empty, an outcome is no number, a person stands in two arms. A person without a
    covariate gets the mean of the others, which moves no arm against another, as it was known before the assignment.
    """
    wanted = (columns.arm, columns.outcome, columns.denominator, columns.covariate, columns.day, *columns.segments)
    missing = sorted({name for name in wanted if name} - set(table.column_names))
    if missing or not len(table):
        raise InputError(
            f"a table of {len(table):,} rows with columns {', '.join(table.column_names)}.",
            f"rows, and the column(s) {', '.join(missing) or columns.arm}.",
            "Name the columns that the table has.",
        )
    arms, arm_of_row = _labels(table[columns.arm], columns.arm)
    person, people = _people(table, columns.user)
    first = np.empty(people, np.int64)
    first[person[::-1]] = np.arange(len(table))[::-1]
    arm = arm_of_row[first]
    if (arm[person] != arm_of_row).any():
        several = len(np.unique(person[arm[person] != arm_of_row]))
        raise InputError(
            f"{several:,} people in two arms.",
            "one arm a person.",
            "Find out how they were assigned; leaving them out by hand would hide who they are.",
        )
    rows = np.ones((len(table), 3))
    rows[:, 0] = _numbers(table[columns.outcome], columns.outcome)
    if columns.denominator:
        rows[:, 1] = _numbers(table[columns.denominator], columns.denominator)
    rows[:, 2] = _covariate(table, columns.covariate, first, person)
    values = np.stack([np.bincount(person, rows[:, place], minlength=people) for place in (0, 1)] + [rows[first, 2]], 1)
    if not columns.denominator:
        values[:, 1] = 1.0
    segments = {name: _segment(table[name].take(pa.array(first)), name) for name in columns.segments}
    made = ExperimentTable(arms, arm, values, segments)
    return (
        made if columns.day is None else _with_days(made, table[columns.day], rows, person, bool(columns.denominator))
    )


def _people(table: pa.Table, user: str) -> tuple[Codes, int]:
    if user not in table.column_names:
        return np.arange(len(table)), len(table)
    codes, users = _encoded(table[user], user)
    return codes, len(users)


def _labels(column: pa.ChunkedArray, name: str) -> tuple[tuple[str, ...], Codes]:
    """Sorted labels as text, and int64 (n) into them."""
    codes, labels = _encoded(column.cast(pa.string()), name)
    found = np.array(labels.to_pylist(), dtype=object)
    order = np.argsort(found, kind="stable")
    place = np.empty(len(found), np.int64)
    place[order] = np.arange(len(found))
    return tuple(found[order]), place[codes]


def _encoded(column: pa.ChunkedArray, name: str) -> tuple[Codes, pa.Array]:
    """int64 (n) into the distinct values, in the order in which they come."""
    if column.null_count:
        raise InputError(f"{column.null_count:,} rows without {name}.", "a value in each row.", "Fill or drop them.")
    plain = column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column
    encoded = pa.concat_arrays(plain.chunks).dictionary_encode()
    return encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64), encoded.dictionary


def _floats(column: pa.ChunkedArray, name: str) -> Floats:
    """float64 (n); not a number where there is none."""
    try:
        return np.asarray(column.cast(pa.float64()).fill_null(float("nan")).to_numpy(), np.float64)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as problem:
        raise InputError(f"{name} of type {column.type}.", "numbers.", "Name a column of numbers.") from problem


def _numbers(column: pa.ChunkedArray, name: str) -> Floats:
    values = _floats(column, name)
    bad = int((~np.isfinite(values)).sum())
    if bad:
        raise InputError(
            f"{bad:,} rows whose {name} is empty or not finite.",
            "a number in each row.",
            "Write 0 for people who did nothing; drop rows only where nothing after the assignment decided on it.",
        )
    return values


def _covariate(table: pa.Table, name: str | None, first: Codes, person: Codes) -> Floats:
    """float64 (rows): the person's value of before, the same in each of their rows."""
    if name is None:
        return np.zeros(len(table))
    values = _floats(table[name], name)
    known = np.isfinite(values)
    values = np.where(known, values, values[first][known[first]].mean() if known[first].any() else 0.0)
    if (values[first][person] != values).any():
        raise InputError(
            f"people whose rows differ in {name}.",
            "one value a person, from before the experiment.",
            "Add up the time before the assignment, and repeat it in each of the person's rows.",
        )
    return values


def _segment(column: pa.ChunkedArray, name: str) -> tuple[tuple[str, ...], Codes]:
    if pa.types.is_floating(column.type) or (pa.types.is_integer(column.type) and len(column.unique()) > LEVELS):
        values = _floats(column, name)
        known = values[np.isfinite(values)]
        edges: Floats = np.unique(np.quantile(known, np.arange(1, BINS) / BINS)) if len(known) else known
        codes = np.where(np.isnan(values), len(edges) + 1, np.searchsorted(edges, values, side="left"))
        told = [f"up to {edge:.4g}" for edge in edges]
        last = f"above {edges[-1]:.4g}" if len(edges) else "known"
        return _used((*told, last, "unknown"), codes.astype(np.int64))
    labels, codes = _labels(column.cast(pa.string()).fill_null("unknown"), name)
    if len(labels) <= LEVELS:
        return labels, codes
    kept = np.sort(np.argsort(-np.bincount(codes), kind="stable")[: LEVELS - 1])
    place = np.full(len(labels), len(kept))
    place[kept] = np.arange(len(kept))
    return (*(labels[code] for code in kept), "other"), place[codes]


def _used(labels: Sequence[str], codes: Codes) -> tuple[tuple[str, ...], Codes]:
    """Only labels that somebody has."""
    present, dense = np.unique(codes, return_inverse=True)
    return tuple(labels[code] for code in present), dense.astype(np.int64)


def _with_days(
    made: ExperimentTable, column: pa.ChunkedArray, rows: Floats, person: Codes, ratio: bool
) -> ExperimentTable:
    """Each person enters with their first row, and each row replaces what the person had before it."""
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.date32(), safe=False)
    if pa.types.is_integer(column.type) and not column.null_count:
        found, day = np.unique(column.to_numpy(), return_inverse=True)
        days = tuple(str(value) for value in found)
    else:
        days, day = _labels(column, "day")
    order = np.lexsort((day, person))
    person, day, rows = person[order], day[order], rows[order]
    begins = np.r_[True, person[1:] != person[:-1]]
    start = np.maximum.accumulate(np.where(begins, np.arange(len(rows)), 0))
    now = rows.copy()
    for place in (0, 1) if ratio else (0,):
        total = np.cumsum(rows[:, place])
        now[:, place] = total - (total - rows[:, place])[start]
    earlier = np.where(begins[:, None], np.nan, np.roll(now, 1, axis=0))
    arms = len(made.arms)
    sums = moments_by_group(now, day * arms + made.arm[person], len(days) * arms, earlier)
    shaped = Moments(
        sums.count.reshape(-1, arms), sums.first.reshape(-1, arms, 3), sums.second.reshape(-1, arms, 3, 3), sums.origin
    )
    return ExperimentTable(made.arms, made.arm, made.values, made.segments, days, shaped.running())
