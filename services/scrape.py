"""What is told to Prometheus at a scrape: all workers' counts together, and figures of that moment. Nothing is counted.

Ages are by the service's own clock, so that a workspace that replays an archive is as fresh as it pretends to be.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from services import metrics
from services.door import Door
from services.respawning import crash_facts

__all__ = ["exposition"]


def exposition(door: Door) -> bytes:
    """The text of a scrape; with several workers the counters are summed over their shared files."""
    registry = CollectorRegistry()
    registry.register(_Moment(door))
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)
    return generate_latest(metrics.OWN) + generate_latest(registry)


class _Moment(Collector):
    """Gauges read from the worker that was asked."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def collect(self) -> Iterable[Metric]:
        yield _gauge("nextbest_journal_rows", "Rows ever written to the journal", "table", self._rows())
        bundles = {version: 1.0 for version in [self._door.champion.version] if version}
        yield _gauge("nextbest_champion_info", "The bundle in service", "version", bundles)
        crashes = crash_facts(self._door.workspace) or {"in_a_row": 0}
        ended = {"before they served": float(crashes["in_a_row"])}
        yield _gauge("nextbest_crashes_in_a_row", "Workers that ended, one after the other", "ended", ended)
        yield _gauge("nextbest_age_seconds", "Time since what is in use was made or told", "of", self._ages())

    def _rows(self) -> dict[str, float]:
        with contextlib.suppress(sqlite3.Error):  # a journal that cannot be read now must not hide the rest
            return {table: float(count) for table, count in self._door.reader.counts().items()}
        return {}

    def _ages(self) -> dict[str, float]:
        manifest = getattr(self._door.champion.scorer, "manifest", None)  # of a bundle; nothing else is ever loaded
        moments = {"champion": manifest and manifest.as_of_ms, "states": self._door.states_as_of_ms}
        with contextlib.suppress(sqlite3.Error):
            moments["journal"] = self._door.reader.newest_event_ms()
        now = self._door.clock.now_ms()
        return {name: (now - moment) / 1000 for name, moment in moments.items() if moment is not None}


def _gauge(name: str, told: str, label: str, values: dict[str, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, told, labels=[label])
    for value, figure in values.items():
        family.add_metric([value], figure)
    return family
