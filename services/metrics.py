"""What Prometheus can ask of the service: counters of all workers together. No person and no item is named here.

Label values come from fixed sets (route templates, codes, tiers): a scraper pays for each of them, and
BentoML's own middleware, which takes the raw path, would let any caller create as many as it likes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

__all__ = ["observe_refusal", "observe_request", "observe_tier", "render"]

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_OWN = CollectorRegistry()

_requests = Counter("nextbest_requests", "Requests answered", ["route", "status"], registry=_OWN)
_seconds = Histogram("nextbest_request_seconds", "Time to answer", ["route"], registry=_OWN, buckets=_SECONDS)
_tiers = Counter("nextbest_recommendations", "Slates served", ["tier", "degraded"], registry=_OWN)
_refusals = Counter("nextbest_refusals", "Requests refused before they were answered", ["reason"], registry=_OWN)

_fallbacks = Counter("nextbest_fallbacks", "Requests that another bundle had to answer", ["variant"], registry=_OWN)
_refusals = Counter("nextbest_refused_bundles", "Bundles refused in service, by worker", ["variant"], registry=_OWN)
_shadows = Counter("nextbest_shadows", "Requests scored by the challenger unseen", ["outcome"], registry=_OWN)


def observe_fallback(variant: str) -> None:
    _fallbacks.labels(variant).inc()


def observe_refusal(variant: str) -> None:
    _refusals.labels(variant).inc()


def observe_shadow(outcome: str) -> None:
    _shadows.labels(outcome).inc()


def observe_request(route: str, status: int, seconds: float) -> None:
    _requests.labels(route, str(status)).inc()
    _seconds.labels(route).observe(seconds)


def observe_refusal(reason: str) -> None:
    """Count what was refused for a reason worth watching ("" is none: a wrong address, a bad body)."""
    if reason:
        _refusals.labels(reason).inc()


def observe_tier(tier: str, is_degraded: bool) -> None:
    _tiers.labels(tier, str(is_degraded).lower()).inc()


def render(journal_rows: Mapping[str, int], champion_version: str) -> bytes:
    """The exposition text; with several workers the counters are summed over their shared files."""
    registry = CollectorRegistry()
    registry.register(_Now(journal_rows, champion_version))
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)
    return generate_latest(_OWN) + generate_latest(registry)


class _Now(Collector):
    """Figures read at the moment of the scrape instead of being counted along."""

    def __init__(self, journal_rows: Mapping[str, int], champion_version: str) -> None:
        self._journal_rows, self._version = journal_rows, champion_version

    def collect(self) -> Iterable[Metric]:
        rows = GaugeMetricFamily("nextbest_journal_rows", "Rows ever written to the journal", labels=["table"])
        for table, count in self._journal_rows.items():
            rows.add_metric([table], count)
        yield rows
        champion = GaugeMetricFamily("nextbest_champion_info", "The bundle in service", labels=["version"])
        if self._version:
            champion.add_metric([self._version], 1)
        yield champion
