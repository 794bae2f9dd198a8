"""Which columns of a log may be features: those that were known before the action. Nothing is encoded here.

With several outcomes in one table (visit, conversion, spend), those that are not the reward happened after the action.
As features they would tell the answer, and nobody has them when the next action is chosen. So, unless features are
named, a column is left out when
1. it is an identifier, has one value only, or is of a type that is not read;
2. it differs by action beyond chance: what was known before could not, once each row is weighted by 1 / propensity;
3. it goes together with the reward as only another outcome can: the reward is never 0 where the column differs from its
   usual value, or the column always has that one value where the reward is not 0;
4. it is named like an outcome.
Every column left out is told with its reason; so is one that was asked for and would have been left out by 2 or 3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from scipy.stats import chi2

from recommender.decision.logged.owners import sums_by_owner
from recommender.errors import InputError

__all__ = ["OUTCOME_NAMES", "ColumnChoice", "Logged", "choose_columns"]

OUTCOME_NAMES = frozenset({"visit", "conversion", "spend", "purchase", "click", "revenue", "order_value", "outcome"})
ALPHA = 1e-3  # one log in a thousand loses a column by chance, whatever the number of columns
IMPLIED = 1e-6  # chance below which an implication is taken for one
MOST_ARMS, MOST_LEVELS = 20, 20
LEAST_CELL = 20  # an action's rows off the usual value; unasked, all honest logs of 200 actions lost a column
NUMBERS = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_boolean)
TEXTS, TIMES = (pa.types.is_string, pa.types.is_large_string), (pa.types.is_timestamp, pa.types.is_date)
DIFFERS = "differs by action beyond chance: known only after the action"
IMPLIES = "goes together with the reward as only an outcome can"
AFTERWARDS = (DIFFERS, IMPLIES)
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Logged:
    """What was done and earned: `action` int64 (n), `reward` and `propensity` float64 (n), `owner` int64 (n) from 0:
    whose decision it was, where the log tells."""

    action: npt.NDArray[np.int64]
    reward: Floats
    propensity: Floats
    n_actions: int
    owner: npt.NDArray[np.int64] | None = None


@dataclass(frozen=True)
class ColumnChoice:
    """The columns used, for each other one the reason why it is not, and what speaks against columns asked for."""

    features: tuple[str, ...]
    left_out: Mapping[str, str]
    doubts: Mapping[str, str] = field(default_factory=dict)


def choose_columns(table: pa.Table, logged: Logged, features: tuple[str, ...] | None) -> ColumnChoice:
    """The features that were asked for, or all that were known before the action; InputError when none is left."""
    level = ALPHA / max(table.num_columns, 1)
    if features is not None:
        features = tuple(dict.fromkeys(features))
        missing = [name for name in features if name not in table.column_names]
        if missing:
            raise InputError(
                f"no column {', '.join(missing)} among {', '.join(table.column_names)}.",
                "features that are columns of the log, other than action, reward, propensity, position, occurred_at.",
                "Correct --features.",
            )
        others = {name: "not named in --features" for name in table.column_names if name not in features}
        found = {name: _reason(name, table[name], logged, level) for name in features}
        return ColumnChoice(features, others, {name: found[name] for name in features if found[name] in AFTERWARDS})
    reasons = {name: _reason(name, table[name], logged, level) for name in table.column_names}
    return ColumnChoice(
        tuple(name for name, reason in reasons.items() if not reason),
        {name: reason for name, reason in reasons.items() if reason},
    )


def _reason(name: str, column: pa.ChunkedArray, logged: Logged, level: float) -> str:
    """Why a column is no feature; empty when it is one."""
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if not any(test(kind) for test in (*NUMBERS, *TEXTS, *TIMES)):
        return f"of type {kind}, which is not read"
    column, name = column.cast(kind), name.strip().lower()
    if any(test(kind) for test in TIMES):  # the moment of a visit tells the visit: there is none without one
        column = column.cast(pa.timestamp("us")).cast(pa.int64())
        constant = pc.count_distinct(column, mode="all").as_py() < 2
        return "one value only" if constant else _afterwards(name, column, logged, level)
    return _form(name, column) or _afterwards(name, column, logged, level)


def _form(name: str, column: pa.ChunkedArray) -> str:
    """What a column's values alone tell against it."""
    distinct = int(pc.count_distinct(column, mode="only_valid").as_py())
    if distinct + (column.null_count > 0) < 2:
        return "one value only"
    named = (name == "id" or name.endswith("_id")) and distinct > 50
    whole = pa.types.is_integer(column.type) and len(column) >= 100 and distinct == len(column)
    text = any(test(column.type) for test in TEXTS) and distinct > max(100, len(column) // 2)
    return "an identifier" if named or whole or text else ""


def _afterwards(name: str, column: pa.ChunkedArray, logged: Logged, level: float) -> str:
    """What tells that a column was known only after the action."""
    values = _levels(column) if any(test(column.type) for test in TEXTS) else _ranks(column)
    if _imbalance(values, logged) < level:
        return DIFFERS
    if _implied(column, logged.reward != 0):
        return IMPLIES
    return "named like an outcome (--features takes it in)" if name in OUTCOME_NAMES else ""


def _ranks(column: pa.ChunkedArray) -> Floats:
    """float64 (n, 1): average ranks, so that a few large values do not decide; missing ones lowest."""
    values = np.nan_to_num(pc.cast(column, pa.float64()).to_numpy(zero_copy_only=False), nan=-np.inf)
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    after = np.cumsum(counts)
    return np.asarray(((after - (counts - 1) / 2.0)[place] / len(values))[:, None])


def _levels(column: pa.ChunkedArray) -> Floats:
    """float64 (n, m): one indicator for each of the most frequent values but one."""
    codes = pc.fill_null(column, "").combine_chunks().dictionary_encode().indices.to_numpy()
    frequent = np.argsort(-np.bincount(codes), kind="stable")[1 : MOST_LEVELS + 1]
    return np.asarray((codes[:, None] == frequent).astype(np.float64))


def _imbalance(values: Floats, logged: Logged) -> float:
    """p-value of "every action met the same kind of row": χ² of the weighted means of each action, least over columns.

    E[f · 1{A = a} / p] is 0 for a centred f that was known before the action, whatever the logging policy.
    """
    counts = np.bincount(logged.action, minlength=logged.n_actions)
    arms, least = np.argsort(-counts, kind="stable")[:MOST_ARMS], 1.0
    witnesses = 1.0 if logged.owner is None else len(np.unique(logged.owner)) / len(logged.owner)
    for column in values.T:
        _, seen = np.unique(column, return_counts=True)
        away = 1.0 - seen.max() / len(column)
        enough = arms[away * witnesses * counts[arms] >= LEAST_CELL]
        if not len(enough):
            continue
        inverse = np.where(logged.action[:, None] == enough, 1.0 / logged.propensity[:, None], 0.0)
        score = sums_by_owner((column - column.mean())[:, None] * (inverse - inverse.mean(axis=0)), logged.owner)
        mean = score.mean(axis=0)
        covariance = np.atleast_2d(np.cov(score, rowvar=False)) / len(score)
        rank = int(np.linalg.matrix_rank(covariance))
        if rank:
            statistic = float(mean @ np.linalg.pinv(covariance, hermitian=True) @ mean)
            least = min(least, float(chi2.sf(statistic, rank)) * values.shape[1])
    return least


def _implied(column: pa.ChunkedArray, earned: npt.NDArray[np.bool_]) -> bool:
    """True when a reward never fails where the column leaves its mode, or the column is fixed wherever one came."""
    if not earned.any() or earned.all():
        return False
    encoded = column.combine_chunks().dictionary_encode(null_encoding="encode")
    codes = np.asarray(encoded.indices.to_numpy())
    counts = np.bincount(codes)
    mode = int(counts.argmax())
    away, rate = codes != mode, float(earned.mean())
    if counts[mode] >= len(codes) / 2 and earned[away].all() and away.sum() * np.log(rate) < np.log(IMPLIED):
        return True
    inside = codes[earned]
    if (inside == inside[0]).all():
        share = counts[inside[0]] / len(codes)
        return bool(share < 1 and len(inside) * np.log(share) < np.log(IMPLIED))
    # Spend beside conversion: where one is 0 the other is, where it is not the other is not.
    return bool(rate < 0.5 and not (inside == mode).any() and len(inside) * np.log(away.mean()) < np.log(IMPLIED))
