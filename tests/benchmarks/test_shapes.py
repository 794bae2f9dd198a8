"""The table sets of benchmarks/shapes and popularity's side of the comparison, counted by hand on a few rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from benchmarks.ranking.protocol import Truth
from benchmarks.shapes.behaviour import Newsroom, follow_news
from benchmarks.shapes.judging import beside_popularity, popularity
from benchmarks.shapes.shapes import SHAPES, day_of
from benchmarks.shapes.tables import TableSet
from recommender.events import DAY_MS

OLD, NEW, CUT = "2025-01-01", "2025-01-19", "2025-01-20"


@pytest.fixture
def shop() -> TableSet:
    """`old` was chosen three times long ago, `new` twice yesterday; ann then takes `new`, bob `old` and one unseen."""
    rows = [("ann", "old", OLD), ("bob", "old", OLD), ("cid", "old", OLD), ("ann", "new", NEW), ("bob", "new", NEW)]
    rows += [("ann", "new", CUT), ("bob", "old", CUT), ("bob", "fresh", CUT), ("bob", "shown", CUT)]
    events = pd.DataFrame(rows, columns=["user_id", "item_id", "occurred_at"])
    chosen = (events["item_id"] != "shown").to_numpy()
    return TableSet("a few rows", events.assign(event_type="view"), None, None, chosen, CUT)


def test_popularity_counts_choices_inside_its_window(shop: TableSet) -> None:
    choices = shop.choices()
    truth = Truth.after(choices, CUT, 7, "repeat")
    found = popularity(choices, CUT, truth, "repeat")
    second = 1 / np.log2(3)
    ideal_of_two = 1 + second
    assert found["all"]["NDCG@10"] == pytest.approx([second, 1 / ideal_of_two])  # old, new
    assert found["1 day"]["NDCG@10"] == pytest.approx([1, second / ideal_of_two])  # new, old
    assert found["7 days"]["R@20"].tolist() == [1, 1 / 2]


def test_lists_are_compared_with_the_best_window(shop: TableSet) -> None:
    served = pd.DataFrame({"cut": pd.Timestamp(CUT), "user_id": ["ann", "bob"], "item_id": ["new", "fresh"], "rank": 1})
    found = beside_popularity(shop, served, "repeat")
    assert (found["judged"], found["unseen"]) == (2, pytest.approx(1 / 3))
    assert found["R@20"]["nextbest"]["mean"] == (1 + 1 / 2) / 2
    assert found["R@20"]["ahead"]["mean"] == 0
    assert found["NDCG@10"]["window"] == "1 day"


def test_nobody_reads_an_article_before_it_is_there_or_after_three_days() -> None:
    read = follow_news(Newsroom(users=40, days=10), np.random.default_rng(0))
    age = read.at_ms - read.born_ms[read.item]
    assert len(age) > 100
    assert age.min() >= 0
    assert age.max() < 3 * DAY_MS + 5 * 60_000  # five minutes of reading at most
    assert not pd.DataFrame({"visit": read.visit, "item": read.item}).duplicated().any()


@pytest.mark.parametrize("name", SHAPES)
def test_a_seed_makes_the_same_tables_and_the_cut_divides_them(name: str) -> None:
    first, second = (SHAPES[name](np.random.default_rng(3), 0.05) for _ in range(2))
    pd.testing.assert_frame_equal(first.events, second.events)
    at = first.choices().at
    assert (at < np.datetime64(first.cut)).any()
    assert (at >= np.datetime64(first.cut)).any()
    assert first.cut > day_of(0)
