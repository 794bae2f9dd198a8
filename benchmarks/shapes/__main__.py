"""The platform beside popularity on table sets that it was not made for, each landed and backtested by the command.

    python -m benchmarks.shapes [--shapes news tiny …] [--seed N] [--out FILE.json]

Prints a table and writes FILE.json and FILE.md. Popularity is the best of four windows, chosen after the fact for each
figure. A shape that fails is named, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.ranking.protocol import KINDS
from benchmarks.shapes.judging import METRICS, figures_of
from benchmarks.shapes.shapes import SHAPES


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shapes", nargs="+", choices=list(SHAPES), default=list(SHAPES))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/shapes.json"), metavar="FILE.json")
    options = parser.parse_args()
    found, failed = [], []
    with tempfile.TemporaryDirectory() as scratch, Progress(console=Console(stderr=True)) as progress:
        for name in progress.track(options.shapes, description="shapes"):
            try:
                found.append(figures_of(name, SHAPES[name](np.random.default_rng(options.seed), 1.0), Path(scratch)))
            except subprocess.CalledProcessError:
                failed.append(name)  # the command has said why
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps({"seed": options.seed, "failed": failed, "shapes": found}, indent=1) + "\n")
    options.out.with_suffix(".md").write_text("\n".join(page(found)) + "\n", encoding="utf-8")
    show(found, Console(width=None if Console().is_terminal else 150))
    if failed:
        print(f"without figures, because the backtest failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def show(found: list[dict[str, Any]], console: Console) -> None:
    """A row a shape and kind of list: ours, popularity's, and what we are ahead by, with its interval."""
    table = Table("shape", "list", "people", "unseen", *METRICS, title="nextbest / best popularity / ahead")
    for row in found:
        for kind in KINDS:
            cells = [_cell(row[kind][metric]) for metric in METRICS]
            is_behind = any(row[kind][metric]["ahead"]["mean"] < 0 for metric in METRICS)
            facts = (row["shape"], kind, f"{row[kind]['judged']:,}", f"{row[kind]['unseen']:.0%}")
            table.add_row(*facts, *cells, style="bold red" if is_behind else None)
    console.print(table)


def page(found: list[dict[str, Any]]) -> list[str]:
    """The same as lines of Markdown for the documents."""
    columns = [f"{kind} {metric}" for kind in KINDS for metric in METRICS]
    lines = [f"| tables | unseen | {' | '.join(columns)} |", "|---" * (len(columns) + 2) + "|"]
    for row in found:
        cells = [_cell(row[kind][metric]) for kind in KINDS for metric in METRICS]
        lines.append(f"| {row['told']} | {row['repeat']['unseen']:.0%} | {' | '.join(cells)} |")
    return lines


def _cell(figures: dict[str, Any]) -> str:
    ours, theirs, ahead = (figures[name] for name in ("nextbest", "popularity", "ahead"))
    return (
        f"{_short(ours['mean'])} / {_short(theirs['mean'])} / "
        f"{_short(ahead['mean'])} [{_short(ahead['low'])}, {_short(ahead['high'])}]"
    )


def _short(figure: float) -> str:
    return f"{figure:.3f}".replace("0.", ".", 1)


if __name__ == "__main__":
    sys.exit(main())
