"""The group `features`: states of users and items at each cut, known to Feast and ready online."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
from dagster_dbt import dbt_assets

from feature_repo.offline import apply, materialise_users
from orchestration.resources import Ring
from orchestration.tables import read_as_of_ms, to_iso
from orchestration.warehouse import ShopDbt, ShopTranslator, dbt_variables

__all__ = ["build_features"]


def build_features(manifest: Path) -> list[dg.AssetsDefinition]:
    """Assets of the group, for the dbt manifest at hand."""

    @dbt_assets(manifest=manifest, select="tag:features", name="states", dagster_dbt_translator=ShopTranslator())
    def states(context: dg.AssetExecutionContext, dbt: ShopDbt, ring: Ring) -> Iterator[Any]:
        with ring.warehouse_for_writing():
            yield from dbt.cli(["build", "--vars", dbt_variables(ring)], context=context).stream()

    return [states, feature_store, online_user_states]


@dg.asset(group_name="features", kinds={"feast"}, deps=["user_states", "item_states"])
def feature_store(ring: Ring) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """Entities, views and services registered in Feast's SQL registry."""
    return dg.MaterializeResult(metadata=dict(apply(ring.workspace)))


@dg.asset(group_name="features", kinds={"feast", "sqlite"}, deps=[feature_store])
def online_user_states(context: dg.AssetExecutionContext, ring: Ring) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """Each user's state at the newest cut, where the decision service reads it."""
    as_of_ms = read_as_of_ms(ring.workspace)
    counts = materialise_users(ring.workspace, as_of_ms)
    return dg.MaterializeResult(metadata={**counts, "as_of": to_iso(as_of_ms)})
