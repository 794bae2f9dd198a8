"""What each part is worth and what age costs, on a small shop refitted for real."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from fitted_shop import RANKER, Shop

from recommender.events import DAY_MS
from recommender.model.ablation import Ablation, ablate
from recommender.model.features import feature_groups
from recommender.model.holdout import Holdout, read_holdout
from recommender.model.staleness import CURVES, Staleness, cuts_of_ages, staleness
from recommender.model.study import StudyConfig, study
from recommender.model.training_set import TrainingSet
from recommender.retrieval.retriever import Retriever, RetrieverConfig, fit_retriever

pytestmark = pytest.mark.slow

FEW = replace(RANKER, rounds=5)
NARROW = RetrieverConfig(per_generator=8, history_items=8)


@pytest.fixture(scope="module")
def holdout(shop: Shop) -> Holdout:
    return read_holdout(shop.holdout, shop.events)


@pytest.fixture(scope="module")
def retriever(shop: Shop) -> Retriever:
    return fit_retriever(shop.holdout, NARROW, seed=3)


@pytest.fixture(scope="module")
def learnt(shop: Shop, training: TrainingSet) -> TrainingSet:
    return training.until(shop.holdout.as_of_ms)


@pytest.fixture(scope="module")
def ablation(learnt: TrainingSet, holdout: Holdout, retriever: Retriever) -> Ablation:
    return ablate(learnt, holdout, retriever, FEW, seed=3, draws=100)


def test_every_generator_and_every_group_is_left_out_once(ablation: Ablation, retriever: Retriever) -> None:
    assert tuple(ablation.generators) == retriever.names
    assert {"collaborative", "popular", "covisitation"} <= set(ablation.families)
    assert tuple(ablation.groups) == tuple(feature_groups(retriever.names))
    assert ablation.rounds == 5


def test_a_column_that_says_nothing_is_worth_exactly_nothing(
    learnt: TrainingSet, holdout: Holdout, retriever: Retriever, ablation: Ablation
) -> None:
    names = feature_groups(retriever.names)["context"]
    features = learnt.features.copy()
    features[:, [learnt.names.index(name) for name in names]] = 0.0
    learnt = replace(learnt, features=features)
    # A constant column is never split on, but it shifts the draw of columns: without that draw the trees are the same.
    whole = ablate(learnt, holdout, retriever, replace(FEW, column_share=1.0), seed=3, draws=50)
    context = whole.groups["context"]["repeat"]["ndcg@10"]
    assert (context.mean, context.low, context.high) == (0.0, 0.0, 0.0)
    assert whole.groups["pair"]["repeat"]["ndcg@10"].mean != 0.0
    assert ablation.full["repeat"]["ndcg@10"].mean > 0


def test_ages_are_the_nearest_past_cuts() -> None:
    cuts = [day * DAY_MS for day in (0, 7, 14, 21, 28, 35)]
    assert cuts_of_ages(cuts, 35 * DAY_MS, (0, 7, 30)) == [35 * DAY_MS, 28 * DAY_MS, 7 * DAY_MS]
    assert cuts_of_ages(cuts[:2], 7 * DAY_MS, (0, 7, 30)) == [7 * DAY_MS, 0]


@pytest.fixture(scope="module")
def aged(shop: Shop, learnt: TrainingSet, holdout: Holdout) -> Staleness:
    fresh = fit_retriever(shop.holdout, seed=3)
    found = staleness(learnt, holdout, fresh, [shop.past[1]], FEW, seed=3, draws=100)
    assert found is not None
    return found


def test_at_age_zero_nothing_is_lost_and_all_curves_meet(aged: Staleness) -> None:
    assert aged.ages_days == (0.0, 7.0)
    assert aged.cuts == 1  # a week before the holdout only one cut's labels were complete
    first = {curve: aged.curves[curve][0]["repeat"]["ndcg@10"] for curve in CURVES}
    assert len(set(first.values())) == 1
    for curve in CURVES:
        lost = aged.lost[curve][0]["repeat"]["ndcg@10"]
        assert (lost.low, lost.high) == (0.0, 0.0)


def test_what_is_lost_is_the_difference_of_the_curves(aged: Staleness) -> None:
    for curve in CURVES:
        now, then = (age["repeat"]["ndcg@10"].mean for age in aged.curves[curve])
        assert aged.lost[curve][1]["repeat"]["ndcg@10"].mean == pytest.approx(then - now)
    means = {aged.curves[curve][1]["repeat"]["ndcg@10"].mean for curve in CURVES}
    assert len(means) == len(CURVES)  # every curve is served by other parts


def test_without_slates_from_before_no_age_is_judged(shop: Shop, learnt: TrainingSet, holdout: Holdout) -> None:
    fresh = fit_retriever(shop.holdout, seed=3)
    assert staleness(learnt, holdout, fresh, [shop.past[0]], FEW, seed=3, draws=10) is None


def test_a_study_is_repeatable_and_goes_into_json(shop: Shop, learnt: TrainingSet) -> None:
    config = StudyConfig(rows=3_000, rounds=3, draws=50)
    once, again = (
        study(learnt, shop.holdout, [shop.past[1]], shop.events, RANKER, NARROW, config, seed=3) for _ in range(2)
    )
    assert json.dumps(once.as_json(), allow_nan=False) == json.dumps(again.as_json(), allow_nan=False)
    assert once.ablation.rows < 3_600
    assert once.ablation.rounds == 3
