"""What the latest visits say: shares and differences as arithmetic over a person of four purchases and views."""

from __future__ import annotations

import numpy as np
import pytest
from small_shop import cut_inputs, day, event_table

from recommender.model.features import assemble, feature_names
from recommender.model.items import ItemMatrix
from recommender.retrieval.candidates import UserBatch
from recommender.retrieval.families import GENERATORS
from recommender.retrieval.retriever import fit_retriever
from recommender.states import Contexts

Event = tuple[str, str, str, int, str]
ANN: list[Event] = [
    ("ann", "item-004", "purchase", day(0), "s1"),
    ("ann", "item-004", "purchase", day(10), "s2"),
    ("ann", "item-001", "view", day(10), "s2"),
    ("ann", "item-008", "view", day(18), "s3"),
]


def rows_at_noon(events: list[Event]) -> list[dict[str, float]]:
    """Features of every item at noon of day 20."""
    cut = cut_inputs(event_table(events), day(19))
    batch = UserBatch.read(cut.users, Contexts.at(day(20.5), len(cut.users)), cut.items)
    candidates = fit_retriever(cut).retrieve_batch(batch, item_index=np.arange(len(cut.items)))
    matrix = assemble(batch, ItemMatrix.of(cut.items), candidates)
    return [dict(zip(feature_names(GENERATORS), row.tolist(), strict=True)) for row in matrix]


def test_how_much_a_visit_brought_and_how_much_of_it_was_new() -> None:
    person = rows_at_noon(ANN)[0]
    assert person["user_visit_items"] == pytest.approx(np.log1p(1))  # item 8 on day 18
    assert person["user_visit_new_share"] == 1
    # The third latest purchase day does not exist: everything since day 0 is recent; the tea was no news on day 10.
    assert person["user_recent_new_share"] == pytest.approx(2 / 3)


def test_only_what_was_touched_since_the_third_latest_purchase_day_is_recent() -> None:
    later: list[Event] = [("ann", f"item-0{20 + n}", "purchase", day(12 + n), f"s{4 + n}") for n in range(4)]
    person = rows_at_noon([*ANN, *later])[0]
    recent = ("item-008", "item-021", "item-022", "item-023")  # since day 13
    assert person["user_recent_new_share"] == len(recent) / len(recent)
    rows = rows_at_noon([*ANN, *later])
    mean = np.mean([rows[int(item[-3:])]["item_popularity"] for item in recent])
    assert person["user_recent_popularity"] == pytest.approx(mean)


def test_a_candidate_is_compared_with_the_recent_choices() -> None:
    rows = rows_at_noon(ANN)
    chosen = [rows[item] for item in (1, 4, 8)]
    popular = np.mean([row["item_popularity"] for row in chosen])
    assert rows[2]["popularity_difference"] == pytest.approx(rows[2]["item_popularity"] - popular, abs=1e-6)
    age = np.mean([np.log1p(row["item_age_days"]) for row in chosen])
    assert rows[4]["age_difference"] == pytest.approx(np.log1p(rows[4]["item_age_days"]) - age, abs=1e-6)


def test_a_person_without_history_has_no_latest_visit() -> None:
    person = rows_at_noon([("ann", "item-004", "skip", day(3), "s1")])[0]
    assert person["user_visit_items"] == 0
    assert np.isnan([person["user_visit_new_share"], person["popularity_difference"], person["age_difference"]]).all()
