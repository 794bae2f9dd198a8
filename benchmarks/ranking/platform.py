"""The platform's own lists, by the command that anyone would use."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.ranking.datasets import Codes, Dataset, Purchases
from benchmarks.ranking.protocol import LENGTH, Lists

__all__ = ["NEXTBEST", "backtest", "lists_of"]

NEXTBEST = "nextbest"


def backtest(dataset: Dataset, folder: Path, out: Path, *, is_novel: bool) -> pd.DataFrame:
    """`nextbest backtest` at the data set's cuts; its Parquet stays at `out`. Raises when the command fails."""
    out.parent.mkdir(parents=True, exist_ok=True)
    command = [str(Path(sys.executable).with_name("nextbest")), "backtest", "--source", dataset.source]
    command += ["--path", str(folder), "--k", str(LENGTH), "--horizon", f"{dataset.horizon_days}d", "--out", str(out)]
    command += [word for cut in dataset.cuts for word in ("--cut", cut)] + (["--novel"] if is_novel else [])
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return pd.read_parquet(out)


def lists_of(served: pd.DataFrame, purchases: Purchases, cut: str, users: Codes) -> Lists:
    """The lists of some users at one cut; an item that nobody ever bought is a miss and leaves its place empty."""
    rows = served[served["cut"] == pd.Timestamp(cut)]
    row = pd.Index(purchases.user_ids[users]).get_indexer(pd.Index(rows["user_id"]))
    item = pd.Index(purchases.item_ids).get_indexer(pd.Index(rows["item_id"]))
    lists = np.full((len(users), LENGTH), -1, dtype=np.int64)
    shown = (row >= 0) & (rows["rank"].to_numpy() <= LENGTH)
    lists[row[shown], rows["rank"].to_numpy()[shown] - 1] = item[shown]
    return lists
