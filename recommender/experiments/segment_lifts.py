"""What an arm does in each segment: intervals that know how many were looked at, and estimates shrunk to the whole.

The best-looking of many segments looks better than it is. So intervals share alpha among all segments that are shown
(Bonferroni), differences are shrunk towards the common one as far as chance explains their spread (DerSimonian and
Laird, "Meta-analysis in clinical trials", 1986), and Cochran's Q says whether segments differ at all.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from recommender.experiments.effects import compare, holm
from recommender.experiments.experiment_table import ExperimentTable
from recommender.experiments.moments import Moments, moments_by_group

__all__ = ["segment_lifts", "shrink"]

Floats = npt.NDArray[np.float64]
FEWEST = 50  # people in an arm below which a segment is not read: Welch's interval needs a variance to trust


def segment_lifts(table: ExperimentTable, control: int, treated: int, alpha: float) -> list[dict[str, Any]]:
    """For each segment column: levels with people, difference, interval and shrunk difference; whether they differ."""
    columns = []
    for name, (labels, codes) in table.segments.items():
        arms = len(table.arms)
        sums = moments_by_group(table.values, codes * arms + table.arm, len(labels) * arms)
        columns.append((name, labels, sums, control + arms * np.arange(len(labels)), treated))
    shown = max(sum(len(labels) for _, labels, *_ in columns), 1)
    found = [
        _column(name, labels, sums[mine], sums[mine - control + theirs], alpha / shown)
        for name, labels, sums, mine, theirs in columns
    ]
    adjusted, _ = holm(np.array([own["differ_p"] for own in found]), alpha)
    for own, pvalue in zip(found, adjusted, strict=True):
        own |= {"differ_p_holm": float(pvalue), "differ": bool(pvalue <= alpha)}
    return found


def _column(name: str, labels: tuple[str, ...], mine: Moments, theirs: Moments, alpha: float) -> dict[str, Any]:
    compared = compare(mine, theirs)
    low, high = compared.interval(alpha)
    enough = (np.minimum(mine.count, theirs.count) >= FEWEST) & (compared.error > 0)
    shrunk, spread, pvalue = shrink(compared.difference[enough], compared.error[enough])
    place = np.cumsum(enough) - 1
    levels = [
        {
            "level": label,
            "people": int(compared.people[at]),
            "difference": float(compared.difference[at]) if enough[at] else None,
            "low": float(low[at]) if enough[at] else None,
            "high": float(high[at]) if enough[at] else None,
            "shrunk": float(shrunk[place[at]]) if enough[at] else None,
        }
        for at, label in enumerate(labels)
    ]
    return {"segment": name, "levels": levels, "spread": spread, "differ_p": pvalue}


def shrink(differences: Floats, errors: Floats) -> tuple[Floats, float, float]:
    """Differences (k) moved to their common value, the standard deviation of true differences, and p of none (Q)."""
    if len(differences) < 2:
        return differences, 0.0, 1.0
    weight = 1.0 / errors**2
    common = float((weight * differences).sum() / weight.sum())
    q, spare = float((weight * (differences - common) ** 2).sum()), len(differences) - 1
    spread2 = max(0.0, (q - spare) / float(weight.sum() - (weight**2).sum() / weight.sum()))
    if spread2 > 0:
        both = 1.0 / (errors**2 + spread2)
        common = float((both * differences).sum() / both.sum())
    kept = spread2 / (spread2 + errors**2)
    return common + kept * (differences - common), float(np.sqrt(spread2)), float(stats.chi2.sf(q, spare))
