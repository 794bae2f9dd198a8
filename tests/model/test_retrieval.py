"""Candidate generation: each generator's scores as its formula says, and the union of their best."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from fitted_shop import Shop
from implicit.cpu.als import AlternatingLeastSquares
from small_shop import cut_inputs, day, event_table

from recommender.events import DAY_MS
from recommender.retrieval import panels
from recommender.retrieval.candidates import CandidateGenerator, UserBatch
from recommender.retrieval.collaborative import EaseConfig, fit_ease
from recommender.retrieval.families import GENERATORS
from recommender.retrieval.retriever import Retriever, RetrieverConfig, fit_retriever
from recommender.states import Contexts, UserStates, empty_state


@pytest.fixture(scope="module")
def retriever(shop: Shop) -> Retriever:
    return fit_retriever(shop.now, seed=3)


def batch_of(shop: Shop) -> UserBatch:
    return UserBatch.read(shop.now.users, Contexts.at(shop.now.as_of_ms, len(shop.now.users)), shop.now.items)


def panel(retriever: Retriever, name: str, batch: UserBatch) -> np.ndarray:
    generator = next(generator for generator in retriever.generators if generator.name == name)
    return dense(generator, batch)


def dense(generator: CandidateGenerator, batch: UserBatch) -> np.ndarray:
    """A generator's scores of every user and item."""
    user, item = (part.ravel() for part in np.indices((len(batch), len(batch.items))))
    return generator.scores(batch).at(user, item).reshape(len(batch), -1)


def seeds_of(batch: UserBatch, user: int, name: str) -> list[int]:
    """Items that the content family starts from: the whole history, or the last three different ones."""
    if name == "content":
        return batch.history_item[batch.history_user == user].tolist()
    return list(dict.fromkeys(batch.recent_item[batch.recent_user == user].tolist()))[:3]


def two_events() -> pa.Table:
    return event_table(
        [
            ("ann", "item-001", "purchase", day(0), "s1"),
            ("ann", "item-002", "view", day(60), "s2"),
            ("bob", "item-001", "purchase", day(59), "s3"),
        ]
    )


def test_history_halves_every_sixty_days() -> None:
    cut = cut_inputs(two_events(), day(60) + 1)
    fitted = fit_retriever(cut)
    batch = UserBatch.read(cut.users, Contexts.at(day(60), 2), cut.items)
    scores = panel(fitted, "history", batch)
    assert cut.users.user_ids == ["ann", "bob"]
    assert scores[0, 1] == pytest.approx(6 * 0.5)  # a purchase, 60 days old
    assert scores[0, 2] == pytest.approx(1.0)  # a view, just now
    assert (scores[0] > 0).sum() == 2


def test_trending_is_the_last_week_above_the_usual_week() -> None:
    rows = [("ann", "item-001", "view", day(27 - week * 7), f"a{week}") for week in range(4)]
    rows += [("ann", "item-002", "view", day(27), f"b{place}") for place in range(4)]
    cut = cut_inputs(event_table(rows), day(28))
    fitted = fit_retriever(cut)
    scores = panel(fitted, "trending", UserBatch.read(cut.users, Contexts.at(day(28), 1), cut.items))
    assert scores[0, 1] == 0  # one a week, as ever: 1 − 4/4
    assert scores[0, 2] == 1  # the most above its usual week: 4 − 4/4


def test_covisitation_follows_pairs_from_the_history_and_session_from_the_last_visit() -> None:
    rows = [
        ("ann", "item-001", "purchase", day(0), "s1"),
        ("ann", "item-010", "purchase", day(0), "s1"),
        ("ann", "item-002", "purchase", day(30), "s2"),
        ("ann", "item-020", "purchase", day(30), "s2"),
        ("bob", "item-001", "view", day(0), "s3"),
        ("bob", "item-002", "view", day(30), "s4"),
    ]
    cut = cut_inputs(event_table(rows), day(30) + 1)
    fitted = fit_retriever(cut)
    batch = UserBatch.read(cut.users, Contexts.at(day(30), 2), cut.items)
    weight = 0.1  # together once, over ten
    covisitation, session = panel(fitted, "covisitation", batch), panel(fitted, "session", batch)
    assert covisitation[1, 20] == pytest.approx(weight)
    assert covisitation[1, 10] == pytest.approx(weight * 0.5)  # the seed is 30 days old: half
    assert session[1, 20] == pytest.approx(weight)
    assert session[1, 10] < 1e-6  # 30 half-lives of a day


