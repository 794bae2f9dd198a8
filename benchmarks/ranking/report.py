"""What was measured as tables (for a terminal and for a page), a JSON and a picture. Nothing is measured here."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.ranking.measuring import Measured
from benchmarks.ranking.platform import NEXTBEST
from benchmarks.ranking.protocol import KINDS, METRICS
from recommender.model.metrics import Interval, mean_interval, paired_interval

__all__ = ["draw", "figures", "show", "write", "write_page"]

SEED, DRAWS = 0, 1_000
OURS, THEIRS = "#1b6ca8", "#b8b8b8"


def figures(found: Sequence[Measured], dataset: str, horizon_days: int, cuts: Sequence[str]) -> dict[str, Any]:
    """Means with 95 % bootstrap intervals over the judged users of all cuts; what the platform is ahead by, paired."""
    ours = next((one for one in found if one.system == NEXTBEST), None)
    rows = []
    for one in found:
        row: dict[str, Any] = {**one.as_json(), "judged": {kind: len(one.values[kind]["R@20"]) for kind in KINDS}}
        for kind in KINDS:
            row[kind] = {name: _plain(mean_interval(one.values[kind][name], SEED, DRAWS)) for name in METRICS}
            if ours and ours is not one:
                pairs = {name: (ours.values[kind][name], one.values[kind][name]) for name in METRICS}
                ahead = {name: _plain(paired_interval(*pair, SEED, DRAWS)) for name, pair in pairs.items()}
                row.setdefault("nextbest_ahead", {})[kind] = ahead
        rows.append(row)
    return {"dataset": dataset, "horizon_days": horizon_days, "cuts": list(cuts), "systems": rows}


def show(report: dict[str, Any], console: Console) -> None:
    """A table for each kind of list, the best NDCG@10 first."""
    for kind in KINDS:
        judged = report["systems"][0]["judged"][kind]
        title = f"{report['dataset']}, {kind}: {judged:,} customers over {len(report['cuts'])} cuts"
        table = Table("system", *METRICS, "seconds", "peak MB", title=title)
        for row in _ordered(report, kind):
            cells = [f"{row[kind][name]['mean']:.4f} [{_ends(row[kind][name])}]" for name in METRICS]
            style = "bold" if row["system"] == NEXTBEST else None
            table.add_row(row["system"], *cells, f"{row['seconds']:.1f}", str(row["peak_mb"]), style=style)
        console.print(table)


def write(report: dict[str, Any], path: Path) -> None:
    """The JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def write_page(report: dict[str, Any], path: Path) -> None:
    """A Markdown table of both kinds of list for the documents, the best repeat NDCG@10 first."""
    columns = [f"{kind} {name}" for kind in KINDS for name in METRICS]
    lines = [f"| system | {' | '.join(columns)} | seconds | peak MB |", "|---" * (len(columns) + 3) + "|"]
    for row in _ordered(report, KINDS[0]):
        cells = [_spread(row[kind][name]) for kind in KINDS for name in METRICS]
        name = f"**{row['system']}**" if row["system"] == NEXTBEST else row["system"]
        lines.append(f"| {name} | {' | '.join(cells)} | {row['seconds']:.0f} | {row['peak_mb']:,} |")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def draw(report: dict[str, Any], path: Path) -> None:
    """Horizontal bars with intervals: a row of panels for each kind of list, the best NDCG@10 on top."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    systems = len(report["systems"])
    size = (4.2 * len(METRICS), 0.32 * systems * len(KINDS) + 1.6)
    figure, panels = plt.subplots(len(KINDS), len(METRICS), figsize=size, squeeze=False, layout="constrained")
    for line, kind in zip(panels, KINDS, strict=True):
        rows = _ordered(report, kind)[::-1]
        for place, (axis, metric) in enumerate(zip(line, METRICS, strict=True)):
            _bars(axis, rows, kind, metric, is_named=place == 0)
    figure.suptitle(f"{report['dataset']}: means with 95 % intervals")
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _bars(axis: Any, rows: Sequence[dict[str, Any]], kind: str, metric: str, *, is_named: bool) -> None:
    values = [row[kind][metric] for row in rows]
    means = [value["mean"] for value in values]
    reach = [
        [mean - value["low"] for mean, value in zip(means, values, strict=True)],
        [value["high"] - mean for mean, value in zip(means, values, strict=True)],
    ]
    colours = [OURS if row["system"] == NEXTBEST else THEIRS for row in rows]
    axis.barh(range(len(rows)), means, xerr=reach, color=colours, ecolor="#444444", capsize=2)
    axis.set_yticks(range(len(rows)), [row["system"] for row in rows] if is_named else [])
    axis.set_title(f"{kind}, {metric}", fontsize=10)
    axis.spines[["top", "right"]].set_visible(False)


def _ordered(report: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return sorted(report["systems"], key=lambda row: -row[kind]["NDCG@10"]["mean"])


def _plain(value: Interval) -> dict[str, float]:
    return {"mean": value.mean, "low": value.low, "high": value.high}


def _spread(value: dict[str, float]) -> str:
    """`.3203 ± .0112`: half the interval's width."""
    parts = (value["mean"], (value["high"] - value["low"]) / 2)
    return " ± ".join(f"{part:.4f}".removeprefix("0") for part in parts)


def _ends(value: dict[str, float]) -> str:
    return f"{value['low']:.4f}, {value['high']:.4f}"
