"""`make bench-serving`: the service's speed as ratios to yardsticks of the same run, and where its time goes.

    python -m benchmarks.serving [--folder DIR] [--seconds S] [--items N …] [--out FILE.json]

T is a BentoML service that answers a constant JSON, P the trees alone on the same candidates. The first run makes a
shop (two minutes) and keeps it in the folder. With four cores or more, servers and callers have two each of their own.
Prints tables and writes FILE.json; the exit code is 1 where a target is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.serving.breakdown import parts_ms
from benchmarks.serving.large import serve_large
from benchmarks.serving.report import lines_of, table_of
from benchmarks.serving.shop import Shop, ShopConfig, shop_in
from benchmarks.serving.speed import one_at_a_time, predict_ms, throughput, under_half_load
from benchmarks.serving.stations import CONSTANT, CONSTANT_DOOR, Asked, Cores, fresh_home, station
from benchmarks.serving.writes import acknowledgements, mixed, own_write

GIVEN = (50, 200, 500, 0)  # candidates in the request; 0: retrieval proposes them
CALLERS = 8  # for each worker: enough to keep it busy
USUAL = 200


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path(".nextbest/bench-serving"), help="where the shop is kept")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each single measurement")
    parser.add_argument("--users", type=int, default=ShopConfig.users)
    parser.add_argument("--items", type=int, nargs="*", default=[10_000], help="larger catalogues to serve as well")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/serving.json"), metavar="FILE.json")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    shop = shop_in(options.folder.absolute(), ShopConfig(users=options.users))
    run = measured(shop, options.seconds)
    run["catalogues"] = [_catalogue(shop, count, options.seconds) for count in options.items]
    lines = lines_of(run)
    run["targets"] = [{"figure": line.name, "found": line.figure, "met": line.is_met} for line in lines]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(run, indent=1) + "\n")
    console = Console(width=None if Console().is_terminal else 150)
    console.print(table_of(lines))
    console.print(_parts_table(run))
    console.print(_mixed_table(run))
    if run["catalogues"]:
        console.print(_catalogue_table(run))
    return 0 if all(line.is_met for line in lines) else 1


def measured(shop: Shop, seconds: float) -> dict[str, Any]:
    """Everything, in one run on one machine."""
    cores = Cores.split()
    run: dict[str, Any] = {"python": platform.python_version(), "cores": os.cpu_count(), "seconds": seconds}
    with fresh_home(shop) as workspace:
        asked = Asked(shop, workspace)
        run["predict"] = _predictions(shop, cores)
        with station(workspace, cores, 2, CONSTANT) as constant, station(workspace, cores, 2) as real:
            _say("one at a time")
            run["one_at_a_time"] = [
                one_at_a_time(constant, real, asked, given, run["predict"][given]["ms"], seconds)
                | {"candidates": run["predict"][given]["candidates"]}
                for given in GIVEN
            ]
            _say("two workers")
            slates = asked.slates(USUAL)
            two = throughput(constant, real, slates, seconds, 2 * CALLERS)
            run["under_half_load"] = under_half_load(real, slates, two["per_second"], 4 * seconds)
            with station(workspace, cores, 2, CONSTANT_DOOR) as door:
                own = door.ask(slates, seconds), door.ask(slates, seconds, 2 * CALLERS)
            run["constant_door"] = {"p50_ms": round(own[0].p50, 3), "per_second": round(own[1].result.throughput, 1)}
            _say("events")
            run["own_write"] = own_write(real, shop, asked)
            run["mixed"] = mixed(real, asked, 2 * seconds)
            run["acknowledgements"] = acknowledgements(real, asked, seconds)
    with fresh_home(shop) as workspace:  # without the events that were told above
        _say("one worker")
        with station(workspace, cores, 1, CONSTANT) as constant, station(workspace, cores, 1) as real:
            one = throughput(constant, real, slates, seconds, CALLERS)
        run["throughput"] = {"1": one, "2": two}
        _say("parts")
        run["parts_ms"] = {given: parts_ms(shop, workspace, given) for given in (USUAL, 0)}
    return run


def _catalogue(shop: Shop, n_items: int, seconds: float) -> dict[str, Any]:
    """The service with a larger catalogue, one caller in turn."""
    _say(f"{n_items:,} items")
    with fresh_home(shop) as workspace:
        large, asked = serve_large(shop, workspace, n_items), Asked(shop, workspace)
        with station(workspace, Cores.split(), 1) as real:
            found: dict[str, Any] = {"items": large.items, "bundle_megabytes": large.megabytes}
            for name, given in (("given", USUAL), ("retrieved", 0)):
                real.ask(asked.slates(given), 1.0)  # warm
                figures = real.ask(asked.slates(given), seconds)
                found[name] = {"p50_ms": round(figures.p50, 3), "cpu_ms": round(figures.cpu_ms, 3)}
            worker = real.handle.processes()[1]
            return found | {"resident_megabytes": round(worker.memory_info().rss / 1e6)}


def _predictions(shop: Shop, cores: Cores) -> dict[int, dict[str, float]]:
    """P for every size, on a core that serves."""
    everywhere = os.sched_getaffinity(0) if cores.server else set()
    if cores.server:
        os.sched_setaffinity(0, cores.server)
    bundle = shop.bundle()
    found = {given: predict_ms(shop, bundle, given) for given in GIVEN}
    if cores.server:
        os.sched_setaffinity(0, everywhere)
    return {given: {"ms": round(ms, 3), "candidates": count} for given, (ms, count) in found.items()}


def _parts_table(run: dict[str, Any]) -> Table:
    sizes = list(run["parts_ms"])
    table = Table("part of an answer, ms", *(f"{size} given" if size else "retrieved" for size in sizes))
    for part in run["parts_ms"][sizes[0]]:
        table.add_row(part, *(f"{run['parts_ms'][size][part]:.3f}" for size in sizes))
    for row in run["one_at_a_time"]:
        if row["given"] in sizes and row["given"]:
            table.add_row("a constant answer of BentoML (T)", f"{row['T_ms']:.3f}", "")
    own = run["constant_door"]
    table.add_row("a constant answer of our own door", f"{own['p50_ms']:.3f}", "")
    table.caption = f"Two workers give {own['per_second']:,} constant answers of our own door a second."
    return table


def _mixed_table(run: dict[str, Any]) -> Table:
    table = Table("reads beside writes", "a second", "p50 ms", "p99 ms", title="8 callers, 2 workers")
    for kind, row in run["mixed"].items():
        table.add_row(kind, f"{row['answers_per_second']:,}", str(row["p50_ms"]), str(row["p99_ms"]))
    return table


def _catalogue_table(run: dict[str, Any]) -> Table:
    columns = ("items", f"{USUAL} given, p50 ms", "retrieved, p50 ms", "bundle MB", "worker MB")
    table = Table(*columns, title="Larger catalogues, one at a time")
    for row in run["catalogues"]:
        figures = (f"{row['items']:,}", row["given"]["p50_ms"], row["retrieved"]["p50_ms"])
        table.add_row(*map(str, (*figures, row["bundle_megabytes"], row["resident_megabytes"])))
    return table


def _say(what: str) -> None:
    print(f"serving: {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
