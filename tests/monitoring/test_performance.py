"""Live performance: what counts for which decision, by arithmetic a reader can check, and honest intervals."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
from numpy.random import default_rng
from scipy.stats import binom
from statsmodels.stats.proportion import proportion_confint

from monitoring.performance import (
    Performance,
    PerformanceConfig,
    Rate,
    live_performance,
    performance_fall,
    rate_of,
)
from monitoring.performance_figure import performance_figure
from recommender.events import DAY_MS, DECISION_SCHEMA, EVENT_SCHEMA

HOUR = 3_600_000
START = 20_000 * DAY_MS  # 2024-10-04, 00:00 UTC
LATE = START + 30 * DAY_MS


def table(schema: pa.Schema, rows: list[dict[str, object]]) -> pa.Table:
    return pa.Table.from_pylist([{name: row.get(name) for name in schema.names} for row in rows], schema=schema)


def decision(name: str, user: str | None = "u1", at: int = START, version: str | None = "m1") -> dict[str, object]:
    return {"decision_id": name, "user_id": user, "decided_at": at, "model_version": version}


def outcome(name: str | None, kind: str, at: int = START + HOUR, recorded: int | None = None) -> dict[str, object]:
    recorded_at = at if recorded is None else recorded
    return {"decision_id": name, "event_type": kind, "occurred_at": at, "recorded_at": recorded_at}


def judge(
    decisions: list[dict[str, object]], events: list[dict[str, object]], as_of_ms: int = LATE
) -> tuple[Performance, ...]:
    return live_performance(table(DECISION_SCHEMA, decisions), table(EVENT_SCHEMA, events), as_of_ms).models


def test_rates_by_hand() -> None:
    decisions = [decision(name, user=f"u{name}") for name in "abcd"]
    events = [outcome("a", "click"), outcome("b", "click"), outcome("b", "purchase"), outcome("c", "add_to_cart")]
    (found,) = judge(decisions, events)
    assert (found.decisions, found.users) == (4, 4)
    assert found.click_rate.value == 2 / 4
    assert found.conversion_rate.value == 1 / 4
    assert found.reward.value == (2 + 6 + 4 + 0) / 4  # strongest outcome of each: click, purchase, cart, nothing


def test_several_outcomes_of_one_decision_count_once() -> None:
    (found,) = judge([decision("a"), decision("b", "u2")], [outcome("a", "click")] * 3)
    assert found.click_rate.value == 1 / 2


@pytest.mark.parametrize(
    ("event", "counts"),
    [
        (outcome("a", "click", START), True),
        (outcome("a", "click", START + 24 * HOUR - 1), True),
        (outcome("a", "click", START + 24 * HOUR), False),  # after the attribution window
        (outcome("a", "click", START - 1), False),  # before the decision
        (outcome("a", "click", recorded=LATE - 1), True),
        (outcome("a", "click", recorded=LATE), False),  # not known at the cut
        (outcome(None, "click"), False),  # names no decision
        (outcome("z", "click"), False),  # names another one
        (outcome("a", "impression"), False),
    ],
)
def test_which_events_count(event: dict[str, object], counts: bool) -> None:
    (found,) = judge([decision("a")], [event])
    assert found.click_rate.value == float(counts)


def test_young_decisions_wait_instead_of_failing() -> None:
    decisions = table(DECISION_SCHEMA, [decision("old"), decision("young", at=LATE - HOUR), decision("next", at=LATE)])
    live = live_performance(decisions, table(EVENT_SCHEMA, [outcome("old", "click")]), LATE)
    assert live.waiting == 1  # the young one; a decision at the cut does not exist yet
    assert live.models[0].decisions == 1
    assert live.models[0].click_rate.value == 1.0


def test_by_model_and_day() -> None:
    decisions = [
        decision("a"),
        decision("b", at=START + DAY_MS),
        decision("c", version="m2"),
        decision("d", version=None),
    ]
    live = live_performance(table(DECISION_SCHEMA, decisions), table(EVENT_SCHEMA, []), LATE)
    days = [(row.model_version, row.day, row.decisions) for row in live.days]
    assert days == [
        ("m1", "2024-10-04", 1),
        ("m1", "2024-10-05", 1),
        ("m2", "2024-10-04", 1),
        ("none", "2024-10-04", 1),
    ]
    assert live.model("m1") is not None
    assert live.model("m3") is None


def test_nothing_happened_yet() -> None:
    assert judge([], []) == ()


def test_row_order_does_not_matter() -> None:
    rng = default_rng(1)
    decisions = [decision(str(n), user=f"u{n % 7}") for n in range(60)]
    events = [outcome(str(n), "click") for n in range(0, 60, 3)]
    shuffled = judge([decisions[i] for i in rng.permutation(60)], [events[i] for i in rng.permutation(20)])
    assert shuffled == judge(decisions, events)


def test_without_repeated_people_the_interval_is_wilsons() -> None:
    n, clicks = 400, 60
    decisions = [decision(str(i), user=f"u{i}") for i in range(n)]
    (found,) = judge(decisions, [outcome(str(i), "click") for i in range(clicks)])
    low, high = proportion_confint(clicks, n, method="wilson")
    # n - 1 instead of n in the measured variance moves the limits by less than a thousandth of them.
    assert found.click_rate.low == pytest.approx(low, rel=1e-3)
    assert found.click_rate.high == pytest.approx(high, rel=1e-3)


def test_no_click_at_all_still_has_an_upper_limit() -> None:
    (found,) = judge([decision(str(i), user=f"u{i}") for i in range(50)], [])
    low, high = proportion_confint(0, 50, method="wilson")
    assert (found.click_rate.low, found.click_rate.high) == (pytest.approx(low), pytest.approx(high))


def test_repeated_people_widen_the_interval() -> None:
    """One person's ten equal answers are one observation: the error grows by √10."""
    decisions = [decision(f"{user}-{n}", user=str(user)) for user in range(100) for n in range(10)]
    (found,) = judge(decisions, [outcome(f"{user}-{n}", "click") for user in range(30) for n in range(10)])
    naive = math.sqrt(0.3 * 0.7 / 1000)
    assert found.click_rate.standard_error == pytest.approx(naive * math.sqrt(10 * 100 / 99))


