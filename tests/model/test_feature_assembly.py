"""The one assembler: values as arithmetic, and the same bits for a user alone as in any batch."""

from __future__ import annotations

import numpy as np
import pytest
from fitted_shop import Shop
from small_shop import cut_inputs, day, event_table

from recommender.model.features import assemble, feature_names, feature_version
from recommender.model.items import ITEM_FEATURES, ItemMatrix
from recommender.model.scorer import RankingModel
from recommender.retrieval.candidates import UserBatch
from recommender.retrieval.families import GENERATORS
from recommender.retrieval.retriever import fit_retriever
from recommender.states import Contexts, UserStates, empty_state

NAMES = feature_names(GENERATORS)


def rows_of_ann() -> dict[int, dict[str, float]]:
    """Features of every item for a person with five events, at noon of day 20, by item number."""
    events = event_table(
        [
            ("ann", "item-004", "purchase", day(0), "s1"),  # tea, price 7
            ("ann", "item-004", "purchase", day(10), "s2"),
            ("ann", "item-001", "view", day(10), "s2"),  # cups, price 4
            ("ann", "item-008", "view", day(18), "s3"),  # tea, price 11
            ("ann", "item-006", "skip", day(18), "s3"),
        ]
    )
    cut = cut_inputs(events, day(19))
    fitted = fit_retriever(cut)
    batch = UserBatch.read(cut.users, Contexts.at(day(20.5), 1), cut.items)
    candidates = fitted.retrieve_batch(batch, item_index=np.arange(len(cut.items)))
    matrix = assemble(batch, ItemMatrix.of(cut.items), candidates)
    return {item: dict(zip(NAMES, row.tolist(), strict=True)) for item, row in enumerate(matrix)}


@pytest.fixture(scope="module")
def ann() -> dict[int, dict[str, float]]:
    return rows_of_ann()


def test_what_the_history_says_of_an_item(ann: dict[int, dict[str, float]]) -> None:
    tea = ann[4]
    assert (tea["pair_events"], tea["pair_purchases"], tea["pair_strength"]) == (2, 2, 6 + 6)
    assert tea["pair_share"] == 0.5  # two of four positive events
    assert tea["pair_days_since_last"] == pytest.approx(20.5 - 10)
    assert tea["pair_days_since_first"] == pytest.approx(20.5)
    assert tea["pair_gap_days"] == pytest.approx(10.0)
    assert tea["pair_due_ratio"] == pytest.approx(10.5 / 10.0)
    assert tea["pair_days_before_last_visit"] == pytest.approx(18 - 10)
    assert (tea["pair_visits_since_last"], tea["pair_visits_since_first"]) == (0, 1)  # bought on days 0 and 10
    assert tea["pair_events_per_visit"] == 2 / (1 + 1)
    assert tea["pair_recency_rank"] == 2  # items 8 and 1 came later or equal
    assert tea["pair_is_in_last_visit"] == 0
    assert ann[8]["pair_is_in_last_visit"] == 1
    assert ann[6]["pair_recent_skips"] == 1
    assert ann[6]["pair_recent_events"] == 0


def test_an_item_without_history_has_zeros_and_nan(ann: dict[int, dict[str, float]]) -> None:
    assert ann[20]["pair_events"] == 0
    assert np.isnan([ann[20][name] for name in ("pair_days_since_last", "pair_gap_days", "pair_recency_rank")]).all()


def test_what_the_user_is_like(ann: dict[int, dict[str, float]]) -> None:
    anybody = ann[0]
    assert anybody["user_events"] == pytest.approx(np.log1p(4))
    assert anybody["user_skips"] == pytest.approx(np.log1p(1))
    assert anybody["user_items"] == pytest.approx(np.log1p(3))
    assert anybody["user_purchase_days"] == 2
    assert anybody["user_purchase_gap"] == 10
    assert anybody["user_due_ratio"] == pytest.approx(10.5 / 10)
    assert anybody["user_repeat_share"] == pytest.approx(1 / 3)
    assert anybody["user_spend_per_purchase"] == pytest.approx(np.log1p(7.0))


def test_how_an_item_resembles_what_was_chosen(ann: dict[int, dict[str, float]]) -> None:
    assert ann[12]["category_share"] == pytest.approx((12 + 1) / 14)  # tea: 12 + 1 of a strength of 14
    assert ann[2]["category_share"] == 0
    usual = (12 * np.log(7) + 1 * np.log(4) + 1 * np.log(11)) / 14
    assert ann[2]["price_difference"] == pytest.approx(np.log(5) - usual, abs=1e-6)
    assert ann[2]["price_distance"] == pytest.approx(abs(np.log(5) - usual), abs=1e-6)


def test_how_many_people_an_item_has_just_won() -> None:
    events = [("ann", "item-004", "view", day(0), "s1"), ("ann", "item-004", "purchase", day(25), "s2")]
    events += [("ben", "item-004", "purchase", day(16), "s3"), ("cid", "item-004", "view", day(27), "s4")]
    items = cut_inputs(event_table(events), day(30)).items
    row = dict(zip(ITEM_FEATURES, ItemMatrix.of(items).fixed[4].tolist(), strict=True))
    # Of three people in 28 days (ann's first event lies 30 back) cid came 3 days ago and ben 14.
    assert row["item_new_users_7d"] == pytest.approx(np.log1p(1))
    assert row["item_new_users_14d"] == row["item_new_users_28d"] == pytest.approx(np.log1p(2))
    assert row["item_news_trend"] == pytest.approx(2 * 1 / (2 + 2))
    assert row["item_new_share"] == pytest.approx(2 / (3 + 1))


