"""A shallow tree over people: who differs most in what a decision gains them, in words. Nothing is proven here.

Best first, each split the one whose two sides differ by most standard errors (Su et al. 2009, subgroup analysis by
recursive partitioning), at round numbers that a person would choose. Own and not a library's, because the words are
what it is for: thresholds to be said aloud, people and not rows in a leaf.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from recommender.decision.logged.contexts import ContextEncoder

__all__ = ["Group", "Rule", "TreeConfig", "find_groups"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Matrix = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

STEPS = 20  # round thresholds of a number, about
EPOCH = date(1970, 1, 1)


@dataclass(frozen=True)
class TreeConfig:
    """At most `depth` questions to come to one of at most `leaves` groups, each of `least_share` of the rows and
    `least_people` or more."""

    depth: int = 3
    leaves: int = 4
    least_share: float = 0.1
    least_people: int = 100


@dataclass(frozen=True)
class Rule:
    """`column` of the encoded contexts is below `bound` (`is_below`), or not; what is missing is not below."""

    column: int
    bound: float
    is_below: bool

    def holds(self, contexts: Matrix) -> Mask:
        below = np.asarray(contexts[:, self.column] < np.float32(self.bound))
        return below if self.is_below else ~below


@dataclass(frozen=True)
class Group:
    """The people for whom all rules hold; without any, everybody."""

    rules: tuple[Rule, ...] = ()

    def holds(self, contexts: Matrix) -> Mask:
        """bool (n)."""
        found = np.ones(len(contexts), dtype=bool)
        for rule in self.rules:
            found &= rule.holds(contexts)
        return found

    def as_json(self, encoder: ContextEncoder) -> list[dict[str, Any]]:
        """The rules for machines: `column` as the encoder names it, `bound` and whether values are below it."""
        names = encoder.names
        return [{"column": names[rule.column], "bound": rule.bound, "is_below": rule.is_below} for rule in self.rules]

    def words(self, encoder: ContextEncoder) -> str:
        """Such as "age 30 or more and town is not Ulm"."""
        told = _columns(encoder)
        by_column: dict[int, tuple[float | None, float | None]] = {}
        for rule in self.rules:
            low, high = by_column.get(rule.column, (None, None))
            by_column[rule.column] = (low, rule.bound) if rule.is_below else (rule.bound, high)
        parts = [_words(*told[column], low, high) for column, (low, high) in by_column.items()]
        return " and ".join(parts) or "everybody"


def find_groups(contexts: Matrix, values: Floats, owner: Ints, config: TreeConfig = TreeConfig()) -> list[Group]:
    """Groups that part everybody, those of the greatest mean value first; one alone where nothing can be parted.

    `contexts` float32 (n, d), `values` float64 (n) unbiased for each row's gain, `owner` int64 (n) whose row it is.
    """
    bounds = [_bounds(contexts[:, column]) for column in range(contexts.shape[1])]
    bins = np.stack([_bins(contexts[:, at], own) for at, own in enumerate(bounds)], axis=1) if bounds else None
    leaves: list[tuple[Group, Ints]] = [(Group(), np.arange(len(values)))]
    while bins is not None and len(leaves) < config.leaves:
        splits = [_best(bins, bounds, values, owner, rows, config, len(own.rules)) for own, rows in leaves]
        place = int(np.argmax([split.score for split in splits]))
        if splits[place].score <= 0:
            break
        group, rows = leaves.pop(place)
        column, at = splits[place].column, splits[place].bin
        below = bins[rows, column] < at
        bound = float(bounds[column][at - 1])
        leaves += [(Group((*group.rules, Rule(column, bound, side))), rows[below == side]) for side in (True, False)]
    leaves.sort(key=lambda leaf: -float(values[leaf[1]].mean()) if len(leaf[1]) else 0.0)
    return [group for group, _ in leaves]


@dataclass(frozen=True)
class _Split:
    """Rows of a bin below `bin` go left."""

    score: float = 0.0
    column: int = 0
    bin: int = 0


def _best(
    bins: Ints, bounds: list[Floats], values: Floats, owner: Ints, rows: Ints, config: TreeConfig, depth: int
) -> _Split:
    """Of one leaf's rows the split with the greatest squared difference in standard errors."""
    best = _Split()
    if depth >= config.depth or not len(rows):
        return best
    own, least = values[rows], config.least_share * len(values)
    for column, cuts in enumerate(bounds):
        code = bins[rows, column]
        counted = [
            np.bincount(code, weights=part, minlength=len(cuts) + 1) for part in (np.ones(len(own)), own, own**2)
        ]
        count, total, square = np.cumsum(np.asarray(counted, dtype=np.float64), axis=1)
        scores = _scores(count, total, square, least)
        at = int(scores.argmax()) if len(scores) else 0
        if len(scores) and scores[at] > best.score and _has_people(code <= at, owner[rows], config.least_people):
            best = _Split(float(scores[at]), column, at + 1)
    return best


