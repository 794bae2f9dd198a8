"""How decisions do in life: clicks, conversions and reward per decision, by model and day, with intervals.

What follows from a fall is in `retraining`; comparisons of variants (experiments) are elsewhere.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from recommender.events import EVENT_STRENGTHS

__all__ = [
    "LivePerformance",
    "Metric",
    "Performance",
    "PerformanceConfig",
    "PerformanceFall",
    "Rate",
    "live_performance",
    "performance_fall",
    "rate_of",
]

HOUR_MS = 3_600_000
Metric = Literal["click_rate", "conversion_rate", "reward"]


@dataclass(frozen=True)
class PerformanceConfig:
    """What counts as an outcome of a decision, and what counts as a fall."""

    attribution_hours: int = 24
    confidence: float = 0.95
    # A fall: the whole interval at this confidence lies below the baseline, and the estimate by this share of it.
    fall_confidence: float = 0.99
    fall_share: float = 0.1
    min_users: int = 200
    fall_metric: Metric = "click_rate"


@dataclass(frozen=True)
class Rate:
    """A mean per decision. The error counts users, not decisions: one person's decisions resemble each other."""

    value: float
    low: float
    high: float
    standard_error: float


@dataclass(frozen=True)
class Performance:
    """One model on one day, or over all its days (`day` is "all").

    click_rate        share of decisions with a click within the attribution window
    conversion_rate   share with a purchase
    reward            mean strength of the strongest outcome (`EVENT_STRENGTHS`; 0 when nothing happened)
    """

    model_version: str
    day: str
    decisions: int
    users: int
    click_rate: Rate
    conversion_rate: Rate
    reward: Rate


@dataclass(frozen=True)
class LivePerformance:
    """`days` by model and day, `models` over all their days. `waiting` decisions were too young to judge."""

    days: tuple[Performance, ...]
    models: tuple[Performance, ...]
    waiting: int

    def model(self, version: str) -> Performance | None:
        """One model over all its days; None when none of its decisions can be judged yet."""
        return next((performance for performance in self.models if performance.model_version == version), None)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class PerformanceFall:
    """Is `current` below `baseline`? `difference` is current minus baseline, with its interval."""

    verdict: Literal["fell", "held", "not enough data"]
    metric: Metric
    baseline: float
    current: float
    difference: float
    low: float
    high: float

    @property
    def has_fallen(self) -> bool:
        return self.verdict == "fell"

    def figures(self) -> dict[str, float]:
        names = ("baseline", "current", "difference", "low", "high")
        return {name: float(getattr(self, name)) for name in names}

    def sentence(self) -> str:
        """The finding for a person."""
        name = self.metric.replace("_", " ")
        if self.verdict == "not enough data":
            return f"Not enough judged decisions to compare the {name}."
        change = f"{self.difference:+.4f} ({self.low:+.4f} to {self.high:+.4f})"
        verb = "fell" if self.has_fallen else "held"
        return f"The {name} {verb}: {self.current:.4f} after {self.baseline:.4f}, {change}."


def live_performance(
    decisions: pa.Table, events: pa.Table, as_of_ms: int, config: PerformanceConfig | None = None
) -> LivePerformance:
    """Outcomes of the decisions whose attribution window had passed at the cut `as_of_ms`.

    `decisions` has the columns of DECISION_SCHEMA, `events` those of EVENT_SCHEMA (only a few of each are
    read). An event is an outcome when it names the decision, occurred within the window after it and was
    recorded before the cut. A younger decision would count as a failure before it could succeed: it waits.
    """
    config = config or PerformanceConfig()
    window_ms = config.attribution_hours * HOUR_MS
    made = _decisions(decisions)
    made = made[made["decided_ms"] < as_of_ms]
    judged = made[made["decided_ms"] + window_ms <= as_of_ms]
    outcomes = _outcomes(events, as_of_ms).merge(judged[["decision_id", "decided_ms"]], on="decision_id")
    delay = outcomes["occurred_ms"] - outcomes["decided_ms"]
    best = outcomes[(delay >= 0) & (delay < window_ms)].groupby("decision_id")[["clicked", "bought", "reward"]].max()
    rows = judged.merge(best, how="left", left_on="decision_id", right_index=True).fillna(dict.fromkeys(best, 0))
    rows["day"] = pd.to_datetime(rows["decided_ms"], unit="ms").dt.strftime("%Y-%m-%d")
    days = tuple(_performance(group, group["day"].iloc[0], config) for _, group in rows.groupby(["version", "day"]))
    models = tuple(_performance(group, "all", config) for _, group in rows.groupby("version"))
    return LivePerformance(days, models, waiting=len(made) - len(judged))


