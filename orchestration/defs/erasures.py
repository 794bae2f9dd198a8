"""Erasing people between the nightly runs: the sensor that asks for a run as soon as somebody asked to be erased."""

import time

import dagster as dg

from orchestration.erasures import waiting_for
from orchestration.resources import Ring

__all__ = ["erasure_sensors"]

HOUR_S = 3_600


@dg.sensor(
    job_name="erase",
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Asks for a run of the job `erase` while an erasure waits; once an hour where it fails.",
)
def erasures_asked_for(ring: Ring) -> dg.RunRequest | dg.SkipReason:
    """One run for those that wait now: its key is theirs, and holds no id of a person."""
    waiting = waiting_for(ring.workspace)
    if not waiting:
        return dg.SkipReason("no erasure waits")
    return dg.RunRequest(run_key=f"{waiting}/{int(time.time()) // HOUR_S}")


def erasure_sensors() -> list[dg.SensorDefinition]:
    """The one about erasures."""
    return [erasures_asked_for]