def _scores(count: Floats, total: Floats, square: Floats, least: float) -> Floats:
    """For a split after each bin but the last: squared difference of the sides over its variance."""
    left, right = count[:-1], count[-1] - count[:-1]
    with np.errstate(invalid="ignore", divide="ignore"):
        one, other = total[:-1] / left, (total[-1] - total[:-1]) / right
        spread = (square[:-1] / left - one**2) / left + ((square[-1] - square[:-1]) / right - other**2) / right
        found = (one - other) ** 2 / spread
    return np.where((left >= least) & (right >= least) & np.isfinite(found), found, 0.0)


def _has_people(left: Mask, owner: Ints, least: int) -> bool:
    return all(len(np.unique(owner[side])) >= least for side in (left, ~left))


def _bounds(column: npt.NDArray[np.float32]) -> Floats:
    """Round numbers between the values of a column, ascending; of a flag the one between 0 and 1."""
    known = column[~np.isnan(column)].astype(np.float64)
    if not len(known) or known.min() == known.max():
        return np.zeros(0)
    if np.isin(known, (0.0, 1.0)).all():
        return np.array([0.5])
    low, high = np.quantile(known, (0.05, 0.95))
    step = _nice((high - low if high > low else known.max() - known.min()) / STEPS)
    if (known == np.round(known)).all():
        step = max(step, 1.0)
    found = np.unique(np.round(np.quantile(known, np.arange(1, STEPS) / STEPS) / step)) * step
    found = found[(found > known.min()) & (found <= known.max())]
    return np.asarray([float(f"{bound:.12g}") for bound in found], dtype=np.float64)


def _nice(size: float) -> float:
    """The next of 1, 2, 5, 10 … times a power of ten."""
    power = 10.0 ** np.floor(np.log10(size))
    return float(next(factor * power for factor in (1, 2, 5, 10) if factor * power >= size * 0.999))


def _bins(column: npt.NDArray[np.float32], bounds: Floats) -> Ints:
    """How many bounds each value reaches; what is missing counts as beyond all."""
    found = np.searchsorted(bounds.astype(np.float32), column, side="right")
    return np.where(np.isnan(column), len(bounds), found).astype(np.int64)


def _columns(encoder: ContextEncoder) -> list[tuple[str, str]]:
    """Kind and name of each encoded column; of a text its level's name as well."""
    told = []
    for column in encoder.columns:
        name = column.name.replace("_", " ")
        if column.kind == "text":
            told += [("level", f"{name} {{}} {level}") for level in column.levels]
        elif column.kind == "time":
            told += [("number", f"hour (UTC) of {name}"), ("number", f"weekday of {name}"), ("day", name)]
        else:
            told.append((column.kind, name))
    return told


def _words(kind: str, name: str, low: float | None, high: float | None) -> str:
    if kind == "level":
        return name.format("is" if high is None else "is not")
    if kind == "flag":
        verb, _, rest = name.partition(" ")
        if verb in {"is", "has"} and rest:
            return f"{verb} {rest}" if high is None else f"{verb} not {rest}" if verb == "is" else f"has no {rest}"
        return f"{name}: {'yes' if high is None else 'no'}"
    ends = [None if bound is None else _bound(kind, bound) for bound in (low, high)]
    if kind == "day":
        return f"{name} " + " and ".join(
            f"{word} {end}" for word, end in zip(("from", "before"), ends, strict=True) if end
        )
    if ends[0] is None:
        return f"{name} under {ends[1]}"
    return f"{name} {ends[0]} or more" if ends[1] is None else f"{name} {ends[0]} to under {ends[1]}"


def _bound(kind: str, bound: float) -> str:
    return str(EPOCH + timedelta(days=int(bound))) if kind == "day" else f"{bound:,.10g}"
