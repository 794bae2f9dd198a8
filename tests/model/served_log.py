"""A log of served slates whose shop is known through and through: true tastes, true examination, true exploration."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from small_shop import day, event_table

from recommender.decision.policy import SlatePolicy, seed_of
from recommender.decision.slots import Plan, fill
from recommender.events import DECISION_SCHEMA
from recommender.model.features import feature_version

NAMES = ("logged_order", "taste", "price", "noise")
K, POOL, CANDIDATES = 10, 50, 60


@dataclass(frozen=True)
class ServedLog:
    """`decisions` and `events` as the marts hold them; `features` and `appeal` of slates nobody saw, to judge by."""

    decisions: pa.Table
    events: pa.Table
    features: npt.NDArray[np.float32]  # (slates, candidates, n_features)
    appeal: npt.NDArray[np.float64]  # (slates, candidates), the true chance of an answer once looked at


def appeal(features: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """What people truly like: the taste, less so a high price; the order in which they were shown means nothing."""
    return np.asarray(0.5 / (1 + np.exp(2 - 1.5 * features[..., 1] + 0.8 * features[..., 2])), dtype=np.float64)


def served_log(n: int, fall: float, seed: int, exploration: float = 0.1) -> ServedLog:
    """`n` slates of K of CANDIDATES items, ordered by the first feature with a share of explored slots; position p
    is looked at with probability p^−fall."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, CANDIDATES, len(NAMES))).astype(np.float32)
    plans = [SlatePlan.drawn(scores, seed, place, exploration) for place, scores in enumerate(features[:, :, 0])]
    rows, propensities = [plan.rows for plan in plans], [plan.propensities for plan in plans]
    shown = np.take_along_axis(features, np.asarray(rows)[:, :, None], axis=1)
    looked = (np.arange(1, K + 1) ** -fall) * appeal(shown)
    answered = rng.random((n, K)) < looked
    names = [[f"item-{row:03d}" for row in slate] for slate in rows]
    decided = [day(1) + 60_000 * place for place in range(n)]
    known = {
        "decision_id": [f"d{place}" for place in range(n)],
        "user_id": [f"user-{place % 200:03d}" for place in range(n)],
        "placement": ["home"] * n,
        "decided_at": decided,
        "slate_item_ids": names,
        "candidate_item_ids": [[f"item-{row:03d}" for row in range(CANDIDATES)]] * n,
        "trace": [plan.trace for plan in plans],
        "slate_propensities": propensities,
        "slate_features": [slate.astype("<f4").tobytes() for slate in shown],
        "feature_version": [feature_version(NAMES)] * n,
    }
    table = {name: known.get(name, [None] * n) for name in DECISION_SCHEMA.names}
    hits = np.argwhere(answered).tolist()
    events = [(f"user-{one % 200:03d}", names[one][slot], "click", decided[one] + 1_000, "s") for one, slot in hits]
    fresh = rng.normal(size=(300, CANDIDATES, len(NAMES))).astype(np.float32)
    return ServedLog(
        pa.table(table, schema=DECISION_SCHEMA),
        event_table(events, decision_id=[f"d{one}" for one, _ in hits]),
        fresh,
        appeal(fresh),
    )


@dataclass(frozen=True)
class SlatePlan:
    """A slate as the decision's own code draws it from a plan by score, and the trace that it leaves."""

    rows: list[int]
    propensities: list[float]
    trace: str

    @classmethod
    def drawn(cls, scores: npt.NDArray[np.float32], seed: int, place: int, exploration: float) -> SlatePlan:
        plan = Plan(K, np.argsort(-scores, kind="stable"))
        choice = fill(plan, SlatePolicy(exploration, POOL), seed_of(f"{seed}-{place}"))
        fates = np.empty(CANDIDATES, dtype=np.int64)
        fates[plan.order] = np.arange(1, CANDIDATES + 1)
        trace = json.dumps({"k": K, "rules": [], "fates": fates.tolist(), "ways": choice.ways})
        return cls(choice.rows.tolist(), choice.propensities.tolist(), trace)
