"""One random shop, built once for all tests of this room that only read."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from random_shop import AS_OF, PAST_CUT, Shop, collector_events, land, random_events, recorded_late
from real_dbt import Warehouse

from recommender.events import EVENT_SCHEMA


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """Both selections built with one past cut that was asked for, and as_of before the end of the data."""
    rng = np.random.default_rng(7)
    landed = random_events(rng, 1_500, "e") + collector_events()
    late = recorded_late(rng, random_events(rng, 300, "j"))
    countries = {f"user{number}": "FR" for number in range(0, 40, 4)}
    folder = tmp_path_factory.mktemp("landed")
    land(folder, landed, countries)
    variables = {"as_of": AS_OF.isoformat(), "cuts": [PAST_CUT.isoformat()], "cut_count": 0}
    warehouse = Warehouse.fed_from(folder, tmp_path_factory.mktemp("home"), **variables)
    warehouse.land_journal(events=pa.Table.from_pylist(late, schema=EVENT_SCHEMA))
    imported = [{**event, "recorded_at": event["occurred_at"]} for event in landed]
    return Shop(warehouse.build(with_tests=True), folder, imported + late, countries)