def test_retrieval_scores_come_raw_and_relative_to_the_users_best(ann: dict[int, dict[str, float]]) -> None:
    best = max(row["retrieval_history"] for row in ann.values())
    assert ann[4]["retrieval_history_relative"] == pytest.approx(ann[4]["retrieval_history"] / best)
    assert max(row["retrieval_history_relative"] for row in ann.values()) == 1.0


def test_the_moment_is_told_of_every_candidate_alike(shop: Shop, model: RankingModel) -> None:
    user = shop.now.users.slice(0, 1)

    def moment(at_ms: int, placement: str = "home", device: str = "", channel: str = "") -> dict[str, float]:
        context = Contexts(np.array([at_ms]), [placement], [device], [channel], [("item-001",)])
        rows = model.score(user, context, np.array([3, 9])).features
        found = [dict(zip(NAMES, row.tolist(), strict=True)) for row in rows]
        told = [
            {name: value for name, value in row.items() if name.startswith(("moment_", "context_"))} for row in found
        ]
        assert str(told[0]) == str(told[1])
        return told[0]

    bare = moment(day(56))  # eight weeks after a Monday, at midnight
    assert (bare["moment_hour"], bare["moment_weekday"], bare["context_items"]) == (0, 0, 1)
    assert np.isnan([bare["moment_device"], bare["moment_channel"]]).all()
    later = moment(day(58.75), "cart", "phone", "web")
    assert (later["moment_hour"], later["moment_weekday"]) == (18, 2)
    assert later["moment_device"] == moment(day(56), device="phone")["moment_device"]
    codes = [moment(day(56), device=name)["moment_device"] for name in ("phone", "desktop", "tablet", "tv")]
    assert len(set(codes)) == 4
    assert codes[0] == 989  # the same in every process: a model outlives the one that trained it
    assert later["moment_placement"] != bare["moment_placement"]


def test_a_user_alone_has_the_bits_of_the_batch(model: RankingModel, shop: Shop) -> None:
    users, moments = shop.now.users, shop.now.as_of_ms + np.arange(len(shop.now.users)) * 3_333_333
    batch = UserBatch.read(users, Contexts.at(moments, len(users)), model.items)
    candidates, features, scores = model.score_batch(batch)
    for row in range(len(users)):
        mine = slice(*candidates.offsets[row : row + 2])
        alone = model.score(users.slice(row, 1), Contexts.at(moments[row], 1))
        assert alone.item_index.tobytes() == candidates.item_index[mine].tobytes()
        assert alone.features.tobytes() == features[mine].tobytes()
        assert alone.scores.tobytes() == scores[mine].tobytes()


def test_a_row_does_not_depend_on_the_other_candidates_nor_on_the_filter(model: RankingModel, shop: Shop) -> None:
    user, context = shop.now.users.slice(4, 1), Contexts.at(shop.now.as_of_ms, 1)
    everything = model.score(user, context, np.arange(len(model.items)))
    for found in (
        model.score(user, context),
        model.score(user, context, novel=True),
        model.score(user, context, np.array([9, 2])),
    ):
        assert len(found.item_index)
        assert found.features.tobytes() == everything.features[found.item_index].tobytes()


def test_no_candidate_and_the_same_one_twice_are_assembled_too(model: RankingModel, shop: Shop) -> None:
    users, context = shop.now.users.slice(3, 1), Contexts.at(shop.now.as_of_ms, 1)
    nothing, one, twice = (
        model.score(users, context, np.array(given, dtype=np.int64)) for given in ((), (5,), (5, 2, 5))
    )
    assert (nothing.features.shape, nothing.scores.shape) == ((0, len(model.ranker.names)), (0,))
    for row in (0, 2):
        assert twice.features[row].tobytes() == one.features[0].tobytes()
        assert twice.scores[row] == one.scores[0]


def test_the_matrix_is_what_xgboost_reads_without_copying(model: RankingModel, shop: Shop) -> None:
    found = model.score(shop.now.users.slice(0, 1), Contexts.at(shop.now.as_of_ms, 1))
    assert found.features.dtype == np.float32
    assert found.features.flags.c_contiguous
    assert found.features.shape == (len(found.item_index), len(NAMES))
    assert not np.isinf(found.features).any()


def test_a_stranger_and_an_empty_history_are_assembled_too(model: RankingModel, shop: Shop) -> None:
    nobody = UserStates.from_rows([empty_state("nobody")])
    found = model.score(nobody, Contexts.at(shop.now.as_of_ms, 1))
    assert len(found.scores)
    assert np.isfinite(found.scores).all()


def test_the_version_changes_with_names_and_order() -> None:
    version = feature_version(NAMES)
    assert version == feature_version(list(NAMES))
    assert version != feature_version(NAMES[:-1])
    assert version != feature_version((NAMES[1], NAMES[0], *NAMES[2:]))
