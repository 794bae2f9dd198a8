"""The two real data sets arrive with the counts their own documents state."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

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
