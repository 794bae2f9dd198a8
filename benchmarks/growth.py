"""How each stage of the ring grows with events, users and items: time and peak memory, on simulated shops.

    python -m benchmarks.growth [--sizes 1 10] [--out FILE.json]

A size is millions of events: 11,000 users and 10,000 items make about one million in 60 days. Every size runs in a
process of its own, from raw Parquet to a promoted bundle; beside it stands the yardstick, one DuckDB pass over the
same events that groups them by user and by item.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

USERS, ITEMS, DAYS = 11_000, 10_000, 60  # one million events, impressions included
GIB = 2**30


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=float, nargs="+", default=[1.0, 10.0], help="millions of events")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/growth.json"))
    parser.add_argument("--one", type=float, help=argparse.SUPPRESS)  # the child that runs one size
    options = parser.parse_args()
    if options.one:
        print(json.dumps(one_size(options.one)))
        return
    found = []
    for size in options.sizes:
        Console(stderr=True).print(f"{size:g} million events: simulating, then the whole ring")
        command = [sys.executable, "-m", "benchmarks.growth", "--one", str(size)]
        found.append(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout.splitlines()[-1]))
    show(found)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    draw(found, options.out.with_suffix(".png"))


def one_size(millions: float) -> dict[str, Any]:
    """Simulate, group with DuckDB, run the ring; figures of each stage."""
    from orchestration.resources import Ring
    from orchestration.ring import simulate_tables
    from orchestration.runs import execute
    from orchestration.settings import WorkspaceSettings, save_settings

    with tempfile.TemporaryDirectory() as scratch:
        tables = Path(scratch) / "tables"
        made = simulate_tables(round(USERS * millions), round(ITEMS * millions), DAYS, 1, str(tables))
        events = made.events.num_rows
        del made
        yardstick = duckdb_pass(tables / "events.parquet")
        ring = Ring(home=str(Path(scratch) / "home"))
        save_settings(ring.workspace, WorkspaceSettings("simulated", str(tables), ""))
        watch = Watch()
        outcome = execute(ring, "ring", lambda news: watch.take(news.kind, news.name))
        watch.stop()
        if not outcome.is_success:
            raise SystemExit(f"the ring failed: {outcome.failures + outcome.failed_checks}")
        return {
            "events": events,
            "users": round(USERS * millions),
            "items": round(ITEMS * millions),
            "yardstick_seconds": yardstick,
            "seconds": outcome.seconds,
            "peak_bytes": watch.peak,
            "stages": watch.stages,
            "verdict": outcome.metadata["champion"]["verdict"],
        }


def duckdb_pass(events: Path) -> float:
    """Seconds that DuckDB needs to read the events once and group them by user and by item."""
    import duckdb

    started = time.monotonic()
    duckdb.sql(
        f"""
        with events as (select * from read_parquet('{events}')),
        of_users as (select user_id, count(*) as n, max(occurred_at) as last_at from events group by user_id),
        of_items as (select item_id, count(*) as n, max(occurred_at) as last_at from events group by item_id)
        select (select sum(n) from of_users), (select sum(n) from of_items)
        """
    ).fetchall()
    return time.monotonic() - started


@dataclass
class Watch:
    """Time and peak memory (this process and all it started) of each stage between its start and its end."""

    stages: dict[str, dict[str, float]] = field(default_factory=dict)
    peak: int = 0
    _running: dict[str, tuple[float, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def take(self, kind: str, name: str) -> None:
        if kind == "start":
            self._running[name] = (time.monotonic(), 0)
        elif kind == "success" and name in self._running:
            started, peak = self._running.pop(name)
            self.stages[name] = {"seconds": time.monotonic() - started, "peak_bytes": max(peak, self._now())}

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._ended.wait(0.2):
            now = self._now()
            self.peak = max(self.peak, now)
            self._running = {name: (at, max(peak, now)) for name, (at, peak) in self._running.items()}

    def _now(self) -> int:
        total = 0
        own = psutil.Process()
        for process in (own, *own.children(recursive=True)):
            try:
                total += process.memory_info().rss
            except psutil.NoSuchProcess:
                continue
        return total


def show(found: list[dict[str, Any]]) -> None:
    """A row a stage: seconds and GiB at each size, and how many times more at the last than at the first."""
    table = Table("stage", title="Growth of the ring")
    for size in found:
        table.add_column(
            f"{size['events']:,} events\n{size['users']:,} users, {size['items']:,} items", justify="right"
        )
    table.add_column("times", justify="right")
    first, last = found[0], found[-1]
    for stage in sorted(last["stages"], key=lambda name: -last["stages"][name]["seconds"]):
        cells = [_cell(size["stages"].get(stage)) for size in found]
        times = last["stages"][stage]["seconds"] / max(first["stages"].get(stage, {}).get("seconds", 0.0), 0.1)
        table.add_row(stage, *cells, f"{times:.1f}")
    whole = [{"seconds": size["seconds"], "peak_bytes": size["peak_bytes"]} for size in found]
    table.add_row("whole ring", *map(_cell, whole), f"{last['seconds'] / first['seconds']:.1f}")
    table.add_row("DuckDB pass", *(f"{size['yardstick_seconds']:.1f} s" for size in found), "")
    table.add_row("events, times", "", f"{last['events'] / first['events']:.1f}", "")
    Console(width=130).print(table)


def _cell(stage: dict[str, float] | None) -> str:
    return f"{stage['seconds']:,.1f} s  {stage['peak_bytes'] / GIB:.2f} GiB" if stage else ""


def draw(found: list[dict[str, Any]], path: Path) -> None:
    """Seconds of the slowest stages and of the whole against events, both axes logarithmic, beside a straight line."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    events = [size["events"] for size in found]
    slowest = sorted(found[-1]["stages"], key=lambda name: -found[-1]["stages"][name]["seconds"])[:6]
    for stage in slowest:
        axes.plot(events, [size["stages"].get(stage, {}).get("seconds") for size in found], marker="o", label=stage)
    whole = [size["seconds"] for size in found]
    axes.plot(events, whole, marker="o", color="#0f172a", linewidth=2, label="whole ring")
    straight = [whole[0] * count / events[0] for count in events]
    axes.plot(events, straight, linestyle=":", color="#94a3b8", label="as many times as events")
    axes.set(xscale="log", yscale="log", xlabel="events", ylabel="seconds")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
