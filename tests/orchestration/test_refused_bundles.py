"""What the service refuses between runs reaches Dagster and Slack once, driven on an ephemeral Dagster instance."""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from monitoring.slack_messages import bundle_refused
from orchestration.defs.release import refused_bundles
from orchestration.resources import Ring
from recommender.workspace import Workspace
from services.release import note


def tick(ring: Ring, instance: dg.DagsterInstance, cursor: str | None) -> dg.SensorResult:
    with dg.build_sensor_context(instance=instance, cursor=cursor, resources={"ring": ring}) as context:
        found = refused_bundles(context)
        assert isinstance(found, dg.SensorResult)
        return found


def test_a_rollback_is_observed_and_told_once(tmp_path: Path) -> None:
    workspace, ring = Workspace(tmp_path), Ring(home=str(tmp_path))
    with dg.instance_for_test() as instance:
        assert tick(ring, instance, None).asset_events == []
        note(workspace, "champion", "aa", "gate")
        note(workspace, "rolled back", "bb", "service", "3 of its last 8 requests could not be scored.", to="aa")
        first = tick(ring, instance, None)
        (event,) = first.asset_events
        assert event.asset_key == dg.AssetKey("decision_service")
        assert event.description == "3 of its last 8 requests could not be scored."
        assert first.cursor == "2"
        assert tick(ring, instance, first.cursor).asset_events == []
        note(workspace, "refused", "cc", "gate", "golden scores that are no number.")
        assert [event.description for event in tick(ring, instance, first.cursor).asset_events] == [
            "golden scores that are no number."
        ]


def test_slack_reads_what_went_why_and_what_serves_now() -> None:
    body = bundle_refused("bb", "scores of <nobody>.", "aa", "service").body()
    assert body["text"] == "Champion rolled back"
    assert [block["type"] for block in body["blocks"]] == ["header", "section", "context"]
    assert body["blocks"][1]["text"]["text"] == "scores of &lt;nobody&gt;."
    assert [fact["text"] for fact in body["blocks"][2]["elements"]] == ["bundle `bb`", "by service", "now `aa`"]
    assert bundle_refused("bb", "corrupt.", "", "gate").text == "Bundle refused"
