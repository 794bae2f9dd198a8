"""Catalogue rows laid over a model: new items beside the known, changed ones in place, all else as it was."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from fitted_shop import Shop

from recommender.attributes import Attributes, attributes_of
from recommender.catalogue import lay_over
from recommender.conditions import parse_condition
from recommender.events import CATALOGUE_SCHEMA
from recommender.later_attributes import lay_attributes
from recommender.model.bundle import Bundle
from recommender.model.features import assemble, feature_groups, feature_names
from recommender.model.items import ItemMatrix
from recommender.model.later_items import lay_items
from recommender.retrieval.candidates import UserBatch
from recommender.retrieval.families import GENERATORS
from recommender.retrieval.item_vectors import item_vectors
from recommender.retrieval.later_items import lay_generators
from recommender.retrieval.retriever import fit_retriever
from recommender.states import Contexts, ItemTable


def told(at_ms: int, *rows: dict[str, Any]) -> pa.Table:
    """Rows of CATALOGUE_SCHEMA, first spoken of at a moment."""
    known = [{"recorded_at": at_ms, "listed_at": at_ms, **row} for row in rows]
    return pa.table({name: [row.get(name) for row in known] for name in CATALOGUE_SCHEMA.names}).cast(CATALOGUE_SCHEMA)


def title(items: ItemTable, row: int) -> str:
    return str(items.table["title"][row].as_py())


def batch(shop: Shop, items: ItemTable, users: slice = slice(0, 30)) -> UserBatch:
    people = shop.now.users.slice(users.start, users.stop - users.start)
    return UserBatch.read(people, Contexts.at(shop.now.as_of_ms, len(people)), items)


@pytest.fixture(scope="module")
def changes(shop: Shop, bundle: Bundle) -> pa.Table:
    """Two new items, one cheaper item, one that is sold out, and one that is described anew."""
    ids, category = bundle.items.item_ids.to_pylist(), bundle.items.table["category"][4].as_py()
    return told(
        shop.now.as_of_ms,
        {"item_id": "twin", "title": title(bundle.items, 4), "category": category, "price_micros": 2_500_000},
        {"item_id": "odd", "category": "unheard of", "attributes": '{"colour":"red","watt":40}'},
        {"item_id": ids[7], "price_micros": 990_000},
        {"item_id": ids[9], "is_available": False},
        {"item_id": ids[11], "title": "quite another thing", "tags": "new,rare", "attributes": '{"watt":60}'},
    )


@pytest.fixture(scope="module")
def laid(bundle: Bundle, changes: pa.Table) -> Bundle:
    return lay_items(bundle, changes, 12)[0]


def test_rows_keep_their_places_and_new_ones_come_behind(bundle: Bundle, laid: Bundle) -> None:
    n = len(bundle.items)
    assert laid.items.item_ids.to_pylist() == [*bundle.items.item_ids.to_pylist(), "twin", "odd"]
    assert laid.items.positions(["twin", "odd", "nothing"]).tolist() == [n, n + 1, -1]
    assert (laid.version, laid.catalogue_seq, bundle.catalogue_seq) == (bundle.version, 12, 0)
    assert laid.items.integers("price_micros")[[7, n]].tolist() == [990_000, 2_500_000]
    assert laid.items.integers("is_available")[[9, n]].tolist() == [0, 1]
    assert bundle.items.integers("is_available")[9] == 1


def test_attributes_are_those_that_the_wider_table_would_be_decoded_to(laid: Bundle) -> None:
    rows = np.arange(len(laid.items))
    kept, anew = attributes_of(laid.items), Attributes(laid.items)
    assert kept.names == anew.names
    wanted = [{"category": "unheard of"}, {"colour": "red"}, {"tags": "rare"}, {"price": {"max": 1}}]
    wanted += [{"watt": {"min": 50}}, {"category": laid.items.table["category"][4].as_py()}, {"watt": 40}]
    for body in wanted:
        condition = parse_condition(body)
        assert condition.holds(kept, rows).tolist() == condition.holds(anew, rows).tolist()
        assert condition.holds(kept, rows).any()


def test_an_item_without_events_gets_the_features_that_a_run_would_give_it(shop: Shop, bundle: Bundle) -> None:
    """A run that knows the new item from the start, and the same item laid over a bundle that does not."""
    row = {"item_id": "zz-new", "title": "red lamp", "category": "lamps", "price_micros": 4_000_000}
    overlay = lay_over(bundle.items, told(shop.now.as_of_ms - 60_000, row))
    from_a_run = ItemTable.from_table(overlay.items.table)
    laid = lay_items(bundle, overlay.changes, 1)[0]
    features = []
    for items, matrix, retriever in (
        (
            from_a_run,
            ItemMatrix.of(from_a_run),
            fit_retriever(replace(shop.now, items=from_a_run), bundle.retriever.config),
        ),
        (laid.items, laid.matrix, laid.retriever),
    ):
        people = batch(shop, items)
        candidates = retriever.retrieve_batch(people, None, items.positions(["zz-new"]))
        features.append(assemble(people, matrix, candidates))
    groups, names = feature_groups(GENERATORS), feature_names(GENERATORS)
    exact = [name for group in ("user", "item", "pair", "affinity", "context") for name in groups[group]]
    exact += ["retrieval_arrivals", "retrieval_popular", "retrieval_trending", "retrieval_history"]
    columns = [names.index(name) for name in exact]
    np.testing.assert_array_equal(features[0][:, columns], features[1][:, columns])
    # Words weigh a little differently once one more item has them.
    column = names.index("retrieval_content")
    np.testing.assert_allclose(features[0][:, column], features[1][:, column], atol=0.02)
    assert features[1][:, column].max() > 0


def test_an_item_described_like_another_has_its_vector(bundle: Bundle, shop: Shop) -> None:
    same = {name: bundle.items.table[name][4].as_py() for name in ("title", "description", "category", "brand", "tags")}
    price = bundle.items.table["price_micros"][4].as_py()
    overlay = lay_over(bundle.items, told(shop.now.as_of_ms, {"item_id": "twin", "price_micros": price, **same}))
    lay_attributes(overlay)
    lay_generators(bundle.retriever, overlay)
    matrix = item_vectors(overlay.items).matrix
    assert (matrix[4] != matrix[len(bundle.items)]).nnz == 0
    assert (matrix[: len(bundle.items)] != item_vectors(bundle.items).matrix).nnz == 0


def test_what_nothing_was_said_of_keeps_its_scores_to_the_bit(shop: Shop, bundle: Bundle) -> None:
    new = lay_items(bundle, told(shop.now.as_of_ms, {"item_id": "odd", "title": "unlike all others"}), 1)[0]
    known = np.arange(len(bundle.items))
    before = bundle.score_batch(batch(shop, bundle.items), known)
    after = new.score_batch(batch(shop, new.items), known)
    assert before[1].tobytes() == after[1].tobytes()
    assert before[2].tobytes() == after[2].tobytes()


def test_new_items_are_proposed_for_what_they_are_and_for_being_new(shop: Shop, bundle: Bundle, laid: Bundle) -> None:
    candidates = laid.retriever.retrieve_batch(batch(shop, laid.items))
    by_bit = {name: 1 << place for place, name in enumerate(laid.retriever.names)}
    proposers = candidates.proposers[candidates.item_index == len(bundle.items)]
    assert (proposers & by_bit["arrivals"]).all()
    assert (proposers & (by_bit["content"] | by_bit["like_recent"] | by_bit["sequence"])).any()
    assert 9 not in candidates.item_index


def test_one_person_gets_the_bits_of_many(shop: Shop, laid: Bundle) -> None:
    many, one = batch(shop, laid.items), batch(shop, laid.items, slice(3, 4))
    candidates, features, scores = laid.score_batch(many)
    rows = slice(*candidates.offsets[3:5])
    alone = laid.score_batch(one)
    assert alone[0].item_index.tolist() == candidates.item_index[rows].tolist()
    assert alone[1].tobytes() == features[rows].tobytes()
    assert alone[2].tobytes() == scores[rows].tobytes()


def test_rows_that_say_nothing_new_are_left_out(bundle: Bundle, changes: pa.Table, laid: Bundle) -> None:
    assert len(lay_items(bundle, changes, 12)[1]) == len(changes)
    again, telling = lay_items(laid, changes, 13)
    assert len(telling) == 0
    assert again.items.table.equals(laid.items.table)


def test_every_family_can_be_laid_over(bundle: Bundle, laid: Bundle) -> None:
    assert laid.retriever.names == bundle.retriever.names == GENERATORS
