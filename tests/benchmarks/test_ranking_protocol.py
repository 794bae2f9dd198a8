"""What the ranking benchmark tells its systems and how it judges them: one small shop, counted by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from benchmarks.ranking.datasets import Purchases
from benchmarks.ranking.platform import lists_of
from benchmarks.ranking.protocol import History, Truth, best_items, judge, listed

CUT = "2024-02-01"
LINES = [  # user, item, basket, at
    ("ann", "tea", "b1", "2023-12-01"),  # older than 28 days before the cut
    ("ann", "tea", "b2", "2024-01-10"),
    ("ann", "jam", "b2", "2024-01-10"),
    ("ann", "jam", "b2", "2024-01-10"),  # a line of the receipt that is split in two
    ("ann", "tea", "b4", "2024-01-20"),
    ("bob", "jam", "b3", "2024-01-11"),
    ("ann", "tea", "b5", "2024-02-01"),  # at the cut: the first moment of the test
    ("ann", "pie", "b6", "2024-02-07"),
    ("ann", "oil", "b7", "2024-02-08"),  # the eighth day
    ("bob", "jam", "b8", "2024-02-02"),
    ("cid", "tea", "b9", "2024-02-03"),  # not seen before the cut
]


@pytest.fixture
def purchases() -> Purchases:
    lines = pd.DataFrame(LINES, columns=["user", "item", "basket", "at"])
    return Purchases.of(lines.assign(at=pd.to_datetime(lines["at"])))


def named(purchases: Purchases, codes: np.ndarray) -> list[str]:
    return [str(purchases.item_ids[code]) for code in codes if code >= 0]


def test_items_known_at_a_cut_stand_in_the_order_of_their_recent_popularity(purchases: Purchases) -> None:
    history = History.before(purchases, CUT)
    assert named(purchases, history.items) == ["jam", "tea"]
    assert history.popularity.tolist() == [3, 2]  # lines of the last 28 days; the tea of December is too old
    assert [purchases.user_ids[code] for code in history.users] == ["ann", "bob"]


def test_counts_are_baskets_and_ages_count_back_from_the_latest(purchases: Purchases) -> None:
    history = History.before(purchases, CUT)
    assert history.counts.toarray().tolist() == [[1, 3], [1, 0]]
    assert history.baskets.tolist() == [3, 1]
    of_ann = history.user == 0
    ann = zip(history.item[of_ann].tolist(), history.age[of_ann].tolist(), strict=True)
    assert sorted(ann) == [(0, 1), (1, 0), (1, 1), (1, 2)]  # jam in the last but one, tea in all three


def test_truth_counts_distinct_items_of_known_users_inside_the_horizon(purchases: Purchases) -> None:
    truth = Truth.after(purchases, CUT, 7, "repeat")
    assert [purchases.user_ids[code] for code in truth.users] == ["ann", "bob"]
    assert [sorted(named(purchases, row.nonzero()[0])) for row in truth.bought.toarray()] == [["pie", "tea"], ["jam"]]


def test_novel_truth_holds_only_what_was_never_bought_before(purchases: Purchases) -> None:
    truth = Truth.after(purchases, CUT, 7, "novel")
    assert [purchases.user_ids[code] for code in truth.users] == ["ann"]
    assert named(purchases, truth.bought.toarray()[0].nonzero()[0]) == ["pie"]


def test_equal_scores_go_by_the_order_of_columns_and_minus_infinity_ends_a_list() -> None:
    scores = np.array([[1.0, 3.0, 1.0, 1.0], [0.0, -np.inf, 2.0, -np.inf]])
    assert best_items(scores, 3).tolist() == [[1, 0, 2], [2, 0, -1]]
    assert best_items(scores, 5).tolist() == [[1, 0, 2, 3, -1], [2, 0, -1, -1, -1]]


def test_best_items_are_those_of_a_full_sort() -> None:
    scores = np.random.default_rng(3).integers(0, 6, (50, 40)).astype(float)
    assert best_items(scores, 20).tolist() == np.argsort(-scores, axis=1, kind="stable")[:, :20].tolist()


def test_novel_lists_leave_out_what_a_user_had(purchases: Purchases) -> None:
    history = History.before(purchases, CUT)
    for kind, expected in (("repeat", [["tea", "jam"], ["tea", "jam"]]), ("novel", [[], ["tea"]])):
        for asked in ([kind], ["novel", "repeat"]):
            lists = listed(history, lambda rows: np.tile([1.0, 2.0], (len(rows), 1)), history.users, asked)[kind]
            assert [named(purchases, row) for row in lists] == expected


def test_figures_of_one_list_by_hand(purchases: Purchases) -> None:
    truth = Truth.after(purchases, CUT, 7, "repeat")
    code = {name: place for place, name in enumerate(purchases.item_ids)}
    lists = np.full((2, 20), -1)
    lists[0, :3] = [code["jam"], code["tea"], code["oil"]]  # ann bought tea and pie: one hit, at rank 2
    found = judge(lists, truth)  # bob gets an empty list
    assert found["R@20"].tolist() == [1 / 2, 0]
    assert found["MRR@20"].tolist() == [1 / 2, 0]
    ideal = 1 / np.log2(2) + 1 / np.log2(3)
    assert found["NDCG@10"].tolist() == pytest.approx([(1 / np.log2(3)) / ideal, 0])


def test_lists_of_the_platform_are_read_by_rank_and_unknown_items_are_misses(purchases: Purchases) -> None:
    served = pd.DataFrame(
        {
            "cut": pd.Timestamp(CUT),
            "user_id": ["ann", "ann", "ann", "eve"],
            "item_id": ["pie", "never bought", "tea", "tea"],
            "rank": [3, 2, 1, 1],
        }
    )
    truth = Truth.after(purchases, CUT, 7, "repeat")
    lists = lists_of(served, purchases, CUT, truth.users)
    assert lists[0, 1] == -1
    assert named(purchases, lists[0]) == ["tea", "pie"]
    assert (lists[1] == -1).all()
    assert judge(lists, truth)["R@20"].tolist() == [2 / 2, 0]
