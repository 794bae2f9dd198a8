"""Items alike in words, category, brand and price: vectors, and the two generators that follow them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from recommender.cuts import CutInputs
from recommender.events import DAY_MS, Interaction
from recommender.retrieval.candidates import UserBatch
from recommender.retrieval.content import ContentConfig, fit_content, fit_like_recent
from recommender.retrieval.item_vectors import item_vectors
from recommender.retrieval.panels import Excluded, Panel
from recommender.states import ITEM_STATE_SCHEMA, Contexts, ItemTable, UserStates, empty_state, merge_live

NOW = 1_700_000_000_000
NOTHING = {"item_id": "nothing"}
CATALOGUE = [
    {"item_id": "oak-lamp", "title": "Oak table lamps", "category": "lighting", "price_micros": 40_000_000},
    {"item_id": "oak-light", "title": "Lamp of oak", "category": "lighting", "price_micros": 41_000_000},
    {"item_id": "steel-lamp", "title": "Steel lamp", "category": "lighting", "price_micros": 400_000_000},
    {"item_id": "oak-bench", "title": "Oak bench", "category": "garden", "price_micros": 200_000_000},
    {"item_id": "tea", "title": "Green tea", "category": "kitchen", "attributes": '{"origin": "Uji", "grams": 100}'},
    {"item_id": "matcha", "title": "Fine powder", "attributes": '{"origin": "Uji", "grams": 30}'},
    NOTHING,
]


def catalogue(rows: list[dict[str, Any]]) -> ItemTable:
    blank = {field.name: "" if pa.types.is_string(field.type) else 0 for field in ITEM_STATE_SCHEMA}
    stamp = {"as_of": NOW, "created_at": NOW, "is_available": 1}
    return ItemTable.from_table(pa.Table.from_pylist([blank | stamp | row for row in rows], schema=ITEM_STATE_SCHEMA))


ITEMS = catalogue(CATALOGUE)


def person(name: str, *bought: tuple[str, float]) -> UserStates:
    events = [
        Interaction(f"{name}{place}", name, "purchase", NOW - round(days * DAY_MS), item)
        for place, (item, days) in enumerate(bought)
    ]
    return UserStates.from_rows([merge_live(empty_state(name), events)])


def batch(users: UserStates, *context: str) -> UserBatch:
    moment = Contexts(np.full(len(users), NOW), ["home"] * len(users), [""] * len(users), [""] * len(users), [context])
    return UserBatch.read(users, moment, ITEMS)


def told(panel: Panel) -> dict[str, float]:
    user, item = panel.top(10, Excluded())
    scores = panel.at(user, item)
    return {ITEMS.item_ids[int(i)].as_py(): float(score) for i, score in zip(item, scores, strict=True)}


def likeness(first: str, second: str) -> float:
    pair = ITEMS.positions([first, second])
    return float(item_vectors(ITEMS).similarity(pair)[0, 1])


def test_likeness_falls_from_words_and_price_to_category_alone_to_nothing() -> None:
    assert 1 > likeness("oak-lamp", "oak-light") > likeness("oak-lamp", "steel-lamp") > 0
    assert likeness("oak-lamp", "oak-bench") > 0  # a word
    assert likeness("tea", "matcha") > 0  # no word, no category: an attribute
    assert likeness("oak-lamp", "tea") == likeness("oak-lamp", "nothing") == 0


def test_a_matrix_of_likeness_is_symmetric_with_ones_on_its_diagonal() -> None:
    found = item_vectors(ITEMS).similarity(np.arange(len(ITEMS)))
    assert found.dtype == np.float32
    assert np.array_equal(found, found.T)
    assert (np.diag(found) == 1).all()


def test_similar_items_come_best_first_without_the_item_itself() -> None:
    lamp = int(ITEMS.positions(["oak-lamp"])[0])
    found, scores = item_vectors(ITEMS).similar(lamp, 2)
    assert ITEMS.item_ids.take(pa.array(found)).to_pylist() == ["oak-light", "steel-lamp"]
    assert scores.tolist() == [
        pytest.approx(likeness("oak-lamp", "oak-light")),
        pytest.approx(likeness("oak-lamp", "steel-lamp")),
    ]


def test_a_profile_is_the_decayed_mean_of_what_was_chosen_without_the_item_itself() -> None:
    panel = fit_content(ITEMS, ContentConfig()).scores(batch(person("ann", ("oak-lamp", 0), ("tea", 30))))
    found = told(panel)
    # Two purchases, the older a half-life ago: shares 2/3 and 1/3.
    assert found["oak-light"] == pytest.approx(2 / 3 * likeness("oak-lamp", "oak-light"), abs=1e-6)
    assert found["matcha"] == pytest.approx(1 / 3 * likeness("tea", "matcha"), abs=1e-6)
    assert not {"oak-lamp", "tea", "nothing"} & found.keys()
    assert panel.best()[0] == max(found.values(), key=float)
    own = panel.at(np.zeros(1, np.int64), ITEMS.positions(["oak-lamp"]))
    assert own[0] == pytest.approx(1 / 3 * likeness("oak-lamp", "tea"), abs=1e-6)


def test_like_recent_takes_the_nearest_of_the_last_items_and_a_pages_items_before_them() -> None:
    ann, generator = person("ann", ("oak-lamp", 0), ("tea", 30)), fit_like_recent(ITEMS, ContentConfig())
    found = told(generator.scores(batch(ann)))
    assert found["oak-light"] == pytest.approx(likeness("oak-lamp", "oak-light"))
    assert found["matcha"] == pytest.approx(likeness("tea", "matcha"))
    page = told(generator.scores(batch(ann, "oak-bench")))
    assert page == {
        "oak-lamp": pytest.approx(likeness("oak-bench", "oak-lamp")),
        "oak-light": pytest.approx(likeness("oak-bench", "oak-light")),
        "steel-lamp": pytest.approx(likeness("oak-bench", "steel-lamp")),  # a price in the next band
    }


def test_a_stranger_and_a_catalogue_of_bare_ids_are_answered_with_nothing() -> None:
    bare = catalogue([{"item_id": name} for name in "ab"])
    nobody = UserStates.from_rows([empty_state("nobody")])
    for fit in (fit_content, fit_like_recent):
        assert told(fit(ITEMS, ContentConfig()).scores(batch(nobody))) == {}
        everybody = UserBatch.read(person("ann", ("a", 0)), Contexts.at(NOW, 1), bare)
        panel = fit(bare, ContentConfig()).scores(everybody)
        assert len(panel.top(5, Excluded())[0]) == 0
        assert panel.best().tolist() == [0]


def test_short_lists_only_bound_who_is_found_never_what_is_scored() -> None:
    ann = batch(person("ann", ("oak-lamp", 0)))
    whole, short = (fit_content(ITEMS, ContentConfig(list_length=length)).scores(ann) for length in (1_000, 1))
    everything = (np.zeros(len(ITEMS), np.int64), np.arange(len(ITEMS)))
    assert np.array_equal(whole.at(*everything), short.at(*everything))
    assert told(short).items() <= told(whole).items()


def test_a_person_scores_the_same_alone_and_in_a_crowd(shop: Any) -> None:
    cut: CutInputs = shop.now
    crowd = UserBatch.read(cut.users, Contexts.at(cut.as_of_ms, len(cut.users)), cut.items)
    for fit in (fit_content, fit_like_recent):
        generator = fit(cut.items, ContentConfig())
        together, alone = generator.scores(crowd), generator.scores(crowd.slice(7, 1))
        item = np.arange(len(cut.items))
        assert np.array_equal(together.at(np.full(len(item), 7), item), alone.at(np.zeros(len(item), np.int64), item))
        user, proposed = together.top(9, Excluded())
        assert np.array_equal(np.sort(proposed[user == 7]), np.sort(alone.top(9, Excluded())[1]))
        assert together.best()[7] == alone.best()[0]
