"""The platform beside the best libraries and published methods, on real data, in one run.

    python -m benchmarks.ranking --dataset online_retail --path ../shared/data/online_retail
        [--systems nextbest 'TIFU-KNN' …] [--skip-nextbest] [--out DIR]

Writes DIR/ranking-<dataset>.json and .png, and prints a table for all purchases and one for novel ones. The protocol is
in protocol.py, the cuts in datasets.py, the peers and what they may choose from in peers/.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from benchmarks.ranking.datasets import DATASETS
from benchmarks.ranking.measuring import measure
from benchmarks.ranking.peers import PEERS
from benchmarks.ranking.platform import NEXTBEST
from benchmarks.ranking.report import draw, figures, show, write


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", choices=sorted(DATASETS), required=True)
    parser.add_argument("--path", type=Path, required=True, metavar="DIR", help="the folder of the data set's files")
    parser.add_argument("--systems", nargs="+", choices=[*PEERS, NEXTBEST], default=[*PEERS, NEXTBEST])
    parser.add_argument("--skip-nextbest", action="store_true", help="the peers alone")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"), metavar="DIR")
    options = parser.parse_args()
    systems = [name for name in options.systems if not (options.skip_nextbest and name == NEXTBEST)]
    found = []
    console = Console(width=None if Console().is_terminal else 130)
    with Progress(console=Console(stderr=True)) as progress:
        for name in progress.track(systems, description=options.dataset):
            progress.console.print(name)
            found.append(measure(name, options.dataset, options.path, options.out / "lists"))
    dataset = DATASETS[options.dataset]
    report = figures(found, options.dataset, dataset.horizon_days, dataset.cuts)
    stem = options.out / f"ranking-{options.dataset}"
    write(report, stem.with_suffix(".json"))
    draw(report, stem.with_suffix(".png"))
    show(report, console)


if __name__ == "__main__":
    main()
