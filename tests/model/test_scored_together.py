"""People who are scored together have the bits that each has alone, whatever each asks for."""

from __future__ import annotations

from typing import Any

import numpy as np

from recommender.model.scorer import RankingModel
from recommender.person_state import People, PersonState
from recommender.retrieval.candidates import ToScore
from recommender.states import Contexts, UserStates, empty_state


def people(shop: Any, count: int) -> list[PersonState]:
    rows = shop.now.users.table.slice(0, count).drop_columns(["as_of", "created_at"]).to_pylist()
    return [PersonState(row) for row in rows] + [PersonState(empty_state("stranger"))]


def moment(shop: Any, place: int, *items: str) -> Contexts:
    at_ms = np.array([shop.now.as_of_ms + 60_000 * place])
    return Contexts(at_ms, ["home"], ["phone" if place % 2 else ""], ["email" if place % 3 else ""], [items])


def test_each_has_the_bits_of_one_alone(model: RankingModel, shop: Any) -> None:
    some = model.items.names[3]
    wishes: list[dict[str, Any]] = [
        {},
        {"item_index": np.arange(7)},
        {"item_index": np.arange(20)[::-1].copy()},
        {"novel": True},
        {"generators": ("content", "session")},
        {"item_index": np.zeros(0, np.int64)},
    ]
    asked = [
        ToScore(person, moment(shop, place, *([some, "unheard of"] if place % 4 == 1 else [])), **wishes[place % 6])
        for place, person in enumerate(people(shop, 17))
    ]
    together = model.score_many(asked)
    assert len(together) == 18
    for ask, found in zip(asked, together, strict=True):
        alone = model.score(ask.user, ask.context, ask.item_index, ask.novel, ask.generators)
        np.testing.assert_array_equal(found.item_index, alone.item_index)
        np.testing.assert_array_equal(found.features, alone.features)
        np.testing.assert_array_equal(found.scores, alone.scores)
        np.testing.assert_array_equal(found.generator_scores, alone.generator_scores)
        assert found.source == alone.source


def test_people_read_as_their_table_does(shop: Any) -> None:
    several = people(shop, 5)
    one, table = People(several), UserStates(People(several).table)
    assert one.user_ids == table.user_ids == [*shop.now.users.user_ids[:5], "stranger"]
    for name in ("event_count", "last_ms"):
        np.testing.assert_array_equal(one.integers(name), table.integers(name))
    for name in ("history_last_ms", "recent_ms", "purchase_days"):
        np.testing.assert_array_equal(one.offsets(name), table.offsets(name))
        np.testing.assert_array_equal(one.flat_integers(name), table.flat_integers(name))
    assert one.flat("recent_item_ids") == table.flat("recent_item_ids").to_pylist()
    assert one.texts("country") == table.texts("country").to_pylist()
