"""What happens to bundles between runs: the sensor that brings the service's refusals into Dagster and to Slack."""

from typing import Any

import dagster as dg

from monitoring.slack_messages import bundle_refused
from orchestration.alerts import slack_of
from orchestration.resources import Ring
from services.release import ledger

__all__ = ["release_sensors"]

TOLD = ("rolled back", "refused")


@dg.sensor(
    minimum_interval_seconds=15,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Tells of bundles that the service refused or rolled back: here, on `decision_service`, and to Slack.",
)
def refused_bundles(context: dg.SensorEvaluationContext, ring: Ring) -> dg.SensorResult:
    """The cursor counts the ledger's lines that were read."""
    entries = ledger(ring.workspace)
    new = [entry for entry in entries[int(context.cursor or 0) :] if entry["what"] in TOLD]
    for entry in new:
        message = bundle_refused(entry["version"], entry["reason"], entry.get("to", ""), entry["by"])
        slack_of(ring.workspace).send(message)
    return dg.SensorResult(
        skip_reason=None if new else "no bundle was refused since",
        asset_events=[_observation(entry) for entry in new],
        cursor=str(len(entries)),
    )


def _observation(entry: dict[str, Any]) -> dg.AssetObservation:
    told = {name: entry[name] for name in ("what", "version", "reason", "by", "at", "to") if entry.get(name)}
    return dg.AssetObservation("decision_service", description=entry["reason"], metadata=told)


def release_sensors() -> list[dg.SensorDefinition]:
    """Sensors about releases."""
    return [refused_bundles]
