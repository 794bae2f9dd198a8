"""The assembler: five groups, a lineage that goes round, and a gate that really blocks."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pyarrow.parquet as pq
import pytest

from orchestration.definitions import build_definitions
from orchestration.instance import open_instance
from orchestration.resources import Ring
from orchestration.runs import execute
from orchestration.settings import load_settings, save_settings

pytestmark = pytest.mark.slow

GROUPS = {"data", "features", "model", "decision", "monitoring"}


@pytest.fixture(scope="module")
def definitions(turned_ring: Any) -> dg.Definitions:
    return build_definitions(turned_ring.workspace)


def test_every_asset_belongs_to_one_of_five_groups(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    assert {graph.get(key).group_name for key in graph.executable_asset_keys} == GROUPS


def test_all_assets_at_once_make_a_job_without_a_circle(definitions: dg.Definitions) -> None:
    """Dagster's server makes this job when it starts, and splits dbt's models between agents and checks: a model that
    waited for `erasures`, beside others that did not, once kept it from starting."""
    job = definitions.resolve_implicit_global_asset_job_def()
    assert {"journal", "erasures", "canonical", "agent_policy"} <= {node.name for node in job.nodes}


def test_the_champion_descends_from_the_raw_files_and_from_what_was_served(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    ancestors = {key.to_user_string() for key in graph.get_ancestor_asset_keys(dg.AssetKey("champion"))}
    assert {"raw_source", "journal", "events", "decisions", "user_states", "training_set", "drift_report"} <= ancestors


def test_dbts_tests_and_great_expectations_are_checks_of_the_landed_tables(definitions: dg.Definitions) -> None:
    checks = definitions.resolve_asset_graph().asset_check_keys
    on_events = {check.name for check in checks if check.asset_key == dg.AssetKey("events")}
    assert "great_expectations" in on_events
    assert len(on_events) > 1


def test_a_bad_batch_is_stopped_before_anything_trains(own_ring: Any, tmp_path: Any) -> None:
    """dagster#25112: a blocking check must hold Python assets downstream as well."""
    workspace = own_ring.workspace
    settings = load_settings(workspace)
    poisoned = tmp_path / "poisoned"
    poisoned.mkdir()
    events = pq.read_table(f"{settings.path}/events.parquet")
    every_tenth = events.take(list(range(0, events.num_rows, 10)))
    pq.write_table(every_tenth, poisoned / "events.parquet")  # nine tenths of the volume vanished
    save_settings(workspace, type(settings)("tables", str(poisoned)))
    before = (workspace.training / "manifest.json").stat().st_mtime_ns
    outcome = execute(Ring(home=str(workspace.root)), "ring")
    assert not outcome.is_success
    assert any("great_expectations" in check for check in outcome.failed_checks)
    assert not {"training_set", "challenger", "champion"} & outcome.metadata.keys()
    assert (workspace.training / "manifest.json").stat().st_mtime_ns == before


def test_every_mart_tells_its_rows(turned_ring: Any) -> None:
    with open_instance(turned_ring.workspace) as instance:
        for name in ("events", "items", "users", "user_states", "item_states", "item_pairs", "item_segments"):
            made = instance.get_latest_materialization_event(dg.AssetKey(name))
            assert made is not None
            assert made.asset_materialization is not None
            rows = pq.read_metadata(turned_ring.workspace.mart(name)).num_rows
            assert made.asset_materialization.metadata["dagster/row_count"].value == rows > 0


def test_every_asset_tells_a_person_something(turned_ring: Any) -> None:
    report = turned_ring.report
    assert report["succeeded"]
    assert report["training_set"]["retrospective_slates"] > 0
    assert report["challenger"]["repeat ndcg@10"] > 0
    assert report["champion"]["reasons"]
