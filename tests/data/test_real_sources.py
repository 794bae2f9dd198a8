"""The two real data sets arrive with the counts their own documents state."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pandas as pd
import pytest
from real_dbt import Warehouse

from orchestration.sources import check_source

pytestmark = [pytest.mark.data, pytest.mark.slow]


@pytest.fixture(scope="module")
def online_retail(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Warehouse:
    home = tmp_path_factory.mktemp("home")
    return Warehouse.fed_from(shared_data / "online_retail", home, source="online_retail").build("canonical")


def test_online_retail_keeps_the_rows_of_the_protocol(online_retail: Warehouse) -> None:
    steps = online_retail.steps()
    assert steps["raw_rows"] == 541_909
    assert online_retail.dropped()["anonymous"] == 135_080
    assert steps["price_not_positive"] == 396_337  # TARGETS: product code, quantity, price, known customer
    assert online_retail.mart("users").num_rows == 4_334
    assert online_retail.mart("items").num_rows == 3_659


def test_online_retail_drops_exact_duplicates_after_the_protocol(online_retail: Warehouse) -> None:
    duplicates = online_retail.dropped()["exact_duplicate"]
    assert online_retail.mart("events").num_rows == 396_337 - duplicates
    assert 0 < duplicates < 5_268  # those of dropped rows are not counted twice


def test_online_retail_items_have_titles_and_users_a_country(online_retail: Warehouse) -> None:
    assert online_retail.mart("items")["title"].null_count == 0
    (customer,) = [row for row in online_retail.rows("users") if row["user_id"] == "17850"]
    assert customer["country"] == "United Kingdom"


def test_complete_journey_has_receipts_and_coupons_before_december(tmp_path: Path, shared_data: Path) -> None:
    folder = shared_data / "complete_journey"
    assert check_source("complete_journey", folder).rows_by_table["transactions_sample"] == 75_000
    variables = {"source": "complete_journey", "until": "2017-12-01 00:00:00.000"}
    warehouse = Warehouse.fed_from(folder, tmp_path / "home", **variables).build("canonical")
    assert warehouse.steps()["raw_rows"] == 75_000 + 2_102
    events = warehouse.mart("events").to_pandas()
    assert set(events["event_type"]) == {"purchase", "coupon_redemption"}
    assert events["occurred_at"].max() < datetime(2017, 12, 1)
    assert events.loc[events["event_type"] == "coupon_redemption", "item_id"].isna().all()
    assert warehouse.mart("items").num_rows >= 92_331


def test_complete_journey_by_category_changes_only_what_a_line_names(tmp_path: Path, shared_data: Path) -> None:
    folder, until = shared_data / "complete_journey", "2017-02-01 00:00:00.000"
    level = {}
    for source in ("complete_journey", "complete_journey_categories"):
        variables = {"source": source, "until": until}
        level[source] = Warehouse.fed_from(folder, tmp_path / source, **variables).build("canonical")
    products, categories = (
        warehouse.mart("events").to_pandas().sort_values("event_id", ignore_index=True) for warehouse in level.values()
    )
    pd.testing.assert_frame_equal(products.drop(columns="item_id"), categories.drop(columns="item_id"))
    catalogue = pd.read_parquet(folder / "products.parquet").set_index("product_id")["product_category"]
    named = products["item_id"].map(catalogue)
    assert categories["item_id"].fillna("").tolist() == named.fillna("").tolist()
    items = level["complete_journey_categories"].mart("items").to_pandas().set_index("item_id")
    assert set(items.index) == set(catalogue.dropna())  # 303 categories
    assert items.loc["FRZN ICE", "category"] == "GROCERY"
    assert "ICE - CRUSHED/CUBED" in items.loc["FRZN ICE", "description"]
