"""The group `monitoring`: evidence about the champion, the sensor that asks for a retraining, and the alerts."""

import os
from typing import Any

import dagster as dg

from monitoring.performance_figure import performance_figure
from monitoring.retraining import read_ledger
from monitoring.slack_messages import drift_found, run_failed
from orchestration.alerts import (
    SLACK_CHANNEL_VARIABLE,
    SLACK_TOKEN_VARIABLE,
    ledger_path,
    now_ms,
    retrain_config,
    settle_retraining,
    slack_of,
    spend_failed_request,
)
from orchestration.defs.model import picture
from orchestration.resources import Ring
from orchestration.runs import sentence_of
from orchestration.watching import judge_performance, look_for_drift, note_evidence
from services.model_store import aliases

__all__ = ["monitoring_assets", "monitoring_sensors"]

CAUSE_TAG = "nextbest/cause"
RUN_KEY_TAG = "dagster/run_key"
PARTITION_TAG = "dagster/partition"  # which agent, of the job `agents`


@dg.asset(group_name="monitoring", kinds={"evidently"}, deps=["feature_store", "events", "item_pairs", "item_segments"])
def drift_report(ring: Ring) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """Behaviour in the last window against the champion's own reference, as Evidently's page and as a verdict."""
    found = look_for_drift(ring)
    if found is None:
        return dg.MaterializeResult(metadata={"verdict": "nothing to compare yet"})
    return dg.MaterializeResult(
        metadata={
            "verdict": found.verdict,
            "sentence": found.sentence(),
            "columns": dg.MetadataValue.md(found.to_markdown()),
            "report": dg.MetadataValue.url(f"file://{found.html_path}") if found.html_path else "none",
        }
    )


@dg.asset(group_name="monitoring", deps=["decisions", "events"])
def live_performance(ring: Ring) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """Clicks, conversions and reward of the slates that were served, by model and day, with intervals."""
    live, fall = judge_performance(ring)
    metadata: dict[str, Any] = {
        "verdict": fall.verdict,
        "sentence": fall.sentence(),
        "decisions": sum(performance.decisions for performance in live.models),
        "waiting": live.waiting,
    }
    if live.days:
        metadata["click rate"] = picture(performance_figure(live))
    return dg.MaterializeResult(metadata=metadata)


@dg.asset(group_name="monitoring", kinds={"slack"}, deps=[drift_report, live_performance])
def retraining_evidence(context: dg.AssetExecutionContext, ring: Ring) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """Drift, a fall or age turned into causes: each is noted once, and a new drift is told to Slack."""
    causes, drift = note_evidence(ring)
    told = "nothing to tell"
    if drift and any(cause.kind == "drift" for cause in causes):
        version = aliases(ring.workspace)["champion"]
        told = slack_of(ring.workspace).send(drift_found(drift, version, context.run_id, str(drift.html_path))).detail
    return dg.MaterializeResult(
        metadata={"new causes": [f"{cause.kind}: {cause.sentence}" for cause in causes], "slack": told}
    )


@dg.sensor(
    job_name="retrain",
    minimum_interval_seconds=15,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Asks for one retraining for each cause in the ledger, never two within the cool-down.",
)
def retraining(ring: Ring) -> dg.RunRequest | dg.SkipReason:
    """Edge-triggered: a level that stays high asks once. `run_key` stops a second run for the same cause."""
    space = ring.workspace
    if not space.settings.exists():
        return dg.SkipReason("nothing was landed yet")
    due = read_ledger(ledger_path(space)).due(now_ms(space), retrain_config(space))
    if due is None:
        return dg.SkipReason("no pending cause, or resting after the last retraining")
    return dg.RunRequest(run_key=due.key, tags={CAUSE_TAG: ", ".join(cause.kind for cause in due.causes)})


@dg.run_failure_sensor(default_status=dg.DefaultSensorStatus.RUNNING, description="Tells Slack about a failed run.")
def failed_run(context: dg.RunFailureSensorContext, ring: Ring) -> None:
    """Also settles the causes that the run was to answer."""
    run = context.dagster_run
    failed = next(iter(context.get_step_failure_events()), None)
    error = sentence_of(failed.step_failure_data.error) if failed else context.failure_event.message or "no message"
    spend_failed_request(ring.workspace, run.tags.get(RUN_KEY_TAG), run.run_id, error)
    settle_retraining(ring.workspace, run.run_id, "failed", [error])
    job = f"{run.job_name} {run.tags[PARTITION_TAG]}" if PARTITION_TAG in run.tags else run.job_name
    slack_of(ring.workspace).send(run_failed(job, run.run_id, failed.step_key if failed else None, error))


def monitoring_assets() -> list[dg.AssetsDefinition]:
    """Assets of the group."""
    return [drift_report, live_performance, retraining_evidence]


def monitoring_sensors() -> list[dg.SensorDefinition]:
    """The retraining sensor, the failure alert and, for teams with a Slack bot, dagster-slack's own alert."""
    sensors: list[dg.SensorDefinition] = [retraining, failed_run]
    token, channel = os.environ.get(SLACK_TOKEN_VARIABLE), os.environ.get(SLACK_CHANNEL_VARIABLE)
    if token and channel:
        from dagster_slack import make_slack_on_run_failure_sensor

        sensors.append(make_slack_on_run_failure_sensor(channel, token, default_status=dg.DefaultSensorStatus.RUNNING))
    return sensors
