"""The slates that stop the training early: later than what is learnt from, and apart from it to the last label."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from small_shop import day

from recommender.model.ranker import RankerConfig, fit_ranker, time_split
from recommender.model.training_set import GROUP_SCHEMA, TrainingSet


def slates(
    kind: str, days: Sequence[float], label_days: float = 7, labels: Sequence[int] = (1, 0), user: str = "user"
) -> TrainingSet:
    """One slate of two rows at each day, of ever new users; the first feature is the label."""
    n, at_ms = len(days), np.asarray([day(number) for number in days])
    groups = {
        "kind": [kind] * n,
        "at_ms": at_ms,
        "labelled_until_ms": at_ms + round(label_days * 86_400_000),
        "decision_id": [""] * n,
        "user_id": [f"{user}-{place}" for place in range(n)],
        "weight": np.ones(n),
        "size": np.full(n, 2),
    }
    label = np.tile(np.asarray(labels, dtype=np.float32), n)
    shown = (np.zeros(2 * n, dtype=np.int64), np.full(2 * n, np.nan), np.ones(2 * n), np.zeros(2 * n, dtype=np.int64))
    items = pa.array(["one", "two"] * n)
    return TrainingSet(("only",), label[:, None].copy(), label, items, *shown, pa.table(groups, schema=GROUP_SCHEMA))


def days_of(part: TrainingSet, kind: str) -> list[float]:
    wanted = np.asarray(part.groups["kind"].to_pylist()) == kind
    return [(at - day(0)) / 86_400_000 for at in part.at_ms[wanted].tolist()]


def split(training: TrainingSet) -> tuple[TrainingSet, TrainingSet]:
    parts = time_split(training, 0)
    assert parts is not None
    return parts


def test_the_latest_cut_is_held_back_and_no_label_of_the_rest_reaches_into_it() -> None:
    learnt, held = split(slates("retrospective", [14, 21, 28, 35]))
    assert days_of(learnt, "retrospective") == [14, 21, 28]
    assert days_of(held, "retrospective") == [35]
    # With cuts closer than the horizon, the labels of the cut before would already show the held days.
    learnt, held = split(slates("retrospective", [21, 28, 35], label_days=10))
    assert (days_of(learnt, "retrospective"), days_of(held, "retrospective")) == ([21], [35])


def test_served_slates_fall_before_behind_or_between() -> None:
    both = TrainingSet.concatenate(
        [slates("retrospective", [21, 28, 35]), slates("served", [20, 27, 28.5, 34, 36, 37], user="other")]
    )
    learnt, held = split(both)
    assert days_of(learnt, "retrospective") == [21, 28]
    assert days_of(learnt, "served") == [20, 27]  # answers to 28.5 and 34 still came in after day 35
    assert days_of(held, "retrospective") == [35]
    assert days_of(held, "served") == [36, 37]
    assert learnt.groups["labelled_until_ms"].to_numpy().max() <= held.at_ms.min()


def test_served_slates_alone_are_split_at_their_last_fifth() -> None:
    learnt, held = split(slates("served", np.arange(100) * 0.5, label_days=2))
    assert days_of(held, "served") == [number * 0.5 for number in range(80, 100)]
    assert days_of(learnt, "served")[-1] == 80 * 0.5 - 2


def test_with_a_single_cut_a_fifth_of_the_users_is_held_back() -> None:
    twice = TrainingSet.concatenate([slates("retrospective", [21] * 200), slates("retrospective", [21] * 200)])
    learnt, held = split(twice)
    assert len(learnt) + len(held) == len(twice)
    assert not set(learnt.groups["user_id"].to_pylist()) & set(held.groups["user_id"].to_pylist())
    assert 0.1 < len(held) / len(twice) < 0.3


def test_without_a_positive_on_both_sides_there_is_no_split() -> None:
    single = TrainingSet.concatenate(
        [slates("retrospective", [21]), slates("served", [5, 9, 22], labels=(0, 0), user="other")]
    )
    assert time_split(single, 0) is None
    assert fit_ranker(single, RankerConfig(max_rounds=40, min_child_weight=0.0)).rounds == 40 // 4
