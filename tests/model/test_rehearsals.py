"""Past cuts rehearsed: some items as if just uploaded, some people as if nobody had known them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from fitted_shop import Shop
from small_shop import day, event_table

from recommender.cuts import CutInputs
from recommender.events import DAY_MS
from recommender.model.arrivals import as_if_new
from recommender.model.newcomers import as_strangers
from recommender.model.past_slates import retrospective_slates
from recommender.model.training_set import TrainingConfig


@pytest.fixture(scope="module")
def rehearsed(shop: Shop) -> tuple[CutInputs, set[str]]:
    cut = as_if_new(shop.now, 0.25, seed=3)
    is_hidden = cut.items.integers("listed_ms") == cut.as_of_ms - 60_000
    return cut, {name for name, hidden in zip(cut.items.item_ids.to_pylist(), is_hidden, strict=True) if hidden}


def test_hidden_items_are_in_the_catalogue_and_in_nothing_that_happened(
    shop: Shop, rehearsed: tuple[CutInputs, set[str]]
) -> None:
    cut, hidden = rehearsed
    touched = int((shop.now.items.integers("event_count") > 0).sum())
    assert len(hidden) == round(0.25 * touched)
    assert cut.items.item_ids.equals(shop.now.items.item_ids)
    for row in cut.items.table.to_pylist():
        assert row["item_id"] not in hidden or row["event_count"] == row["popularity_micros"] == row["user_count"] == 0
    for name in ("history_item_ids", "recent_item_ids"):
        assert not hidden & set(cut.users.flat(name).to_pylist())
    for name in ("item_id", "other_item_id"):
        assert not hidden & set(cut.pairs[name].to_pylist())


def test_everything_about_the_other_items_stays(shop: Shop, rehearsed: tuple[CutInputs, set[str]]) -> None:
    cut, hidden = rehearsed
    for was, now in zip(shop.now.users.table.to_pylist(), cut.users.table.to_pylist(), strict=True):
        for key in ("history", "recent"):
            kept = [place for place, name in enumerate(was[f"{key}_item_ids"]) if name not in hidden]
            for column in (name for name in was if name.startswith(f"{key}_")):
                assert now[column] == [was[column][place] for place in kept]
        assert {name: now[name] for name in now if "_item" not in name and name.endswith("count")} == {
            name: was[name] for name in was if "_item" not in name and name.endswith("count")
        }
    others = pc.invert(pc.is_in(cut.items.item_ids, value_set=pa.array(sorted(hidden))))
    assert cut.items.table.filter(others).equals(shop.now.items.table.filter(others))


def test_every_third_cut_comes_twice_and_slates_teach_what_is_new(shop: Shop) -> None:
    plain = retrospective_slates(shop.past, shop.events, TrainingConfig(arrivals=0), seed=3)
    taught = retrospective_slates(shop.past, shop.events, TrainingConfig(arrivals=0.25, strangers=0), seed=3)
    added = taught.take_groups(np.arange(len(taught.groups)) >= len(plain.groups))
    assert set(added.at_ms.tolist()) == {shop.past[-2].as_of_ms}  # the one before the newest of three
    age = added.features[:, added.names.index("item_age_days")]
    is_new = age < 0.001  # a minute
    assert added.label[is_new].any()
    assert not (plain.features[:, plain.names.index("item_age_days")] < 0.001).any()


def test_a_stranger_is_the_first_events_of_a_visit_and_the_labels_are_what_followed() -> None:
    visit = [("ann", f"item-{step:03d}", "view", day(1) + step * 60_000, "s") for step in range(8)]
    seen = [("ann", "item-040", "view", day(0), "s0"), ("bob", "item-001", "view", day(1), "s1")]
    found = as_strangers(event_table(visit + seen), day(1), day(2), limit=9, seed=3)
    assert found.users.user_ids == ["ann"]  # bob added nothing that he could be judged by
    state = found.users.table.to_pylist()[0]
    known = state["event_count"]
    assert 1 <= known <= 5
    assert state["recent_item_ids"] == [f"item-{step:03d}" for step in reversed(range(known))]  # item 40 is forgotten
    assert found.at_ms.tolist() == [state["last_ms"]] == [day(1) + (known - 1) * 60_000]
    assert found.later["item_id"].to_pylist() == [f"item-{step:03d}" for step in range(known, 8)]


def test_strangers_are_a_seeded_draw_of_those_who_went_on(shop: Shop) -> None:
    start = shop.holdout.as_of_ms
    few, again = (as_strangers(shop.events, start, start + 7 * DAY_MS, limit=5, seed=3) for _ in range(2))
    assert few.users.table.equals(again.users.table)
    assert len(few.users) == 5
    assert set(few.later["user_id"].to_pylist()) == set(few.users.user_ids)
    assert few.users.integers("event_count").max() <= 5


def test_one_person_and_moment_before_which_nothing_is_known_becomes_a_training_slate(shop: Shop) -> None:
    taught = retrospective_slates(shop.past, shop.events, TrainingConfig(strangers=20), seed=3)
    bare = retrospective_slates(shop.past, shop.events, TrainingConfig(strangers=0), seed=3)
    added = taught.take_groups(np.arange(len(taught.groups)) >= len(bare.groups))
    assert 0 < len(added.groups) <= 20
    assert np.expm1(added.features[:, added.names.index("user_events")]).max() <= 5.001
