"""Trees walked by our own loop: the bits of XGBoost's prediction, whatever the rows, the depth and what is missing."""

from __future__ import annotations

import json

import numpy as np
import pytest
import xgboost as xgb

from recommender.errors import IntegrityError
from recommender.model.forest import MOST_LEVELS, Forest
from recommender.model.scorer import RankingModel

WIDTH = 9


def rows(n: int, seed: int = 0, width: int = WIDTH) -> np.ndarray:
    """Values of which some are missing, some equal and some infinite."""
    found = np.random.default_rng(seed).normal(size=(n, width)).round(1).astype(np.float32)
    found[found > 1] = np.nan
    found[found < -1.7] = -np.inf
    return found


def booster(rounds: int = 12, **parameters: object) -> xgb.Booster:
    """Trees that differ in depth, one or two of them a single leaf."""
    features = np.random.default_rng(1).normal(size=(600, WIDTH)).round(1).astype(np.float32)
    features[features > 1] = np.nan
    label = np.nan_to_num(features[:, 0]) * np.nan_to_num(features[:, 1]) + (features[:, 2] > 0)
    given = {"max_depth": 5, "gamma": 0.3, "nthread": 1, "base_score": 0.25} | parameters
    return xgb.train(given, xgb.DMatrix(features, label=label), num_boost_round=rounds)


@pytest.mark.parametrize("depth", [1, 2, 6, 9])
@pytest.mark.parametrize("n", [0, 1, 15, 16, 17, 500])
def test_scores_have_the_bits_of_the_public_prediction(depth: int, n: int) -> None:
    trees = booster(max_depth=depth)
    assert Forest.of(trees).predict(rows(n)).tobytes() == trees.inplace_predict(rows(n)).tobytes()


def test_trees_of_a_single_leaf_and_of_every_depth_stand_beside_each_other() -> None:
    trees = booster(rounds=40, gamma=2.0)
    sizes = {len(json.loads(tree)["children"]) if '"children"' in tree else 0 for tree in _dumped(trees)}
    assert 0 in sizes
    assert 2 in sizes
    assert Forest.of(trees).predict(rows(100)).tobytes() == trees.inplace_predict(rows(100)).tobytes()


def test_a_model_of_both_kinds_of_trees_scores_as_xgboost_does(model: RankingModel) -> None:
    given = rows(300, width=len(model.ranker.names))
    expected = model.ranker.booster.inplace_predict(given).tobytes()
    assert model.ranker.predict(given).tobytes() == expected
    assert model.ranker.predict(np.asfortranarray(given)).tobytes() == expected


def test_trees_that_lead_elsewhere_are_refused() -> None:
    def spoilt(name: str, value: int) -> xgb.Booster:
        model = json.loads(bytes(booster().save_raw("json")))
        for tree in model["learner"]["gradient_booster"]["model"]["trees"]:
            tree[name][0] = value
        changed = xgb.Booster()
        changed.load_model(bytearray(json.dumps(model).encode()))
        return changed

    for name, value in (("left_children", 1 << 30), ("right_children", 1 << 30), ("split_indices", WIDTH)):
        with pytest.raises(IntegrityError, match="outside"):
            Forest.of(spoilt(name, value))


def test_rows_of_another_width_are_refused() -> None:
    with pytest.raises(IntegrityError, match="9 columns for rows of 8"):
        Forest.of(booster()).predict(rows(3, width=8))


def test_trees_too_deep_to_be_filled_up_are_refused() -> None:
    with pytest.raises(IntegrityError, match="levels"):
        Forest.of(booster(rounds=1, max_depth=MOST_LEVELS + 4, gamma=0.0, min_child_weight=0, eta=1.0))


def _dumped(trees: xgb.Booster) -> list[str]:
    return trees.get_dump(dump_format="json")