@pytest.mark.slow
def test_intervals_cover_the_truth() -> None:
    """300 shops whose people differ in how readily they click; the mean readiness is 0.2."""
    covered, shops = 0, 300
    for number in range(shops):
        rng = default_rng([number, 1])
        readiness = rng.beta(2.0, 8.0, 150)
        visits = rng.poisson(4.0, 150) + 1
        user = np.repeat(np.arange(150), visits)
        clicked = rng.random(len(user)) < readiness[user]
        decisions = [decision(str(i), user=str(u)) for i, u in enumerate(user)]
        (found,) = judge(decisions, [outcome(str(i), "click") for i in np.flatnonzero(clicked)])
        covered += found.click_rate.low <= 0.2 <= found.click_rate.high
    assert binom.ppf(0.001, shops, 0.95) <= covered <= binom.ppf(0.9995, shops, 0.975)


def period(share: float, users: int = 2_000, error: float = 0.01) -> Performance:
    rate = Rate(share, share - 2 * error, share + 2 * error, error)
    return Performance("m1", "all", users, users, rate, rate, rate)


@pytest.mark.parametrize(
    ("baseline", "current", "verdict"),
    [
        (period(0.20), period(0.10), "fell"),
        (period(0.20), period(0.20), "held"),
        (period(0.10), period(0.20), "held"),
        (period(0.20), period(0.17), "held"),  # 0.03 down, but 2.58 · √2 · 0.01 = 0.036 is within chance
        (period(0.20, error=0.0001), period(0.19, error=0.0001), "held"),  # certain, but only 5 % down
        (period(0.20), period(0.10, users=199), "not enough data"),
        (None, period(0.10), "not enough data"),
        (period(0.20), None, "not enough data"),
    ],
)
def test_what_is_a_fall(baseline: Performance | None, current: Performance | None, verdict: str) -> None:
    fall = performance_fall(baseline, current)
    assert fall.verdict == verdict
    assert fall.has_fallen == (verdict == "fell")


def test_the_difference_by_hand() -> None:
    fall = performance_fall(period(0.20, error=0.003), period(0.10, error=0.004))
    margin = 2.5758293 * 0.005  # two-sided 99 %, √(0.003² + 0.004²)
    assert fall.difference == pytest.approx(-0.1)
    assert (fall.low, fall.high) == (pytest.approx(-0.1 - margin), pytest.approx(-0.1 + margin))
    assert "fell: 0.1000 after 0.2000" in fall.sentence()
    assert fall.figures()["difference"] == fall.difference


def test_every_metric_can_be_watched() -> None:
    for metric in ("click_rate", "conversion_rate", "reward"):
        fall = performance_fall(period(0.4), period(0.1), PerformanceConfig(fall_metric=metric))
        assert (fall.metric, fall.baseline) == (metric, rate_of(period(0.4), metric).value)


def test_the_picture_shows_the_days(tmp_path_factory: pytest.TempPathFactory) -> None:
    from matplotlib.image import imread

    decisions = [decision(f"{d}{n}", user=str(n), at=START + d * DAY_MS) for d in range(3) for n in range(20)]
    events = [outcome(f"{d}{n}", "click", START + d * DAY_MS + HOUR) for d in range(3) for n in range(5 * d)]
    full = live_performance(table(DECISION_SCHEMA, decisions), table(EVENT_SCHEMA, events), LATE)
    empty = live_performance(table(DECISION_SCHEMA, []), table(EVENT_SCHEMA, []), LATE)
    pictures = {}
    for name, live in {"full": full, "empty": empty}.items():
        path = tmp_path_factory.mktemp("pictures") / f"{name}.png"
        path.write_bytes(performance_figure(live))
        pictures[name] = imread(path)
    assert pictures["full"].shape == pictures["empty"].shape
    assert np.ptp(pictures["full"][..., 0]) > 0.5
    assert not np.array_equal(pictures["full"], pictures["empty"])
    assert performance_figure(full) == performance_figure(full)
