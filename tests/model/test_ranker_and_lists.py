"""The ranker learns what separates chosen from not chosen; lists come from the path that serves one user."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xgboost as xgb
from fitted_shop import RANKER, Shop

from recommender.errors import InputError, IntegrityError
from recommender.model.lists import recommend_lists, top_rows
from recommender.model.ranker import Ranker, RankerConfig, fit_ranker
from recommender.model.scorer import RankingModel
from recommender.model.training_set import TrainingSet
from recommender.states import Contexts


def test_chosen_items_end_up_above_the_others(training: TrainingSet) -> None:
    scores = fit_ranker(training, RANKER).predict(training.features)
    rows, rank = top_rows(training.group, scores, 3)
    base = (training.label > 0).mean()
    assert (training.label[rows[rank == 1]] > 0).mean() > 2 * base


def test_training_is_repeatable_whatever_the_threads(training: TrainingSet) -> None:
    one, two = (
        fit_ranker(training, RankerConfig(rounds=10, max_depth=4, threads=threads), seed=5).booster.save_raw("ubj")
        for threads in (1, 2)
    )
    assert one == two


def test_the_number_of_rounds_comes_from_the_latest_cut(training: TrainingSet) -> None:
    stopped = fit_ranker(training, RankerConfig(max_rounds=60, patience=5, max_depth=4), seed=5)
    assert 1 <= stopped.rounds < 60
    assert stopped.booster.num_boosted_rounds() == stopped.rounds + RankerConfig().pointwise_rounds


def test_the_score_is_the_sum_of_both_kinds_of_trees(training: TrainingSet, tmp_path: Path) -> None:
    both, alone = fit_ranker(training, RANKER), fit_ranker(training, replace(RANKER, pointwise_rounds=0))
    added = both.predict(training.features) - alone.predict(training.features)
    slow = both.booster.predict(xgb.DMatrix(training.features), iteration_range=(20, 20 + RANKER.pointwise_rounds))
    assert np.ptp(added - slow) < 1e-5  # up to a constant, which changes no order
    doubled = fit_ranker(training, replace(RANKER, pointwise_weight=2 * RANKER.pointwise_weight))
    twice = doubled.predict(training.features) - alone.predict(training.features)
    assert np.ptp(twice - 2 * added) < 1e-4
    chosen = training.label > 0
    assert added[chosen].mean() > added[~chosen].mean()
    path = tmp_path / "ranker.ubj"
    both.save(path)
    again = Ranker.load(path, both.names)
    assert again.rounds == both.rounds == 20
    assert again.predict(training.features).tobytes() == both.predict(training.features).tobytes()
    assert np.allclose(
        both.contributions(training.features[:50]).sum(axis=1), both.predict(training.features[:50]), atol=1e-4
    )


def test_progress_is_told_round_by_round(training: TrainingSet) -> None:
    told: list[tuple[str, int, int]] = []
    fit_ranker(training, RANKER, progress=lambda what, done, total: told.append((what, done, total)))
    total = 20 + RANKER.pointwise_rounds
    assert told == [("ranker rounds", done, total) for done in range(1, total + 1)]


def test_without_a_positive_there_is_nothing_to_learn(training: TrainingSet) -> None:
    nothing = training.take_groups(np.zeros(len(training.groups), dtype=bool))
    with pytest.raises(InputError, match="0 training rows without one positive label"):
        fit_ranker(nothing)


def test_a_ranker_of_other_columns_is_refused(model: RankingModel) -> None:
    other = Ranker(model.ranker.booster, model.ranker.names[::-1], model.ranker.rounds)
    with pytest.raises(IntegrityError, match="columns that this code assembles"):
        RankingModel(other, model.retriever)


def test_importances_name_features(model: RankingModel) -> None:
    gains = model.ranker.importances()
    assert set(gains) <= set(model.ranker.names)
    assert list(gains.values()) == sorted(gains.values(), reverse=True)


def test_lists_are_the_best_scores_of_the_serving_path(model: RankingModel, shop: Shop) -> None:
    lists = recommend_lists(model, shop.now.users, shop.now.as_of_ms, k=7).to_pandas()
    assert lists.groupby("user_id").size().tolist() == [7] * len(shop.now.users)
    for row in (0, 17):
        alone = model.score(shop.now.users.slice(row, 1), Contexts.at(shop.now.as_of_ms, 1))
        best = np.argsort(-alone.scores, kind="stable")[:7]
        mine = lists[lists["user_id"] == shop.now.users.user_ids[row]]
        assert mine["rank"].tolist() == [1, 2, 3, 4, 5, 6, 7]
        assert mine["item_id"].tolist() == model.items.item_ids.take(alone.item_index[best]).to_pylist()
        assert mine["score"].to_numpy().tobytes() == alone.scores[best].tobytes()
        assert mine["source"].tolist() == [alone.source[place] for place in best]


def test_novel_lists_hold_nothing_of_the_history(model: RankingModel, shop: Shop) -> None:
    lists = recommend_lists(model, shop.now.users, shop.now.as_of_ms, k=5, novel=True)
    had = dict(
        zip(shop.now.users.user_ids, map(set, shop.now.users.table["history_item_ids"].to_pylist()), strict=True)
    )
    assert len(lists) > 4 * len(shop.now.users)
    assert not [row for row in lists.to_pylist() if row["item_id"] in had[row["user_id"]]]


def test_top_rows_break_ties_by_order() -> None:
    rows, rank = top_rows(np.array([0, 0, 0, 1]), np.array([1.0, 3.0, 3.0, 0.5], dtype=np.float32), 2)
    assert rows.tolist() == [1, 2, 3]
    assert rank.tolist() == [1, 2, 1]


def test_popular_needs_no_user_and_no_model(model: RankingModel) -> None:
    found = model.popular(10)
    popularity = model.items.integers("popularity_micros")
    assert popularity[found.item_index].tolist() == sorted(popularity.tolist(), reverse=True)[:10]
    assert found.features.shape == (10, len(model.ranker.names))
    assert set(found.source) == {"popular"}
