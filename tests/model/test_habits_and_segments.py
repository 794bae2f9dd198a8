"""What is due again or unfinished, what is new, and what is popular among people alike."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from small_shop import cut_inputs, day, event_table

from recommender.cuts import CutInputs
from recommender.retrieval.candidates import UserBatch
from recommender.retrieval.retriever import Retriever, fit_retriever
from recommender.states import SEGMENT_SCHEMA, Contexts, ItemTable


def scores(cut: CutInputs, name: str, at: Contexts | None = None) -> np.ndarray:
    """A generator's score of every user and item, from a retriever that went through its arrays."""
    fitted = fit_retriever(cut)
    restored = Retriever.from_arrays(cut.items, fitted.arrays(), fitted.config)
    generator = next(generator for generator in restored.generators if generator.name == name)
    batch = UserBatch.read(cut.users, at or Contexts.at(cut.as_of_ms, len(cut.users)), cut.items)
    user, item = (part.ravel() for part in np.indices((len(batch), len(cut.items))))
    return generator.scores(batch).at(user, item).reshape(len(batch), len(cut.items))


def bought(*purchases: tuple[str, int, float]) -> CutInputs:
    rows = [(user, f"item-{item:03d}", "purchase", day(number), f"{user}{number}") for user, item, number in purchases]
    return cut_inputs(event_table(rows), day(40))


def test_what_is_due_peaks_at_the_persons_own_interval() -> None:
    # ann needs item 1 every 10 days, and item 2 as often; item 1 was bought 10 days ago, item 2 just now.
    ann = [("ann", 1, number) for number in (0, 10, 20, 30)] + [("ann", 2, number) for number in (10, 20, 30, 39.99)]
    found = scores(bought(*ann), "replenish")[0]
    assert found[1] > 10 * found[2] > 0
    # Three gaps of 10 days (a prior of 2 agrees), due ratio 1 of hazard 1, and (3 + 2r) / (3 + 2) with r = (1 + 2) / 3.
    assert found[1] == pytest.approx((3 + 2 * 1.0) / 5)
    assert found[3] == 0


def test_one_purchase_is_due_when_others_come_back_for_it() -> None:
    others = [(user, 1, number) for user in ("bob", "cem", "dan", "eva") for number in (0, 20)]
    usual = [(user, 2, number) for user in ("fay", "gus", "hal", "ivy") for number in (0, 1)]
    found = scores(bought(("ann", 1, 20), ("ann", 2, 20), *others, *usual), "replenish")[0]
    assert found[1] > found[2] > 0  # 20 days ago: due for the one, long overdue for the other


def test_what_was_looked_at_and_not_bought_is_gone_on_with() -> None:
    rows = [("ann", "item-001", kind, day(number), "s") for kind, number in (("view", 0), ("view", 33))]
    rows += [("ann", "item-002", kind, day(33), "s") for kind in ("view", "purchase")]
    found = scores(cut_inputs(event_table(rows), day(40)), "viewed")[0]
    assert found[1] == pytest.approx(2 * 0.5)  # two views, the last one a half-life ago
    assert (found > 0).sum() == 1


def with_items(cut: CutInputs, **columns: list[Any]) -> CutInputs:
    table = cut.items.table
    for name, values in columns.items():
        place = table.schema.get_field_index(name)
        table = table.set_column(place, table.schema.field(name), pa.array(values, table.schema.field(name).type))
    return replace(cut, items=ItemTable.from_table(table))


def test_arrivals_halve_in_a_week_and_end_after_four() -> None:
    cut = bought(("ann", 5, 0))
    listed = [day(40), day(33), day(11), 0] + [day(0)] * (len(cut.items) - 4)
    popularity = [0, 0, 0, 0, 1_000_000] + [0] * (len(cut.items) - 5)
    found = scores(with_items(cut, listed_ms=listed, popularity_micros=popularity), "arrivals")[0]
    assert found[:4].tolist() == [1.0, 0.5, 0.0, 0.0]  # new, a week, 29 days, undated
    warm = with_items(cut, listed_ms=[day(40)] * 2 + listed[2:], popularity_micros=[1_000_000, *popularity[1:]])
    assert scores(warm, "arrivals")[0][1] == pytest.approx(1 / (1 + math.log(2)))  # an early response counts


def test_a_segments_share_is_shrunk_to_the_shops() -> None:
    cut = bought(("ann", 1, 39), ("bob", 2, 39))
    million = 1_000_000
    items = with_items(cut, popularity_micros=[0, 300 * million, 100 * million] + [0] * (len(cut.items) - 3))
    rows = [
        {"as_of": day(40), "segment_kind": "device", "segment": "phone", "item_id": f"item-{item:03d}", "rank": rank}
        | {"popularity_micros": own * million, "segment_micros": 200 * million}
        for rank, (item, own) in enumerate([(2, 100), (1, 100)])
    ]
    fitted = replace(items, segments=pa.Table.from_pylist(rows, schema=SEGMENT_SCHEMA))
    phone = Contexts(np.full(2, day(40)), ["home"] * 2, ["phone", "fridge"], ["", ""], [(), ()])
    found = scores(fitted, "popular_segment", phone)
    # 200 of strength in the segment weigh as much as the prior of 200: half its own share, half the shop's.
    assert found[0, 1] == pytest.approx((100 + 200 * 0.75) / 400)
    assert found[0, 2] == pytest.approx((100 + 200 * 0.25) / 400)
    assert not found[1].any()  # a device too rare to have a list


def test_popular_by_category_follows_the_taste() -> None:
    # Items 0, 4, 8 … are tea and 1, 5, 9 … cups: ann bought tea twice and cups once.
    cut = bought(("ann", 0, 39), ("ann", 4, 39), ("ann", 1, 39), ("bob", 8, 39), ("cem", 5, 39))
    found = scores(cut, "popular_category")[0]
    assert found[8] == pytest.approx(2 / 3 * 1 / 3)  # a third of what is chosen in tea
    assert found[5] == pytest.approx(1 / 3 * 1 / 2)
    assert found[2] == 0
