"""Trees called directly: the bits of XGBoost's own wrapper, whatever the shape of the rows."""

from __future__ import annotations

import numpy as np
import pytest

from recommender.model.dense_rows import predict_rows
from recommender.model.scorer import RankingModel


@pytest.mark.parametrize("n", [1, 63, 64, 65, 500])
def test_scores_have_the_bits_of_the_public_prediction(model: RankingModel, n: int) -> None:
    booster = model.ranker.booster
    rows = np.random.default_rng(n).normal(size=(n, len(model.ranker.names))).astype(np.float32)
    rows[rows > 1] = np.nan  # a value that is missing has a way through the trees, too
    expected = booster.inplace_predict(rows)
    np.testing.assert_array_equal(predict_rows(booster, rows), expected)
    np.testing.assert_array_equal(predict_rows(booster, np.asfortranarray(rows)), expected)


def test_scores_stay_when_others_are_made(model: RankingModel) -> None:
    first, second = (np.full((8, len(model.ranker.names)), value, dtype=np.float32) for value in (0.0, 5.0))
    scores = predict_rows(model.ranker.booster, first)
    before = scores.copy()
    predict_rows(model.ranker.booster, second)
    np.testing.assert_array_equal(scores, before)
