"""Ranked lists on online_retail, four weekly cuts, beside popularity and own frequency in the same run.

python -m benchmarks.ranking --path ../shared/data/online_retail --out benchmarks/results/ranking.json

Protocol: product codes of five digits, quantity and price above 0, known customer. Test: distinct products bought in
the seven days after each cut by customers seen before it, whole catalogue. *Novel*: only products never bought before,
with those bought taken out of the lists. Means over customer-weeks, with bootstrap intervals.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

CUTS = ("2011-11-11", "2011-11-18", "2011-11-25", "2011-12-02")
WEEK, MONTH, K = pd.Timedelta(days=7), pd.Timedelta(days=28), 20
METRICS = ("R@20", "NDCG@10")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--path", type=Path, required=True)
    parser.add_argument("--home", type=Path, default=Path(".nextbest/bench"))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/ranking.json"))
    options = parser.parse_args()
    purchases = read_purchases(options.path / "online_retail.parquet")
    rows = []
    for kind in ("repeat", "novel"):
        started = time.monotonic()
        ours = nextbest_lists(options.path, options.home, is_novel=kind == "novel")
        seconds = time.monotonic() - started
        judged = {
            "popularity, last 28 days": judge(purchases, kind, partial(popularity, purchases, kind)),
            "own frequency + popularity": judge(purchases, kind, partial(own_frequency, purchases, kind)),
            "nextbest": judge(purchases, kind, ours.__getitem__),
        }
        rows += [{"system": name, "kind": kind, **found} for name, found in judged.items()]
        rows[-1]["seconds"] = round(seconds, 1)
    show(rows)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(rows, indent=1))


def read_purchases(path: Path) -> pd.DataFrame:
    """Distinct (user, item, at) by the protocol."""
    raw = pd.read_parquet(path)
    kept = raw[raw.StockCode.str.match(r"^\d{5}") & (raw.Quantity > 0) & (raw.UnitPrice > 0) & raw.CustomerID.notna()]
    user = kept.CustomerID.astype("int64").astype(str)
    return pd.DataFrame(
        {"user": user, "item": kept.StockCode, "at": pd.to_datetime(kept.InvoiceDate)}
    ).drop_duplicates()


def nextbest_lists(path: Path, home: Path, *, is_novel: bool) -> dict[str, dict[str, list[str]]]:
    """cut → user → list, by the command that anyone would use."""
    out = home / f"lists-{'novel' if is_novel else 'repeat'}.parquet"
    home.mkdir(parents=True, exist_ok=True)
    command = [str(Path(sys.executable).with_name("nextbest")), "backtest", "--source", "online_retail"]
    command += ["--path", str(path), "--k", str(K), "--out", str(out), *(["--novel"] if is_novel else [])]
    for cut in CUTS:
        command += ["--cut", cut]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    lists = pd.read_parquet(out).sort_values(["cut", "user_id", "rank"])
    by_cut = lists.groupby(lists.cut.dt.strftime("%Y-%m-%d"))
    return {cut: rows.groupby("user_id").item_id.agg(list).to_dict() for cut, rows in by_cut}


def popularity(purchases: pd.DataFrame, kind: str, cut: str) -> dict[str, list[str]]:
    """The most bought items of the last 28 days, the same for everybody (minus what they had, for novel)."""
    before = purchases[purchases["at"] < cut]
    ranked = before[before["at"] >= pd.Timestamp(cut) - MONTH].item.value_counts().index.tolist()
    owned = before.groupby("user").item.agg(set).to_dict() if kind == "novel" else {}
    return {user: _first(ranked, owned.get(user, set())) for user in before.user.unique()}


def own_frequency(purchases: pd.DataFrame, kind: str, cut: str) -> dict[str, list[str]]:
    """What a user bought most often, the more popular first among equals, filled up with the popular."""
    if kind == "novel":
        return popularity(purchases, kind, cut)
    before = purchases[purchases["at"] < cut]
    counts = before.groupby(["user", "item"]).size().rename("n").reset_index()
    month = before[before["at"] >= pd.Timestamp(cut) - MONTH].item.value_counts()
    counts["popularity"] = counts.item.map(month).fillna(0)
    ordered = counts.sort_values(["user", "n", "popularity", "item"], ascending=[True, False, False, True])
    own = ordered.groupby("user").item.agg(list).to_dict()
    popular = popularity(purchases, kind, cut)
    return {user: (items + _first(popular[user], set(items)))[:K] for user, items in own.items()}


def _first(ranked: list[str], left_out: set[str]) -> list[str]:
    return [item for item in ranked[: K + len(left_out)] if item not in left_out][:K]


def judge(purchases: pd.DataFrame, kind: str, lists_at: Any) -> dict[str, Any]:
    """Means over customer-weeks with 95 % bootstrap intervals (1,000 draws, seed 0)."""
    values = np.array([scores for cut in CUTS for scores in _week(purchases, kind, cut, lists_at(cut))])
    draws = np.random.default_rng(0).integers(0, len(values), (1000, len(values)))
    means = values[draws].mean(axis=1)
    found: dict[str, Any] = {"customer_weeks": len(values)}
    for column, metric in enumerate(METRICS):
        low, high = np.quantile(means[:, column], [0.025, 0.975])
        found[metric] = {"mean": values[:, column].mean(), "low": low, "high": high}
    return found


def _week(purchases: pd.DataFrame, kind: str, cut: str, lists: dict[str, list[str]]) -> list[tuple[float, float]]:
    start = pd.Timestamp(cut)
    before = purchases[purchases["at"] < start]
    after = purchases[(purchases["at"] >= start) & (purchases["at"] < start + WEEK) & purchases.user.isin(before.user)]
    truth = after[["user", "item"]].drop_duplicates()
    if kind == "novel":
        known = set(zip(before.user, before.item, strict=True))
        truth = truth[[pair not in known for pair in zip(truth.user, truth.item, strict=True)]]
    wanted = truth.groupby("user").item.agg(set).to_dict()
    return [_scores(lists.get(user, []), relevant) for user, relevant in wanted.items()]


def _scores(shown: list[str], relevant: set[str]) -> tuple[float, float]:
    hits = np.array([item in relevant for item in shown[:K]], dtype=float)
    discount = 1 / np.log2(np.arange(2, 12))
    gain = (hits[:10] * discount[: len(hits[:10])]).sum()
    return hits.sum() / len(relevant), gain / discount[: min(10, len(relevant))].sum()


def show(rows: list[dict[str, Any]]) -> None:
    table = Table("system", "lists", *METRICS, "customer-weeks", "seconds", title="online_retail, four cuts")
    for row in rows:
        figures = [f"{row[m]['mean']:.3f} [{row[m]['low']:.3f}, {row[m]['high']:.3f}]" for m in METRICS]
        table.add_row(row["system"], row["kind"], *figures, str(row["customer_weeks"]), str(row.get("seconds", "")))
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
