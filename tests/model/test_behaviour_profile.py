"""The behaviour profile: what drift is looked for in, as arithmetic, and still when nothing drifts."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from fitted_shop import Shop
from small_shop import cut_inputs, day, event_table

from recommender.model.profile import PROFILE_SCHEMA, behaviour_profile
from recommender.model.ranker import Ranker
from recommender.model.scorer import RankingModel
from recommender.retrieval.retriever import fit_retriever

AT_WINDOW_START = 56


@pytest.fixture(scope="module")
def rehearsed(shop: Shop, rehearsal: Ranker) -> RankingModel:
    return RankingModel(rehearsal, fit_retriever(shop.holdout, seed=3))


def test_one_person_by_hand(model: RankingModel, shop: Shop) -> None:
    user = shop.now.users.user_ids[0]
    had = shop.now.users.table["history_item_ids"][0].as_py()
    new = next(f"item-{n:03d}" for n in range(48) if f"item-{n:03d}" not in had)
    saturday_noon = day(AT_WINDOW_START + 5.5)  # day 0 is a Monday
    rows = [
        (user, had[0], "view", day(AT_WINDOW_START + 1.5), "s"),
        (user, had[0], "purchase", day(AT_WINDOW_START + 1.5) + 1, "s"),
        (user, new, "view", saturday_noon, "t"),
        (user, "item-999", "view", day(AT_WINDOW_START + 1.9), "u"),
        (user, had[0], "view", day(AT_WINDOW_START - 1), "before"),
        (user, had[0], "skip", day(AT_WINDOW_START + 1), "v"),
        ("stranger", had[0], "view", day(AT_WINDOW_START + 1), "w"),
    ]
    profile = behaviour_profile(model, shop.now.users, shop.now.items, event_table(rows), day(AT_WINDOW_START + 7))
    found = profile.to_pylist()[0]
    assert profile.num_rows == 1
    assert (found["event_count"], found["purchase_count"], found["item_count"]) == (4, 1, 3)
    assert found["weekend_share"] == 1 / 4
    assert found["daytime_share"] == 3 / 4  # 21:36 is not day
    assert found["new_item_share"] == 2 / 4
    assert found["unlisted_item_share"] == 1 / 4
    assert found["history_length"] == len(had)
    prices = [3 + int(name[-3:]) % 17 for name in (had[0], had[0], new)]
    assert found["mean_log_price"] == pytest.approx(np.mean(np.log1p(prices)))


def test_no_user_id_leaves_and_the_columns_are_the_schemas(rehearsed: RankingModel, shop: Shop) -> None:
    profile = behaviour_profile(rehearsed, shop.holdout.users, shop.holdout.items, shop.events, shop.now.as_of_ms)
    assert profile.schema == PROFILE_SCHEMA
    texts = {value for name in ("top_category", "device", "channel", "country") for value in profile[name].to_pylist()}
    assert not texts & set(shop.now.users.user_ids)
    for name in ("chosen_percentile", "hit_share"):
        values = profile[name].to_numpy()
        assert ((values >= 0) & (values <= 1)).all()


def test_a_sample_is_seeded(rehearsed: RankingModel, shop: Shop) -> None:
    of_holdout = (rehearsed, shop.holdout.users, shop.holdout.items, shop.events, shop.now.as_of_ms)
    some = behaviour_profile(*of_holdout, max_users=20, seed=4)
    assert some.num_rows == 20
    assert some.equals(behaviour_profile(*of_holdout, max_users=20, seed=4))


def test_the_ordinary_next_week_looks_like_the_last_one_and_a_turned_taste_does_not(
    rehearsed: RankingModel, model: RankingModel, shop: Shop
) -> None:
    reference = behaviour_profile(rehearsed, shop.holdout.users, shop.holdout.items, shop.events, shop.now.as_of_ms)
    week = (model, shop.now.users, shop.now.items)
    usual = behaviour_profile(*week, shop.events, day(63))
    items = shop.events["item_id"].to_pylist()
    turned = [f"item-{(int(name[-3:]) + 22) % 48:03d}" for name in items]  # tea people buy books now, and so on
    place = shop.events.schema.get_field_index("item_id")
    shifted = behaviour_profile(*week, shop.events.set_column(place, "item_id", pa.array(turned)), day(63))

    def effect(profile: pa.Table, name: str) -> float:
        before, after = reference[name].to_numpy(), profile[name].to_numpy()
        return float(abs(np.nanmean(after) - np.nanmean(before)) / np.nanstd(before))

    for name in ("chosen_percentile", "new_item_share", "hit_share"):
        assert effect(usual, name) < 0.5 < effect(shifted, name), name


def test_a_quiet_window_gives_an_empty_profile(model: RankingModel, shop: Shop) -> None:
    cut = cut_inputs(shop.events, day(20))
    assert behaviour_profile(model, cut.users, cut.items, shop.events, day(200)).num_rows == 0