def performance_fall(
    baseline: Performance | None, current: Performance | None, config: PerformanceConfig | None = None
) -> PerformanceFall:
    """Compare two periods or models on `config.fall_metric`; both are taken as independent samples.

    None or fewer than `config.min_users` users on either side is "not enough data", never a fall.
    """
    config = config or PerformanceConfig()
    metric = config.fall_metric
    if baseline is None or current is None or min(baseline.users, current.users) < config.min_users:
        return PerformanceFall("not enough data", metric, 0.0, 0.0, 0.0, 0.0, 0.0)
    before, after = rate_of(baseline, metric), rate_of(current, metric)
    difference = after.value - before.value
    margin = _quantile(config.fall_confidence) * math.hypot(before.standard_error, after.standard_error)
    fell = difference + margin < 0 and difference <= -config.fall_share * before.value
    verdict: Literal["fell", "held"] = "fell" if fell else "held"
    return PerformanceFall(
        verdict, metric, before.value, after.value, difference, difference - margin, difference + margin
    )


def _decisions(table: pa.Table) -> pd.DataFrame:
    """decision_id, decided_ms, version, person (who the errors are clustered by)."""
    names = ["decision_id", "decided_at", "model_version", "user_id", "anonymous_id"]
    frame = table.select(names).to_pandas()
    person = frame["user_id"].fillna(frame["anonymous_id"]).fillna(frame["decision_id"])
    version = frame["model_version"].fillna("none")
    times = _milliseconds(frame["decided_at"])
    return pd.DataFrame(
        {"decision_id": frame["decision_id"], "decided_ms": times, "version": version, "person": person}
    )


def _outcomes(table: pa.Table, as_of_ms: int) -> pd.DataFrame:
    """Events that name a decision and were known before the cut."""
    names = ["decision_id", "event_type", "occurred_at", "recorded_at"]
    frame = table.select(names).to_pandas()
    frame = frame[frame["decision_id"].notna() & (_milliseconds(frame["recorded_at"]) < as_of_ms)]
    kinds = frame["event_type"]
    return pd.DataFrame(
        {
            "decision_id": frame["decision_id"],
            "occurred_ms": _milliseconds(frame["occurred_at"]),
            "clicked": (kinds == "click").astype(np.int64),
            "bought": (kinds == "purchase").astype(np.int64),
            "reward": kinds.map(EVENT_STRENGTHS).fillna(0).astype(np.int64),
        }
    )


def _milliseconds(times: pd.Series) -> pd.Series:
    return times.astype("datetime64[ms]").astype(np.int64)


def _performance(rows: pd.DataFrame, day: str, config: PerformanceConfig) -> Performance:
    """The rows of one model."""
    z = _quantile(config.confidence)
    people = rows.groupby("person")[["clicked", "bought", "reward"]].sum().astype(np.float64)
    decisions = np.asarray(rows.groupby("person").size(), dtype=np.float64)
    clicked, bought, reward = (_clustered(people[name].to_numpy(), decisions) for name in people)
    return Performance(
        model_version=str(rows["version"].iloc[0]),
        day=day,
        decisions=len(rows),
        users=len(people),
        click_rate=_wilson(clicked, len(rows), len(people), z),
        conversion_rate=_wilson(bought, len(rows), len(people), z),
        reward=_normal(reward, z),
    )


def _clustered(sums: npt.NDArray[np.float64], decisions: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Mean per decision and its standard error by linearisation over people (Cochran, Sampling Techniques, 6.4).

    One person alone has no measurable error: it is 0, and the intervals below do not lean on it.
    """
    mean = sums.sum() / decisions.sum()
    people = len(decisions)
    residuals = sums - mean * decisions
    error = math.sqrt(people / max(people - 1, 1) * float(residuals @ residuals)) / decisions.sum()
    return float(mean), error


def _wilson(estimate: tuple[float, float], decisions: int, people: int, z: float) -> Rate:
    """Wilson's interval (JASA 22, 1927) for the number of independent decisions that would err as much.

    When nobody, or everybody, clicked there is no error to measure: each person then counts once.
    """
    share, error = estimate
    n = min(share * (1 - share) / error**2, decisions) if error > 0 else people
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return Rate(share, max(centre - half, 0.0), min(centre + half, 1.0), error)


def _normal(estimate: tuple[float, float], z: float) -> Rate:
    mean, error = estimate
    return Rate(mean, mean - z * error, mean + z * error, error)


def rate_of(performance: Performance, metric: Metric) -> Rate:
    """The rate of that name."""
    rates: dict[Metric, Rate] = {
        "click_rate": performance.click_rate,
        "conversion_rate": performance.conversion_rate,
        "reward": performance.reward,
    }
    return rates[metric]


def _quantile(confidence: float) -> float:
    """Two-sided normal quantile."""
    return NormalDist().inv_cdf(0.5 + confidence / 2)
