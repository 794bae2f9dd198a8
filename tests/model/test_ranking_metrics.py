"""Ranking metrics, against arithmetic a reader can check and against an independent oracle."""

from __future__ import annotations

from math import log2

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score

from recommender.model import metrics

LISTS = st.integers(1, 12).flatmap(
    lambda k: st.lists(
        st.tuples(st.lists(st.booleans(), min_size=k, max_size=k), st.integers(0, 9)), min_size=1, max_size=6
    )
)


def as_arrays(lists: list[tuple[list[bool], int]]) -> tuple[np.ndarray, np.ndarray]:
    """Hits, and the number relevant: those hit and some that were missed."""
    hits = np.array([flags for flags, _ in lists])
    return hits, hits.sum(axis=1) + np.array([missed for _, missed in lists])


def test_a_list_worked_by_hand() -> None:
    hits = np.array([[False, True, False, True, False]])
    relevant = np.array([3])
    assert metrics.recall_at(hits, relevant, 5) == [2 / 3]
    assert metrics.recall_at(hits, relevant, 3) == [1 / 3]
    ideal = 1 / log2(2) + 1 / log2(3) + 1 / log2(4)
    assert metrics.ndcg_at(hits, relevant, 5) == pytest.approx([(1 / log2(3) + 1 / log2(5)) / ideal])
    assert metrics.reciprocal_rank(hits, relevant, 5) == [1 / 2]
    assert metrics.hit_at(hits, relevant, 1) == [0.0]
    assert metrics.hit_at(hits, relevant, 2) == [1.0]


def test_with_more_relevant_than_places_a_full_list_is_ideal_though_recall_is_not() -> None:
    hits = np.ones((1, 3), dtype=bool)
    assert metrics.ndcg_at(hits, np.array([30]), 3) == [1.0]
    assert metrics.recall_at(hits, np.array([30]), 3) == [3 / 30]


def test_a_user_without_anything_relevant_has_no_value() -> None:
    hits, none = np.zeros((1, 4), dtype=bool), np.array([0])
    for metric in (metrics.recall_at, metrics.ndcg_at, metrics.reciprocal_rank, metrics.hit_at):
        assert np.isnan(metric(hits, none, 4)).all()


@given(lists=LISTS, cut=st.integers(1, 12))
def test_metrics_agree_with_plain_loops(lists: list[tuple[list[bool], int]], cut: int) -> None:
    hits, relevant = as_arrays(lists)
    for row, count in enumerate(relevant):
        if not count:
            continue
        ranks = [rank for rank, hit in enumerate(hits[row][:cut], start=1) if hit]
        ideal = sum(1 / log2(rank + 1) for rank in range(1, min(cut, count) + 1))
        assert metrics.recall_at(hits, relevant, cut)[row] == pytest.approx(len(ranks) / count)
        assert metrics.ndcg_at(hits, relevant, cut)[row] == pytest.approx(sum(1 / log2(r + 1) for r in ranks) / ideal)
        assert metrics.reciprocal_rank(hits, relevant, cut)[row] == pytest.approx(1 / ranks[0] if ranks else 0)
        assert metrics.hit_at(hits, relevant, cut)[row] == float(bool(ranks))


def test_ndcg_agrees_with_scikit_learn_over_a_whole_catalogue() -> None:
    rng = np.random.default_rng(0)
    truth, scores = rng.random((50, 30)) < 0.2, rng.random((50, 30))
    truth[:, 0] = True
    order = np.argsort(-scores, axis=1)
    hits = np.take_along_axis(truth, order, axis=1)
    ours = metrics.ndcg_at(hits, truth.sum(axis=1), 10).mean()
    assert ours == pytest.approx(ndcg_score(truth, scores, k=10))


def test_map_mrr_and_precision_worked_by_hand() -> None:
    hits = np.array([[False, True, False, True, False]])
    relevant = np.array([3])
    assert metrics.average_precision(hits, relevant, 5) == pytest.approx([(1 / 2 + 2 / 4) / 3])
    assert metrics.average_precision(hits, np.array([30]), 2) == pytest.approx([(1 / 2) / 2])
    assert metrics.precision_at(hits, relevant, 4) == [2 / 4]
    assert metrics.precision_at(hits, relevant, 10) == [2 / 10]  # a short list is not spared


def test_graded_gains_worked_by_hand() -> None:
    gains = np.array([[0.0, 7.0, 1.0]])  # grades 0, 3, 1; a third item of grade 2 was missed
    ideal = 7 / log2(2) + 3 / log2(3) + 1 / log2(4)
    assert metrics.graded_ndcg(gains, np.array([ideal]), 3) == pytest.approx([(7 / log2(3) + 1 / log2(4)) / ideal])
    spent = np.array([[20.0, 0.0, 5.0]])
    assert metrics.gain_share(spent, np.array([100.0]), 2) == [20 / 100]
    assert np.isnan(metrics.gain_share(spent, np.array([0.0]), 2)).all()


def test_gains_by_rank_places_entries_whatever_their_order() -> None:
    gains = metrics.gains_by_rank(np.array([1, 0, 1]), np.array([2, 1, 9]), np.array([3.0, 1.0, 7.0]), 2, 3)
    assert gains.tolist() == [[1, 0, 0], [0, 3, 0]]


def test_an_interval_is_repeatable_and_shrinks_as_one_over_root_n() -> None:
    values = np.random.default_rng(1).normal(2.0, 1.0, 400)
    interval = metrics.mean_interval(values, seed=7, draws=4_000)
    assert interval == metrics.mean_interval(values, seed=7, draws=4_000)
    assert interval.mean == values.mean()
    half = (interval.high - interval.low) / 2
    assert half == pytest.approx(1.96 * values.std() / np.sqrt(400), rel=0.08)


def test_pairing_takes_out_what_every_system_finds_hard() -> None:
    rng = np.random.default_rng(2)
    difficulty = rng.random(300)
    ours, theirs = difficulty + 0.01 + 0.01 * rng.random(300), difficulty
    paired, alone = metrics.paired_interval(ours, theirs, seed=1), metrics.mean_interval(ours, seed=1)
    assert paired.low > 0
    assert paired.high - paired.low < 0.1 * (alone.high - alone.low)


def test_columns_share_their_draws_and_leave_out_who_has_no_value() -> None:
    values = np.array([[1.0, 10.0], [2.0, np.nan], [6.0, 60.0]])
    both = metrics.intervals(values, seed=3, draws=500)
    assert [interval.mean for interval in both] == [(1 + 2 + 6) / 3, (10 + 60) / 2]
    assert both[0] == metrics.mean_interval(values[:, 0], seed=3, draws=500)
    assert (both[1].low, both[1].high) == (10.0, 60.0)


def test_a_persons_weeks_are_drawn_together() -> None:
    people = np.random.default_rng(3).normal(0.0, 1.0, 200)
    weeks, owner = np.repeat(people, 4)[:, None], np.repeat(np.arange(200), 4)
    once = metrics.mean_interval(people, seed=1, draws=2_000)
    four = metrics.intervals(weeks, seed=1, draws=2_000, owner=owner)[0]
    naive = metrics.intervals(weeks, seed=1, draws=2_000)[0]
    assert four.high - four.low == pytest.approx(once.high - once.low)  # the same week four times is no more evidence
    assert naive.high - naive.low == pytest.approx((once.high - once.low) / 2, rel=0.1)


def test_no_users_no_interval() -> None:
    assert metrics.mean_interval(np.zeros(0), seed=1) == metrics.Interval(0.0, 0.0, 0.0)