def test_context_items_seed_the_session() -> None:
    rows = [("ann", "item-001", "purchase", day(0), "s1"), ("ann", "item-010", "purchase", day(0), "s1")]
    cut = cut_inputs(event_table(rows), day(1))
    fitted = fit_retriever(cut)
    nobody = UserStates.from_rows([empty_state("nobody")])
    looking = Contexts(np.array([day(1)]), ["item_page"], [""], [""], [("item-001", "unheard-of")])
    assert panel(fitted, "session", UserBatch.read(nobody, looking, cut.items))[0, 10] == pytest.approx(0.1)


def test_ease_is_the_closed_form_of_its_paper(shop: Shop) -> None:
    batch = batch_of(shop)
    fitted = fit_ease(batch, EaseConfig(regularisation=20.0, kept_per_item=10**6, fit_half_life_days=30.0))
    histories = np.zeros((len(batch), len(batch.items)))
    histories[batch.history_user, batch.history_item] = 0.5 ** (batch.history_age_days / 30.0)
    inverse = np.linalg.inv(histories.T @ histories + 20.0 * np.eye(histories.shape[1]))
    expected = -inverse / np.diag(inverse)
    np.fill_diagonal(expected, 0.0)
    used = histories.sum(axis=0) > 0
    expected[~used] = 0.0
    assert fitted.weights.toarray() == pytest.approx(expected, abs=1e-5)


def test_als_is_implicits_and_folds_histories_in_by_ridge_regression(shop: Shop, retriever: Retriever) -> None:
    batch, config = batch_of(shop), RetrieverConfig().of("als")
    confidence = batch.matrix(config.confidence * np.exp2(-batch.history_age_days / config.fit_half_life_days))
    theirs = AlternatingLeastSquares(
        factors=config.factors,
        regularization=config.regularisation,
        iterations=config.iterations,
        num_threads=1,
        random_state=3,
    )
    theirs.fit(confidence, show_progress=False)
    factors = theirs.item_factors.astype(np.float64)
    row = batch.matrix(np.exp2(-batch.history_age_days / config.half_life_days)).toarray()
    users = row @ factors @ np.linalg.inv(factors.T @ factors + config.regularisation * np.eye(config.factors))
    assert panel(retriever, "als", batch) == pytest.approx(users @ factors.T, abs=1e-4)


def test_candidates_are_the_union_of_each_generators_best(shop: Shop, retriever: Retriever) -> None:
    batch = batch_of(shop)
    found = retriever.retrieve_batch(batch, per_generator=5)
    panels = {generator.name: dense(generator, batch) for generator in retriever.generators}
    for user in (0, 11, len(batch) - 1):
        mine = slice(*found.offsets[user : user + 2])
        expected = set(np.flatnonzero(panels["history"][user] > 0).tolist())  # the history has a share of its own
        for name, scores in panels.items():
            proposable = scores[user].copy()
            if name in ("content", "like_recent"):  # what it starts from is not proposed
                proposable[seeds_of(batch, user, name)] = 0
            best = np.lexsort((np.arange(len(proposable)), -proposable))[:5]
            expected |= {int(item) for item in best if proposable[item] > 0}
            column = GENERATORS.index(name)
            assert found.best[user, column] == max(proposable.max(), 0)
            assert found.retrieval_scores[mine, column].tolist() == scores[user, found.item_index[mine]].tolist()
        assert found.item_index[mine].tolist() == sorted(expected)
    assert found.generators == GENERATORS


def test_the_source_is_the_first_generator_that_proposed_an_item(shop: Shop, retriever: Retriever) -> None:
    batch = batch_of(shop)
    found = retriever.retrieve_batch(batch)
    owned = batch.matrix(np.ones(len(batch.history_item))).toarray() > 0
    is_own = owned[found.user_row, found.item_index]
    assert (found.source[is_own] == GENERATORS.index("history")).all()
    assert (found.source[~is_own] != GENERATORS.index("history")).all()


def test_novel_candidates_hold_nothing_of_the_history_and_are_as_many(shop: Shop, retriever: Retriever) -> None:
    batch = batch_of(shop)
    found = retriever.retrieve_batch(batch, per_generator=5, novel=True)
    owned = batch.matrix(np.ones(len(batch.history_item))).toarray() > 0
    assert not owned[found.user_row, found.item_index].any()
    left = (~owned).sum(axis=1)
    assert (np.diff(found.offsets) >= np.minimum(left, 5)).all()


