"""The group `features`: states of users and items at each cut, known to Feast and ready online."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
from dagster_dbt import dbt_assets

from feature_repo.offline import apply, materialise_users
from monitoring.validation import STATE_TABLES
from orchestration.fitness import fitness_specs, judge_tables
from orchestration.resources import Ring
from orchestration.tables import read_as_of_ms, to_iso
from orchestration.warehouse import ShopDbt, ShopTranslator

__all__ = ["build_features"]


def build_features(manifest: Path) -> tuple[list[dg.AssetsDefinition], list[dg.AssetChecksDefinition]]:
    """Assets and checks of the group, for the dbt manifest at hand."""

    @dbt_assets(manifest=manifest, select="tag:features", name="states", dagster_dbt_translator=ShopTranslator())
    def states(context: dg.AssetExecutionContext, dbt: ShopDbt, ring: Ring) -> Iterator[Any]:
        yield from dbt.build(context, ring)

    @dg.multi_asset_check(name="states_great_expectations", specs=fitness_specs(STATE_TABLES))
    def states_are_fit(context: dg.AssetCheckExecutionContext, ring: Ring) -> Iterator[dg.AssetCheckResult]:
        yield from judge_tables(ring, STATE_TABLES, context.run.run_id)

    return [states, feature_store, online_user_states], [states_are_fit]


@dg.asset(group_name="features", kinds={"feast"}, deps=["user_states", "item_states"])
def feature_store(ring: Ring) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """Entities, views and services registered in Feast's SQL registry."""
    return dg.MaterializeResult(metadata=dict(apply(ring.workspace)))


@dg.asset(group_name="features", kinds={"feast"}, deps=[feature_store])
def online_user_states(context: dg.AssetExecutionContext, ring: Ring) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """Each user's state at the newest cut, where the decision service reads it."""
    as_of_ms = read_as_of_ms(ring.workspace)
    # An explicit `until` may lie before what was materialised last: going back is then what was asked for.
    counts = materialise_users(ring.workspace, as_of_ms, rewind=bool(ring.settings.until))
    return dg.MaterializeResult(metadata={**counts, "as_of": to_iso(as_of_ms)})
