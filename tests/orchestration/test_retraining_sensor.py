"""The retraining sensor: one run for each cause, none while resting, driven on an ephemeral Dagster instance."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from monitoring.retraining import Evidence, update_ledger
from orchestration.alerts import ledger_path, now_ms, settle_retraining, take_pending_causes
from orchestration.defs.monitoring import CAUSE_TAG, retraining
from orchestration.resources import Ring
from orchestration.settings import WorkspaceSettings, save_settings
from recommender.events import DAY_MS
from recommender.workspace import Workspace


@pytest.fixture
def ring(tmp_path: Path) -> Ring:
    save_settings(Workspace(tmp_path), WorkspaceSettings("tables", str(tmp_path), retrain={"max_age_days": 7}))
    return Ring(home=str(tmp_path))


def age(ring: Ring, days: float, champion: str = "c1") -> None:
    """Evidence that the champion is that old now; nothing drifted."""
    moment = now_ms(ring.workspace)
    evidence = Evidence(champion, moment - round(days * DAY_MS), f"w{moment}", moment)
    update_ledger(ledger_path(ring.workspace), lambda ledger: ledger.note(evidence))


def tick(ring: Ring, instance: dg.DagsterInstance) -> dg.RunRequest | dg.SkipReason:
    with dg.build_sensor_context(instance=instance, resources={"ring": ring}) as context:
        return retraining(context)  # type: ignore[return-value]


def test_a_fresh_champion_asks_for_nothing(ring: Ring) -> None:
    with dg.instance_for_test() as instance:
        age(ring, 6.9)
        assert isinstance(tick(ring, instance), dg.SkipReason)


def test_one_cause_asks_once_however_often_the_sensor_ticks(ring: Ring) -> None:
    with dg.instance_for_test() as instance:
        age(ring, 8)
        first, again = tick(ring, instance), tick(ring, instance)
        assert isinstance(first, dg.RunRequest)
        assert first.tags[CAUSE_TAG] == "staleness"
        assert isinstance(again, dg.RunRequest)
        assert again.run_key == first.run_key  # Dagster starts one run for one key
        take_pending_causes(ring.workspace, "run-1")
        assert isinstance(tick(ring, instance), dg.SkipReason)
        age(ring, 8)  # the level stays high
        assert isinstance(tick(ring, instance), dg.SkipReason)


def test_a_refused_retraining_is_not_asked_for_again_until_more_age_has_passed(ring: Ring) -> None:
    with dg.instance_for_test() as instance:
        age(ring, 8)
        take_pending_causes(ring.workspace, "run-1")
        settle_retraining(ring.workspace, "run-1", "refused", ["not enough evidence"])
        age(ring, 9)
        assert isinstance(tick(ring, instance), dg.SkipReason)


def test_a_workspace_that_was_never_fed_is_left_alone(tmp_path: Path) -> None:
    with dg.instance_for_test() as instance:
        assert isinstance(tick(Ring(home=str(tmp_path / "nothing")), instance), dg.SkipReason)
