"""dbt's own unit tests pass, and every mart says what one of its rows is."""

from __future__ import annotations

import json

import pytest
from random_shop import Shop

pytestmark = pytest.mark.slow


def test_dbt_unit_tests_pass(shop: Shop) -> None:
    done = shop.warehouse.dbt("test", "--select", "test_type:unit", variables={"unit_tests": True})
    assert done.returncode == 0, done.stdout[-6000:]
    assert "ERROR=0" in done.stdout
    assert done.stdout.count("PASS=0") == 0


def test_every_model_ends_its_description_with_its_grain_and_marts_have_contracts(shop: Shop) -> None:
    manifest = json.loads((shop.warehouse.workspace.dbt_target / "manifest.json").read_text())
    models = [node for node in manifest["nodes"].values() if node["resource_type"] == "model"]
    assert [m["name"] for m in models if not m["description"].split(". ")[-1].startswith("Grain is one ")] == []
    marts = [model for model in models if "marts" in model["path"]]
    assert len(marts) == 16
    assert all(model["config"]["contract"]["enforced"] and model["config"]["order_by"] for model in marts)
