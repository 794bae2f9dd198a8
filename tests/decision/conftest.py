"""A small simulated shop and its catalogue as item states."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from taste_scorer import TasteScorer

from recommender.simulation import Shop, SimulationConfig
from recommender.simulation.tables import item_table
from recommender.states import ITEM_STATE_SCHEMA, ItemTable

CONFIG = SimulationConfig(users=60, items=240, days=20, retiring_share=0.3)


@pytest.fixture(scope="session")
def shop() -> Shop:
    return Shop.build(CONFIG, seed=5)


@pytest.fixture(scope="session")
def items(shop: Shop) -> ItemTable:
    """The shop's catalogue in the columns of ITEM_STATE_SCHEMA."""
    listed = item_table(shop)
    columns = {column.name: pa.nulls(len(listed), column.type) for column in ITEM_STATE_SCHEMA}
    columns.update({name: listed[name] for name in ("item_id", "title", "description", "category", "brand", "tags")})
    columns["price_micros"] = pc.cast(pc.round(pc.multiply(listed["price"], 1e6)), pa.int64())
    columns["is_available"] = listed["available"].cast(pa.int64())
    return ItemTable.from_table(pa.table(columns))


@pytest.fixture
def scorer(shop: Shop, items: ItemTable) -> TasteScorer:
    return TasteScorer(shop, items)
