"""The platform beside the best libraries and published methods, on real data, in one run.

    python -m benchmarks.ranking --dataset online_retail --path ../shared/data/online_retail
        [--systems nextbest 'TIFU-KNN' …] [--skip-nextbest] [--out DIR]

Prints a table for all purchases and one for novel ones, and writes DIR/ranking-<dataset>.json, .md and .png. The
protocol is in protocol.py, the cuts in datasets.py, the peers and what they may choose from in peers/. Peers are
measured once: what they gave is kept in DIR/peers until their code, libraries or data change; the platform is run each
time.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from benchmarks.ranking.datasets import DATASETS
from benchmarks.ranking.kept import fingerprint, keep, kept
from benchmarks.ranking.measuring import Measured, measure
from benchmarks.ranking.peers import PEERS
from benchmarks.ranking.platform import NEXTBEST
from benchmarks.ranking.report import draw, figures, show, write, write_page


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
            found.append(_measured(name, options.dataset, options.path, options.out))
    dataset = DATASETS[options.dataset]
    report = figures(found, options.dataset, dataset.horizon_days, dataset.cuts)
    stem = options.out / f"ranking-{options.dataset}"
    write(report, stem.with_suffix(".json"))
    write_page(report, stem.with_suffix(".md"))
    draw(report, stem.with_suffix(".png"))
    show(report, console)


def _measured(system: str, dataset: str, folder: Path, out: Path) -> Measured:
    path, made_from = out / "peers" / f"{dataset}-{system.replace(' ', '_')}.json", fingerprint(folder)
    found = None if system == NEXTBEST else kept(path, made_from)
    if found is None:
        found = measure(system, dataset, folder, out / "lists")
        if system != NEXTBEST:
            keep(found, path, made_from)
    return found


if __name__ == "__main__":
    main()
