"""make bench-stats: what experiments promise, over 10,000 simulated ones: a table, a JSON, and 1 if one breaks."""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.experiments.promises import Promise, promises

RESULTS = Path(__file__).resolve().parents[1] / "results" / "experiments.json"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiments", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    table = Table("promise", "case", "experiments", "measured", "wanted", "", title="experiments of known truth")
    began, found = time.perf_counter(), []
    for promise in promises(options.experiments, options.seed):
        found.append(promise)
        wanted = f"{_shown(promise, promise.least)} to {_shown(promise, promise.most)}"
        told = f"{_shown(promise, promise.measured)}{'' if promise.kept else '  BROKEN'}"
        table.add_row(promise.subject, promise.case, f"{promise.experiments:,}", told, wanted, promise.note)
        print(f"{time.perf_counter() - began:6.1f} s  {promise.subject}: {promise.case}", file=sys.stderr)
    Console(width=170).print(table)
    kept = [{**asdict(promise), "kept": promise.kept} for promise in found]
    options.out.write_text(json.dumps({"seed": options.seed, "promises": kept}, indent=1) + "\n")
    return 0 if all(promise.kept for promise in found) else 1


def _shown(promise: Promise, value: float) -> str:
    if "flags" in promise.subject:
        return f"{value:g}"
    return f"{value:.3f}" if "variance" in promise.subject else f"{value:.2%}"


if __name__ == "__main__":
    sys.exit(main())
