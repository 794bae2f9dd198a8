"""Which kinds of item pairs each generator follows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from small_shop import cut_inputs, day, event_table

from recommender.cuts import CutInputs
from recommender.retrieval.candidates import UserBatch
from recommender.retrieval.retriever import Retriever, fit_retriever
from recommender.states import PAIR_SCHEMA, Contexts, UserStates, empty_state

WEIGHTS = {"together": 0.1, "next": 0.2, "view_buy": 0.4, "buy_buy": 0.8}


def linked(kinds: list[str]) -> CutInputs:
    """Item 1 leads to item 10 by each of the kinds, with the weights above."""
    seen = event_table([("ann", "item-001", "view", day(0), "s1"), ("bob", "item-010", "view", day(0), "s2")])
    cut = cut_inputs(seen, day(1))
    rows = [
        {"pair_kind": kind, "item_id": "item-001", "other_item_id": "item-010", "rank": 1}
        | {"as_of": day(1), "weight_micros": round(1e6 * WEIGHTS[kind])}
        for kind in kinds
    ]
    return replace(cut, pairs=pa.Table.from_pylist(rows, schema=PAIR_SCHEMA))


def score(retriever: Retriever, name: str, *, context: tuple[str, ...] = ()) -> float:
    """Score of item 10 for ann, who looked at item 1 just now; or for a stranger who looks at the context's items."""
    person = UserStates.from_rows([empty_state("stranger")]) if context else ANN.users.slice(0, 1)
    moment = Contexts(np.array([day(0)]), ["home"], [""], [""], [context])
    generator = next(generator for generator in retriever.generators if generator.name == name)
    scores = generator.scores(UserBatch.read(person, moment, retriever.items))
    return float(scores.at(np.zeros(1, np.int64), retriever.items.positions(["item-010"]))[0])


ANN = linked([])


def test_the_history_is_followed_by_every_kind_and_the_session_to_what_is_near_or_next() -> None:
    fitted = fit_retriever(linked(list(WEIGHTS)))
    assert score(fitted, "covisitation") == pytest.approx(0.1 + 0.2 + 0.4 + 0.8)
    assert score(fitted, "session") == pytest.approx(0.1 + 0.2)


def test_a_product_page_shows_what_is_bought_with_it_or_goes_with_it_where_people_only_buy() -> None:
    bought = fit_retriever(linked(list(WEIGHTS)))
    assert score(bought, "bought_together", context=("item-001", "unheard-of")) == pytest.approx(0.8)
    assert score(bought, "bought_together") == 0  # nothing is looked at
    assert score(fit_retriever(linked(["together"])), "bought_together", context=("item-001",)) == pytest.approx(0.1)


def test_pairs_come_back_from_a_bundles_arrays() -> None:
    fitted = fit_retriever(linked(list(WEIGHTS)))
    again = Retriever.from_arrays(fitted.items, fitted.arrays(), fitted.config)
    for name in ("covisitation", "session"):
        assert score(again, name) == score(fitted, name)
