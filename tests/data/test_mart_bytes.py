"""The same rows give the same bytes, with or without the old warehouse; what came after a cut changes none of them."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from random_shop import AS_OF, Shop, land
from real_dbt import Warehouse

from recommender.events import EVENT_SCHEMA

pytestmark = pytest.mark.slow
OF_THE_CUTS = ("feature_cuts", "user_states", "item_states", "item_pairs", "item_segments", "user_affinities")


@pytest.fixture(scope="module")
def rebuilt(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    """The same input, built from nothing in another place."""
    warehouse = Warehouse.fed_from(shop.folder, tmp_path_factory.mktemp("home"), **shop.warehouse.variables)
    journal = [event for event in shop.events if event.get("origin") == "journal"]
    warehouse.land_journal(events=pa.Table.from_pylist(journal, schema=EVENT_SCHEMA))
    return warehouse.build()


def test_a_rebuild_from_nothing_gives_the_same_bytes(shop: Shop, rebuilt: Warehouse) -> None:
    assert rebuilt.mart_bytes() == shop.warehouse.mart_bytes()


def test_features_build_from_the_marts_alone_after_the_warehouse_is_lost(shop: Shop, rebuilt: Warehouse) -> None:
    rebuilt.workspace.warehouse.unlink()
    for name in OF_THE_CUTS[1:]:
        rebuilt.workspace.mart(name).unlink()
    assert rebuilt.build("features").mart_bytes() == shop.warehouse.mart_bytes()


def test_deleting_what_came_after_the_cut_changes_no_byte_of_a_state(shop: Shop, tmp_path: Path) -> None:
    before = [event for event in shop.events if event["recorded_at"] < AS_OF]
    assert len(before) < len(shop.events) - 100
    folder = tmp_path / "landed"
    land(folder, [event for event in before if event.get("origin") != "journal"], shop.countries)
    warehouse = Warehouse.fed_from(folder, tmp_path / "home", **shop.warehouse.variables)
    journal = [event for event in before if event.get("origin") == "journal"]
    warehouse.land_journal(events=pa.Table.from_pylist(journal, schema=EVENT_SCHEMA))
    with_future, without = shop.warehouse.mart_bytes(), warehouse.build().mart_bytes()
    assert without["events.parquet"] != with_future["events.parquet"]
    for name in OF_THE_CUTS:
        assert without[f"{name}.parquet"] == with_future[f"{name}.parquet"], name
