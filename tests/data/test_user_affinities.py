"""What people lean to, worked out by hand, and that nobody's events are nothing to trip over."""

from __future__ import annotations

from pathlib import Path

import pytest
from real_dbt import Warehouse, write_lines

pytestmark = pytest.mark.slow

PRIOR = 10
ITEMS = [
    {"item_id": f"i{place}", "category": "lamps" if place < 3 else "chairs", "price": 10.0 * (place + 1)}
    for place in range(5)
]


def viewed(user: str, item: str, hour: int, channel: str | None = None) -> dict[str, object]:
    found = {"user_id": user, "item_id": item, "event_type": "view", "occurred_at": f"2024-01-01T{hour:02}:00"}
    return found | ({"channel": channel} if channel else {})


EVENTS = [*(viewed("ann", "i0", 8, "email") for _ in range(6)), viewed("ann", "i4", 20), viewed("ben", "i4", 20, "web")]
EVENTS += [{"user_id": "ben", "item_id": "i0", "event_type": "dislike", "occurred_at": "2024-01-02T09:00"}]


@pytest.fixture(scope="module")
def marts(tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    folder: Path = tmp_path_factory.mktemp("landed")
    write_lines(folder / "events.jsonl", EVENTS)
    write_lines(folder / "items.jsonl", ITEMS)
    variables = {"as_of": "2024-03-01", "cut_count": 0}
    return Warehouse.fed_from(folder, tmp_path_factory.mktemp("home"), **variables).build()


def test_affinities_are_shares_drawn_towards_everybodys(marts: Warehouse) -> None:
    rows = {(row["user_id"], row["kind"], row["value"]): row for row in marts.rows("user_affinities")}
    # Of eight positive events six were of lamps; of ann's seven six, of ben's one none: a dislike says nothing.
    lamps = rows["ann", "category", "lamps"]
    assert lamps["affinity"] == pytest.approx((6 + PRIOR * 6 / 8) / (7 + PRIOR))
    assert lamps["lift"] == pytest.approx(lamps["affinity"] / (6 / 8))
    assert (lamps["evidence_count"], lamps["rank"]) == (6, 1)
    assert ("ben", "category", "lamps") not in rows
    assert rows["ben", "category", "chairs"]["affinity"] == pytest.approx((1 + PRIOR * 2 / 8) / (1 + PRIOR))
    assert rows["ann", "price_band", "lowest"]["evidence_count"] == 6
    # Only two items were touched: they are the first two of five bands.
    assert rows["ben", "price_band", "low"]["evidence_count"] == 1
    assert rows["ann", "channel", "email"]["affinity"] == pytest.approx((6 + PRIOR * 6 / 7) / (6 + PRIOR))
    assert rows["ann", "hour", "08"]["evidence_count"] == 6
    assert rows["ben", "hour", "20"]["rank"] == 1
    assert {kind for _, kind, _ in rows} == {"category", "price_band", "channel", "hour"}  # these items have no brand
