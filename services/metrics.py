"""What the service counts for Prometheus, in every worker; `services.scrape` tells it. No person, no item is named.

Label values come from fixed sets (route templates, codes, tiers): a scraper pays for each of them, and
BentoML's own middleware, which takes the raw path, would let any caller create as many as it likes.
"""

from __future__ import annotations

import time
from types import TracebackType

import numpy as np
import numpy.typing as npt
from prometheus_client import CollectorRegistry, Counter, Histogram

__all__ = [
    "OWN",
    "STAGES",
    "observe_agent_decision",
    "observe_circuit",
    "observe_fallback",
    "observe_features",
    "observe_refused_bundle",
    "observe_rejection",
    "observe_request",
    "observe_shadow",
    "observe_stage",
    "observe_state",
    "observe_suspicion",
    "observe_tier",
    "observe_unrecorded",
    "stage",
]

# In the order in which a recommendation passes them; messages and rows of the catalogue know record alone. Scoring
# (retrieval, features, the ranker) is a part of deciding: the rest of that is rules and arrangement.
STAGES = ("parse", "state", "live", "score", "decide", "record")
_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
OWN = CollectorRegistry()

_requests = Counter("nextbest_requests", "Requests answered", ["route", "status"], registry=OWN)
_seconds = Histogram("nextbest_request_seconds", "Time to answer", ["route"], registry=OWN, buckets=_SECONDS)
_rejections = Counter("nextbest_rejections", "Requests refused before they were read", ["reason"], registry=OWN)
_stages = Histogram("nextbest_stage_seconds", "Time in a stage", ["stage"], registry=OWN, buckets=_SECONDS)
_tiers = Counter("nextbest_recommendations", "Slates served", ["tier", "degraded"], registry=OWN)
_states = Counter("nextbest_states", "Where a person's state came from", ["source"], registry=OWN)
_features = Counter("nextbest_feature_values", "Feature values of served slates", ["kind"], registry=OWN)
_fallbacks = Counter("nextbest_fallbacks", "Requests that another bundle had to answer", ["variant"], registry=OWN)
_refusals = Counter("nextbest_refused_bundles", "Bundles refused in service, by worker", ["variant"], registry=OWN)
_suspicions = Counter("nextbest_suspicions", "Proven champions that look bad, by worker", registry=OWN)
_shadows = Counter("nextbest_shadows", "Requests scored by the challenger unseen", ["outcome"], registry=OWN)
_circuits = Counter("nextbest_circuits_opened", "Times a worker left a store alone", ["circuit"], registry=OWN)
_unrecorded = Counter("nextbest_unrecorded_decisions", "Slates served whose record failed", registry=OWN)
_by_agents = Counter(
    "nextbest_agent_decisions",
    "Decisions of agents in the moment; agents, actions and caps are those of the operator's files",
    ["agent", "action", "reason", "degraded"],
    registry=OWN,
)
_BY_STAGE = {name: _stages.labels(name) for name in STAGES}


def observe_request(route: str, status: int, seconds: float) -> None:
    _requests.labels(route, str(status)).inc()
    _seconds.labels(route).observe(seconds)


def observe_rejection(reason: str) -> None:
    """Count what was refused for a reason worth watching ("" is none: a wrong address, a bad body)."""
    if reason:
        _rejections.labels(reason).inc()


def observe_tier(tier: str, is_degraded: bool) -> None:
    _tiers.labels(tier, str(is_degraded).lower()).inc()


def observe_agent_decision(agent: str, action: str, reason: str, is_degraded: bool) -> None:
    _by_agents.labels(agent, action, reason, str(is_degraded).lower()).inc()


def observe_circuit(circuit: str) -> None:
    """Count an opened circuit: "store" (states), "live" (reads of the journal) or "record" (its decisions)."""
    _circuits.labels(circuit).inc()


def observe_unrecorded() -> None:
    _unrecorded.inc()


def observe_state(source: str) -> None:
    """Count where a state came from: one of few words, such as stored, unknown, unavailable."""
    _states.labels(source).inc()


def observe_features(values: npt.NDArray[np.float32]) -> None:
    """Count the values that a slate was scored by, and those of them that are missing (NaN)."""
    _features.labels("all").inc(values.size)
    _features.labels("nan").inc(int(np.count_nonzero(np.isnan(values))))


def observe_fallback(variant: str) -> None:
    _fallbacks.labels(variant).inc()


def observe_refused_bundle(variant: str) -> None:
    _refusals.labels(variant).inc()


def observe_suspicion() -> None:
    _suspicions.inc()


def observe_shadow(outcome: str) -> None:
    _shadows.labels(outcome).inc()


def observe_stage(name: str, seconds: float, times: int = 1) -> None:
    """Count so many passes through one of STAGES of so many seconds each."""
    for _ in range(times):
        _BY_STAGE[name].observe(seconds)


class stage:  # noqa: N801 (read as a verb: `with stage("state"):`)
    """Time what stands in the `with` block, as one of STAGES. 1 µs; a generator would take three times that."""

    __slots__ = ("_began", "_histogram")

    def __init__(self, name: str) -> None:
        self._histogram = _BY_STAGE[name]

    def __enter__(self) -> None:
        self._began = time.perf_counter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._histogram.observe(time.perf_counter() - self._began)
