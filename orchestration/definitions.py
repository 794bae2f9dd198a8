"""The single assembler: every asset, check, job, schedule and sensor of a workspace, with overrides for tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg

from orchestration.defs.agents import agent_assets, agent_sensors
from orchestration.defs.data import build_data
from orchestration.defs.erasures import erasure_sensors
from orchestration.defs.features import build_features
from orchestration.defs.model import model_assets
from orchestration.defs.monitoring import monitoring_assets, monitoring_sensors
from orchestration.defs.release import release_sensors
from orchestration.jobs import build_jobs, daily_refresh
from orchestration.resources import Ring
from orchestration.warehouse import ShopDbt, prepare_manifest
from recommender.workspace import Workspace

__all__ = ["build_definitions", "defs"]


def build_definitions(workspace: Workspace, resource_overrides: Mapping[str, Any] | None = None) -> dg.Definitions:
    """Assemble the ring for a workspace; tests replace resources through `resource_overrides` and patch nothing."""
    overrides = dict(resource_overrides or {})
    ring = overrides.setdefault("ring", Ring(home=str(workspace.root)))
    manifest = prepare_manifest(ring)
    data_assets, data_checks = build_data(manifest)
    feature_assets, feature_checks = build_features(manifest)
    resources = {
        "dbt": ShopDbt.of_project(),
        **overrides,
    }
    return dg.Definitions(
        assets=[*data_assets, *feature_assets, *model_assets(), *monitoring_assets(), *agent_assets()],
        asset_checks=[*data_checks, *feature_checks],
        jobs=build_jobs(),
        schedules=[daily_refresh],
        sensors=[*monitoring_sensors(), *release_sensors(), *agent_sensors(), *erasure_sensors()],
        resources=resources,
        # One fat process: the multiprocess executor pays about 10 s of imports a step.
        executor=dg.in_process_executor,
    )


@dg.definitions
def defs() -> dg.Definitions:
    """What `dagster dev -m orchestration.definitions` loads; lazy, so that importing this module runs no dbt."""
    return build_definitions(Workspace.from_environment())