def test_given_items_are_the_candidates_with_every_generators_score(shop: Shop, retriever: Retriever) -> None:
    batch, given = batch_of(shop), np.array([7, 3, 40])
    found = retriever.retrieve_batch(batch, item_index=given)
    assert found.item_index.reshape(-1, 3).tolist() == [[7, 3, 40]] * len(batch)
    history = panel(retriever, "history", batch)
    assert found.retrieval_scores[:3, 0].tolist() == history[0, given].tolist()


def test_unavailable_items_are_not_proposed(shop: Shop) -> None:
    items = shop.now.items.table
    gone = pa.array([0] * 5 + [1] * (len(items) - 5), pa.int64())
    place = items.schema.get_field_index("is_available")
    closed = type(shop.now.items).from_table(items.set_column(place, "is_available", gone))
    found = fit_retriever(replace(shop.now, items=closed)).retrieve(
        shop.now.users, Contexts.at(shop.now.as_of_ms, len(shop.now.users))
    )
    assert found.item_index.min() == 5


def test_a_stranger_gets_popular_and_trending_items(shop: Shop, retriever: Retriever) -> None:
    nobody = UserStates.from_rows([empty_state("nobody")])
    found = retriever.retrieve(nobody, Contexts.at(shop.now.as_of_ms, 1), per_generator=10)
    assert {found.generators[place] for place in found.source} <= {"popular", "trending"}
    assert 10 <= len(found) <= 20


def test_chunks_change_nothing(shop: Shop, retriever: Retriever) -> None:
    narrow = Retriever(retriever.items, retriever.generators, RetrieverConfig(panel_bytes=1))
    whole, parts = retriever.retrieve_batch(batch_of(shop)), narrow.retrieve_batch(batch_of(shop))
    for name in ("offsets", "item_index", "retrieval_scores", "best", "source", "proposers"):
        assert getattr(whole, name).tobytes() == getattr(parts, name).tobytes()


def test_fitting_twice_gives_the_same_bytes_and_arrays_survive_storage(shop: Shop, retriever: Retriever) -> None:
    again = fit_retriever(shop.now, seed=3)
    first, second = retriever.arrays(), again.arrays()
    assert {name: array.tobytes() for name, array in first.items()} == {
        name: array.tobytes() for name, array in second.items()
    }
    restored = Retriever.from_arrays(shop.now.items, first, RetrieverConfig.from_json(retriever.config.as_json()))
    whole, other = retriever.retrieve_batch(batch_of(shop)), restored.retrieve_batch(batch_of(shop))
    assert whole.retrieval_scores.tobytes() == other.retrieval_scores.tobytes()


def test_the_moment_of_the_decision_counts_not_the_moment_of_the_fit(shop: Shop, retriever: Retriever) -> None:
    later = Contexts.at(shop.now.as_of_ms + 60 * DAY_MS, len(shop.now.users))
    aged = UserBatch.read(shop.now.users, later, shop.now.items)
    assert panel(retriever, "history", aged) == pytest.approx(panel(retriever, "history", batch_of(shop)) / 2, rel=1e-5)


def test_a_large_catalogues_sparse_panels_give_the_same_candidates(
    shop: Shop, retriever: Retriever, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = batch_of(shop)
    for novel in (False, True):
        dense_found = retriever.retrieve_batch(batch, 5, novel=novel)
        with monkeypatch.context() as patch:
            patch.setattr(panels, "DENSE_ITEMS", 1)
            sparse_found = retriever.retrieve_batch(batch, 5, novel=novel)
        for name in ("offsets", "item_index", "retrieval_scores", "best", "source", "proposers"):
            assert getattr(dense_found, name).tobytes() == getattr(sparse_found, name).tobytes(), name


def test_proposers_are_the_generators_that_would_propose_the_item_alone(shop: Shop, retriever: Retriever) -> None:
    batch = batch_of(shop)
    found = retriever.retrieve_batch(batch, 5)
    for position, name in enumerate(retriever.names):
        alone = retriever.retrieve_batch(batch, 5, generators=[name])
        mine = np.flatnonzero(found.proposers >> position & 1)
        assert found.item_index[mine].tolist() == alone.item_index.tolist()
        assert found.retrieval_scores[mine].tobytes() == alone.retrieval_scores.tobytes()


def test_generators_that_a_bundle_lacks_propose_nothing(shop: Shop, retriever: Retriever) -> None:
    found = retriever.retrieve_batch(batch_of(shop), 5, generators=["unheard_of"])
    assert len(found) == 0
    assert found.offsets.tolist() == [0] * (len(shop.now.users) + 1)
