"""A run that fails is told to Slack, and the cause it was to answer is spent; Slack being down changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from monitoring.retraining import Evidence, read_ledger, update_ledger
from orchestration.alerts import SLACK_VARIABLE, ledger_path, now_ms
from orchestration.defs.monitoring import RUN_KEY_TAG, failed_run
from orchestration.resources import Ring
from orchestration.settings import WorkspaceSettings, save_settings
from orchestration.slack_receiver import SlackReceiver
from recommender.events import DAY_MS
from recommender.workspace import Workspace


@dg.op
def stumble() -> None:
    raise RuntimeError("the disk is full")


@dg.job
def retrain() -> None:
    stumble()


@pytest.fixture
def ring(tmp_path: Path) -> Ring:
    save_settings(Workspace(tmp_path), WorkspaceSettings("tables", str(tmp_path)))
    return Ring(home=str(tmp_path))


@pytest.fixture
def slack(monkeypatch: pytest.MonkeyPatch) -> Iterator[SlackReceiver]:
    with SlackReceiver() as receiver:
        monkeypatch.setenv(SLACK_VARIABLE, receiver.url)
        yield receiver


def fail_a_run(ring: Ring, tags: dict[str, str]) -> str:
    """Run a job that stumbles on an ephemeral instance, and hand its failure to the sensor."""
    with dg.instance_for_test() as instance:
        result = retrain.execute_in_process(instance=instance, raise_on_error=False, tags=tags)
        with dg.build_run_status_sensor_context(
            sensor_name="failed_run",
            dagster_instance=instance,
            dagster_run=result.dagster_run,
            dagster_event=result.get_run_failure_event(),
            resources={"ring": ring},
        ).for_run_failure() as context:
            failed_run(context)
    return str(result.run_id)


def test_slack_hears_which_job_and_step_failed(ring: Ring, slack: SlackReceiver) -> None:
    run_id = fail_a_run(ring, {})
    (message,) = slack.messages
    assert message["text"] == "Run failed: retrain"
    assert "stumble" in str(message["blocks"])
    assert "the disk is full" in str(message["blocks"])
    assert run_id in str(message["blocks"])


def test_the_cause_of_a_request_that_died_early_is_spent(ring: Ring, slack: SlackReceiver) -> None:
    path, moment = ledger_path(ring.workspace), now_ms(ring.workspace)
    evidence = Evidence("c1", moment - 8 * DAY_MS, "w1", moment)
    request = update_ledger(path, lambda ledger: ledger.note(evidence)).due(moment)
    assert request is not None
    fail_a_run(ring, {RUN_KEY_TAG: request.key})
    assert read_ledger(path).due(moment) is None
    assert {entry.outcome for entry in read_ledger(path).entries} == {"failed"}


def test_with_slack_down_the_sensor_still_does_its_work(ring: Ring, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SLACK_VARIABLE, "http://127.0.0.1:9/services/T/B/x")  # nobody listens there
    fail_a_run(ring, {})
    (waiting,) = (ring.workspace.monitoring / "slack_outbox.jsonl").read_text().splitlines()
    assert "Run failed: retrain" in waiting
