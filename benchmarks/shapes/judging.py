"""The platform's lists and popularity's on one table set, judged by the protocol of the ranking benchmark."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmarks.ranking.datasets import Codes, Purchases
from benchmarks.ranking.platform import backtest, lists_of
from benchmarks.ranking.protocol import KINDS, History, Judged, Truth, judge, listed
from benchmarks.shapes.tables import TableSet
from recommender.model.metrics import Interval, mean_interval, paired_interval

__all__ = ["METRICS", "WINDOWS", "beside_popularity", "figures_of", "popularity"]

METRICS = ("R@20", "NDCG@10")
WINDOWS = {"1 day": 1, "7 days": 7, "28 days": 28, "all": 36_500}  # popularity chooses the best of these after the fact
SEED, DRAWS = 0, 1_000


def figures_of(name: str, tables: TableSet, folder: Path) -> dict[str, Any]:
    """Land the tables in `folder`, backtest both kinds of list there, judge; raises when the command fails."""
    tables.land(folder / name)
    started = time.monotonic()
    report: dict[str, Any] = {"shape": name, "told": tables.told, "events": len(tables.events), "cut": tables.cut}
    for kind in KINDS:
        out = folder / f"{name}-{kind}.parquet"
        served = backtest(tables.dataset(), folder / name, out, is_novel=kind == "novel")
        report[kind] = beside_popularity(tables, served, kind)
    return report | {"seconds": round(time.monotonic() - started, 1)}


def beside_popularity(tables: TableSet, served: pd.DataFrame, kind: str) -> dict[str, Any]:
    """Figures of lists that the platform served (orchestration.backtest.LIST_SCHEMA), repeat or novel.

    For each metric: ours, the best window of popularity, and ours − theirs paired by user, each with a 95 % bootstrap
    interval. `judged`: people; `unseen`: share of their choices that fall on items without a choice before the cut.
    """
    choices = tables.choices()
    truth = Truth.after(choices, tables.cut, tables.horizon_days, kind)
    ours = judge(lists_of(served, choices, tables.cut, truth.users), truth)
    theirs = popularity(choices, tables.cut, truth, kind)
    facts = {"judged": len(truth.users), "unseen": _unseen(choices, tables.cut, truth)}
    return facts | {metric: _compared(metric, ours, theirs) for metric in METRICS}


def popularity(choices: Purchases, cut: str, truth: Truth, kind: str) -> dict[str, Judged]:
    """Window → figures of the items most chosen in it."""
    history, known = History.before(choices, cut), choices.at < np.datetime64(cut)
    found = {}
    for window, days in WINDOWS.items():
        recent = known & (choices.at >= np.datetime64(cut) - np.timedelta64(days, "D"))
        counts = np.bincount(choices.item[recent], minlength=len(choices.item_ids))[history.items]
        lists = listed(history, partial(_the_same_for_all, counts), truth.users, [kind])
        found[window] = judge(lists[kind], truth)
    return found


def _the_same_for_all(counts: Codes, users: Codes) -> npt.NDArray[np.floating]:
    return np.tile(counts.astype(np.float64), (len(users), 1))


def _unseen(choices: Purchases, cut: str, truth: Truth) -> float:
    seen = np.unique(choices.item[choices.at < np.datetime64(cut)])
    return float(1 - np.isin(truth.bought.indices, seen).mean())


def _compared(metric: str, ours: Judged, windows: dict[str, Judged]) -> dict[str, Any]:
    best = max(windows, key=lambda window: float(windows[window][metric].mean()))
    theirs = windows[best][metric]
    return {
        "nextbest": _plain(mean_interval(ours[metric], SEED, DRAWS)),
        "popularity": _plain(mean_interval(theirs, SEED, DRAWS)),
        "window": best,
        "ahead": _plain(paired_interval(ours[metric], theirs, SEED, DRAWS)),
    }


def _plain(value: Interval) -> dict[str, float]:
    return {"mean": value.mean, "low": value.low, "high": value.high}
