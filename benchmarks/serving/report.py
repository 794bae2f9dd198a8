"""The figures of a run beside their targets: a table for people, plain values for files. Nothing is measured here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rich.table import Table

__all__ = ["Line", "lines_of", "table_of"]


@dataclass(frozen=True)
class Line:
    """One figure: what was found, in words, and the ratio or figure that the target speaks of."""

    name: str
    found: str
    figure: float
    target: str
    is_met: bool


def lines_of(run: dict[str, Any]) -> list[Line]:
    """Every figure that has a target, in the order of the targets."""
    lines = []
    for row in run["one_at_a_time"]:
        name = f"{row['candidates']} candidates, one at a time, p50"
        name += " (given)" if row["given"] else " (retrieved)"
        found = f"{row['p50_ms']} ms; T {row['T_ms']}, P {row['P_ms']}; p99 {row['p99_ms']}"
        lines.append(Line(name, found, row["ratio"], "≤ 2 × (T + P)", row["ratio"] <= 2))
    half = run["under_half_load"]
    found = f"{half['p99_ms']} ms; p50 {half['p50_ms']}, at {half['rate']}/s"
    lines.append(Line("p99 at half of saturation", found, half["ratio"], "≤ 4 × its p50", half["ratio"] <= 4))
    for workers, row in run["throughput"].items():
        found = f"{row['per_second']}/s; T {row['T_per_second']}/s"
        is_met = row["share"] >= 0.35
        lines.append(Line(f"answers a second, {workers} worker(s)", found, row["share"], "≥ 0.35 × T's", is_met))
    own = run["own_write"]
    found = f"slowest {own['max_ms']} ms, p50 {own['p50_ms']}; {own['by_the_next_request']} of {own['people']} at once"
    is_met = own["by_the_next_request"] == own["people"] and own["max_ms"] < 50
    lines.append(Line("event to changed list, another worker", found, own["max_ms"], "next request, < 50 ms", is_met))
    acks = run["acknowledgements"]
    for kind, least in (("in_batches_of_50", 3_000), ("singly", 400)):
        figure = acks[f"events_per_second_{kind}"]
        name = f"durable events a second {kind.replace('_', ' ')}"
        lines.append(Line(name, f"{figure:,}/s", figure, f"≥ {least:,}/s", figure >= least))
    return lines


def table_of(lines: list[Line]) -> Table:
    """The lines as a table; what misses its target is red."""
    table = Table("figure", "measured", "ratio or figure", "target", title="The decision service")
    for line in lines:
        table.add_row(line.name, line.found, f"{line.figure:,}", line.target, style=None if line.is_met else "bold red")
    return table
