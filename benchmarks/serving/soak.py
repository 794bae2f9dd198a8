"""Half an hour of everything at once: does the memory of the workers stay where it is, and is everybody answered?

    python -m benchmarks.serving.soak [--minutes M] [--folder DIR] [--reads N] [--out FILE.json]

Known people and people never seen before ask, events and catalogue rows arrive, the champion changes three times.
Resident memory of every worker is sampled; after the first fifth it must stay within 5 %. Writes FILE.json and
FILE.png; the exit code is 1 where memory grew or a request failed.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow.compute as pc
import pyarrow.parquet as pq
from rich.console import Console
from rich.progress import Progress

from benchmarks.serving.load import Load, start_load
from benchmarks.serving.shop import Shop, ShopConfig, shop_in
from benchmarks.serving.stations import Asked, Cores, Station, fresh_home, station
from recommender.model.bundle import build_bundle
from recommender.model.manifest import BundleFacts
from recommender.states import UserStates
from recommender.workspace import Workspace
from services.model_store import aliases, publish, set_alias

SAMPLE_SECONDS = 5.0
WARM = 0.2  # of the time: caches fill, and the first new champion is loaded beside the old one
SWAPS = (0.1, 0.4, 0.7)  # moments, as shares of the time
MOST_GROWTH = 0.05


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--folder", type=Path, default=Path(".nextbest/bench-serving"), help="where the shop is kept")
    parser.add_argument("--users", type=int, default=ShopConfig.users)
    parser.add_argument("--reads", type=float, default=20.0, help="recommendations a second; all else in proportion")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/soak.json"), metavar="FILE.json")
    options = parser.parse_args()
    shop = shop_in(options.folder.absolute(), ShopConfig(users=options.users))
    with fresh_home(shop) as workspace:
        other = _other_version(shop, workspace)
        asked = Asked(shop, workspace)
        with station(workspace, Cores((), ()), 2) as served:
            run = _soaked(served, workspace, _load(served, asked, options.reads, 60 * options.minutes), other)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(run) + "\n")
    _draw(run, options.out.with_suffix(".png"))
    Console().print({name: value for name, value in run.items() if name not in ("samples", "timeline")})
    return 0 if run["is_flat"] and not run["failed"] else 1


def _load(served: Station, asked: Asked, reads: float, seconds: float) -> Load:
    """Of 16 requests ten are by known people, two by new ones, two batches, one single event, one catalogue row."""
    shares = {"known": 10.0, "stranger": 2.0, "batch of 10": 2.0, "view": 1.0, "item": 1.0}
    requests = {
        "known": asked.slates(people=2_000),
        "stranger": [asked.slate("__uid__")],
        "batch of 10": asked.batches(10),
        "view": asked.views(),
        "item": asked.prices(),
    }
    rate = reads * sum(shares.values()) / (shares["known"] + shares["stranger"])
    return Load(served.handle.url, requests, seconds, rate=rate, shares=shares)


def _soaked(served: Station, workspace: Workspace, load: Load, other: str) -> dict[str, Any]:
    running, started = start_load(load), time.monotonic()
    swaps = [share * load.seconds for share in SWAPS]
    samples: list[dict[str, Any]] = []
    swapped: list[float] = []
    with Progress(console=Console(stderr=True)) as progress:
        bar = progress.add_task("soak", total=load.seconds)
        while (passed := time.monotonic() - started) < load.seconds:
            if len(swapped) < len(swaps) and passed >= swaps[len(swapped)]:
                now = aliases(workspace)
                set_alias(workspace, "champion", now.get("previous", other))
                swapped.append(round(passed, 1))
            samples.append({"second": round(passed, 1), "bytes": _resident(served)})
            progress.update(bar, completed=passed)
            time.sleep(SAMPLE_SECONDS)
    result = running.finish()
    growth = _growth(samples, load.seconds)
    return {
        "minutes": load.seconds / 60,
        **result.summary(),
        "connection_errors": dict(result.errors),
        "refusals": dict(result.refusals),
        "failed": int(np.count_nonzero(result.status // 100 != 2)),
        "swapped_at_second": swapped,
        "growth": growth,
        "is_flat": all(share <= MOST_GROWTH for share in growth.values()),  # not so where one is nan: a worker ended
        "samples": samples,
    }


def _resident(served: Station) -> dict[str, int]:
    """Bytes by worker (its process id)."""
    found = {}
    for worker in served.handle.processes()[1:]:
        try:
            found[str(worker.pid)] = worker.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return found


def _growth(samples: list[dict[str, Any]], seconds: float) -> dict[str, float]:
    """By worker: the median of the last fifth of the time beside that of the fifth after the warm-up, less 1."""

    def median(worker: str, begin: float, end: float) -> float:
        values = [row["bytes"].get(worker, np.nan) for row in samples if begin <= row["second"] / seconds < end]
        return float(np.median(values)) if values else float("nan")

    workers = sorted(samples[0]["bytes"])  # later ones are trials of new champions, which end within seconds
    return {worker: round(median(worker, 0.8, 1.0) / median(worker, WARM, 2 * WARM) - 1, 4) for worker in workers}


def _other_version(shop: Shop, workspace: Workspace) -> str:
    """The champion's model under another version: what swaps load is a whole bundle of the same size."""
    bundle = shop.bundle()
    table = pq.read_table(shop.workspace.mart("user_states"))
    users = UserStates.from_table(table.filter(pc.equal(table["as_of"], pc.max(table["as_of"]))))
    folder = workspace.models / "other"
    facts = replace(BundleFacts(int(users.integers("as_of_ms").max())), commit="soak")
    build_bundle(folder, bundle, users, facts)
    return publish(workspace, folder)


def _draw(run: dict[str, Any], path: Path) -> None:
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(9, 4), layout="constrained")
    minutes = [row["second"] / 60 for row in run["samples"]]
    for number, worker in enumerate(run["growth"], 1):
        megabytes = [row["bytes"].get(worker, np.nan) / 1e6 for row in run["samples"]]
        axes.plot(minutes, megabytes, label=f"worker {number}: {run['growth'][worker]:+.1%} after the warm-up")
    for moment in run["swapped_at_second"]:
        axes.axvline(moment / 60, color="grey", linestyle=":", linewidth=1)
    axes.axvspan(0, WARM * run["minutes"], color="grey", alpha=0.1)
    axes.set(xlabel="minutes (dotted: a new champion; grey: warm-up)", ylabel="resident memory, MB")
    axes.set_ylim(bottom=0)
    axes.legend(loc="lower right")
    axes.set_title(f"{run['requests']:,} requests of five kinds, {run['failed']} failed")
    figure.savefig(path, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    sys.exit(main())
