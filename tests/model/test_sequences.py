"""Item vectors from sequences: neighbours in time are near each other, content speaks for what nobody touched."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from small_shop import cut_inputs, day, event_table

from recommender.cuts import CutInputs
from recommender.retrieval.candidates import UserBatch
from recommender.retrieval.retriever import Retriever, fit_retriever
from recommender.states import Contexts, UserStates, empty_state

FIRST, SECOND = tuple(range(0, 20, 4)), tuple(range(1, 21, 4))  # tea and cups, five of each


def two_habits() -> CutInputs:
    """40 people go through tea in one order, 40 others through cups; items 44 (tea) and 45 (cups) are untouched."""
    rows = []
    for place in range(80):
        chosen = FIRST if place % 2 else SECOND
        for step in range(5):
            item = chosen[(step + place) % 5]
            rows.append((f"u{place:02d}", f"item-{item:03d}", "view", day(30) + step * 60_000, f"s{place}"))
    return cut_inputs(event_table(rows), day(31))


def generator(cut: CutInputs):
    fitted = fit_retriever(cut)
    restored = Retriever.from_arrays(cut.items, fitted.arrays(), fitted.config)
    return next(generator for generator in restored.generators if generator.name == "sequence")


def test_what_stands_together_in_sequences_is_near_and_the_untouched_follow_their_content() -> None:
    cut = two_habits()
    tea = UserStates.from_rows([empty_state("new")])
    looking = Contexts(np.array([day(31)]), ["home"], [""], [""], [("item-000",)])
    panel = generator(cut).scores(UserBatch.read(tea, looking, cut.items))
    found = panel.at(np.zeros(len(cut.items), np.int64), np.arange(len(cut.items)))
    assert found[list(FIRST[1:])].min() > 2 * found[list(SECOND)].max()
    assert found[44] > 2 * found[45]


def test_the_same_sequences_give_the_same_bits() -> None:
    first, second = (fit_retriever(two_habits()).arrays() for _ in range(2))
    assert np.array_equal(first["sequence_vectors"], second["sequence_vectors"])


def test_a_person_scores_the_same_alone_and_in_a_crowd() -> None:
    cut = two_habits()
    crowd, fitted = UserBatch.read(cut.users, Contexts.at(cut.as_of_ms, len(cut.users)), cut.items), generator(cut)
    item = np.arange(len(cut.items))
    together = fitted.scores(crowd).at(np.full(len(item), 3), item)
    assert np.array_equal(together, fitted.scores(crowd.slice(3, 1)).at(np.zeros(len(item), np.int64), item))


def test_a_shop_without_sequences_has_no_vectors_and_no_error() -> None:
    cut = cut_inputs(event_table([("ann", "item-001", "view", day(0), "s")]), day(1))
    assert not generator(cut).scores(UserBatch.read(cut.users, Contexts.at(day(1), 1), cut.items)).best().any()
    assert isinstance(cut.items.table, pa.Table)
