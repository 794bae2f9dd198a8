"""How quickly one person is answered, and how many: beside T, a constant answer, and P, the trees alone."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.serving.load import Request
from benchmarks.serving.shop import Shop
from benchmarks.serving.stations import Asked, Station
from recommender.model.bundle import Bundle
from recommender.retrieval.candidates import UserBatch
from recommender.states import Contexts, UserStates

__all__ = ["one_at_a_time", "predict_ms", "throughput", "under_half_load"]

ROUNDS = 3  # yardstick and service take turns, so that a busy minute of the machine meets both


def predict_ms(shop: Shop, bundle: Bundle, given: int) -> tuple[float, int]:
    """P: the median time of predicting one real person's candidates with XGBoost's public `inplace_predict`, one
    thread, and how many they are."""
    matrices, booster = _matrices(shop, bundle, given), bundle.ranker.booster
    for matrix in matrices:
        booster.inplace_predict(matrix)
    times = []
    for matrix in matrices * 4:
        started = time.perf_counter()
        booster.inplace_predict(matrix)
        times.append(time.perf_counter() - started)
    return 1000 * float(np.median(times)), int(np.median([len(matrix) for matrix in matrices]))


def _matrices(shop: Shop, bundle: Bundle, given: int, people: int = 50) -> list[npt.NDArray[np.float32]]:
    table = pq.read_table(shop.workspace.mart("user_states"))
    users = UserStates.from_table(table.filter(pc.equal(table["as_of"], pc.max(table["as_of"]))).slice(0, people))
    at_ms = int(users.integers("as_of_ms").max())
    batch = UserBatch.read(users, Contexts.at(at_ms, len(users)), bundle.items)
    index = np.flatnonzero(bundle.items.integers("is_available") > 0)[:given] if given else None
    candidates, features, _ = bundle.score_batch(batch, index)
    starts = candidates.offsets
    return [np.ascontiguousarray(features[starts[row] : starts[row + 1]]) for row in range(len(users))]


def one_at_a_time(
    constant: Station, real: Station, asked: Asked, given: int, predict: float, seconds: float
) -> dict[str, Any]:
    """One caller in turn: p50 against twice T + P."""
    requests = asked.slates(given)
    real.ask(requests[:100], 1.0)  # warm
    turns = [(constant.ask(requests, seconds / 3), real.ask(requests, seconds)) for _ in range(ROUNDS)]
    t, mine = _pooled([turn[0].result.seconds for turn in turns]), _pooled([turn[1].result.seconds for turn in turns])
    return {
        "given": given,
        "T_ms": t["p50"],
        "P_ms": round(predict, 3),
        "p50_ms": mine["p50"],
        "p99_ms": mine["p99"],
        "cpu_ms": round(float(np.mean([turn[1].cpu_ms for turn in turns])), 3),
        "T_cpu_ms": round(float(np.mean([turn[0].cpu_ms for turn in turns])), 3),
        "ratio": round(mine["p50"] / (t["p50"] + predict), 2),
    }


def throughput(
    constant: Station, real: Station, requests: Sequence[Request], seconds: float, connections: int
) -> dict[str, Any]:
    """As many callers as keep every worker busy: answers a second as a share of T's."""
    turns = [
        (constant.ask(requests, seconds / 2, connections), real.ask(requests, seconds, connections))
        for _ in range(ROUNDS)
    ]
    t, mine = (float(np.median([turn[side].result.throughput for turn in turns])) for side in (0, 1))
    return {
        "T_per_second": round(t, 1),
        "per_second": round(mine, 1),
        "T_cpu_ms": round(float(np.mean([turn[0].cpu_ms for turn in turns])), 3),
        "cpu_ms": round(float(np.mean([turn[1].cpu_ms for turn in turns])), 3),
        "share": round(mine / t, 3),
    }


def under_half_load(real: Station, requests: Sequence[Request], saturation: float, seconds: float) -> dict[str, Any]:
    """Requests at random moments, half as many as can be answered; times count from when each was due."""
    figures = real.ask(requests, seconds, rate=saturation / 2)
    return {
        "rate": round(saturation / 2, 1),
        "p50_ms": round(figures.p50, 3),
        "p99_ms": round(figures.p99, 3),
        "max_ms": round(1000 * float(figures.result.seconds.max()), 3),
        "ratio": round(figures.p99 / figures.p50, 2),
    }


def _pooled(parts: Sequence[npt.NDArray[np.float64]]) -> Mapping[str, float]:
    milliseconds = 1000 * np.concatenate(parts)
    return {f"p{share}": round(float(np.quantile(milliseconds, share / 100)), 3) for share in (50, 99)}
