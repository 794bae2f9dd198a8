"""One small shop for all tests of this room, fitted once."""

from __future__ import annotations

from pathlib import Path

import pytest
from fitted_shop import RANKER, Shop
from small_shop import cut_inputs, day, events_of_shop

from recommender.model.bundle import Bundle, BundleFacts, build_bundle, load_bundle
from recommender.model.past_slates import retrospective_slates
from recommender.model.ranker import Ranker, fit_ranker
from recommender.model.scorer import RankingModel
from recommender.model.training_set import TrainingSet
from recommender.retrieval.retriever import fit_retriever


@pytest.fixture(scope="session")
def shop() -> Shop:
    events = events_of_shop()
    return Shop(events, [cut_inputs(events, day(number)) for number in (35, 42, 49)], cut_inputs(events, day(56)))


@pytest.fixture(scope="session")
def training(shop: Shop) -> TrainingSet:
    return retrospective_slates(shop.past, shop.events, seed=3)


@pytest.fixture(scope="session")
def rehearsal(shop: Shop, training: TrainingSet) -> Ranker:
    return fit_ranker(training.until(shop.holdout.as_of_ms), RANKER, seed=3)


@pytest.fixture(scope="session")
def model(shop: Shop, training: TrainingSet) -> RankingModel:
    ranker = fit_ranker(training, RANKER, seed=3)
    return RankingModel(ranker, fit_retriever(shop.now, seed=3))


@pytest.fixture(scope="session")
def bundle_folder(shop: Shop, model: RankingModel, rehearsal: Ranker, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundles") / "champion"
    facts = BundleFacts(shop.now.as_of_ms, rehearsed_until_ms=shop.holdout.as_of_ms, data_fingerprint="small shop")
    build_bundle(folder, model, shop.now.users, facts, rehearsal=rehearsal)
    return folder


@pytest.fixture(scope="session")
def bundle(bundle_folder: Path) -> Bundle:
    return load_bundle(bundle_folder)
