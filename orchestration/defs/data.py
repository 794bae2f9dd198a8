"""The group `data`: what arrived, landed as canonical tables and validated before anything learns from it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
from dagster_dbt import dbt_assets

from monitoring.validation import LANDED_TABLES
from orchestration.erasures import erase_people
from orchestration.fitness import fitness_specs, judge_tables
from orchestration.resources import Ring
from orchestration.sources import check_source
from orchestration.tables import read_as_of_ms, source_funnel
from orchestration.warehouse import ShopDbt, ShopTranslator
from recommender.configuration import read_configuration
from services.journal_archive import archive_journal
from services.journal_export import export_journal
from services.journal_retention import trim_journal

__all__ = ["build_data"]


@dg.asset(group_name="data", kinds={"parquet"}, description="The raw files of the source, checked and fingerprinted.")
def raw_source(ring: Ring) -> dg.MaterializeResult:  # type: ignore[type-arg]
    settings = ring.settings
    found = check_source(settings.source, settings.path)
    return dg.MaterializeResult(
        metadata={
            "source": settings.source,
            "until": settings.until or "the end of the data",
            "dagster/row_count": found.rows,
            "bytes": found.bytes,
            "sha256": found.sha256,
            "files": dg.MetadataValue.md("\n".join(f"- {name}" for name in found.files)),
        },
        data_version=dg.DataVersion(found.sha256),
    )


@dg.asset(group_name="data", kinds={"sqlite", "parquet"})
def erasures(context: dg.AssetExecutionContext, ring: Ring) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """People whose erasure was asked for are taken out of every store. What is left is the hash of each id, by which
    the models that follow leave them out of the team's own files too.

    Before the journal's export, for which all models wait: were only some of them behind this, agents and checks would
    split dbt's models into a circle.
    """
    return dg.MaterializeResult(metadata=dict(erase_people(ring.workspace, context.log.info)))


@dg.asset(group_name="decision", kinds={"sqlite", "parquet"}, deps=[erasures])
def journal(ring: Ring) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """What the service recorded, events, decisions and dead letters, exported to the landing folder.

    Messages as they arrived are forgotten after `service.keep_raw_days`; events and decisions leave the service's file
    for the archive after `service.keep_journal_days`, and stay in the export.
    """
    counts = export_journal(ring.workspace)
    kept = read_configuration(ring.workspace.configuration).service
    as_of_ms = read_as_of_ms(ring.workspace) if ring.workspace.mart("feature_cuts").exists() else None
    moved = archive_journal(ring.workspace, kept.keep_journal_days, as_of_ms)
    tended = {
        "raw messages forgotten": trim_journal(ring.workspace, kept.keep_raw_days),
        **{f"{table} archived": count for table, count in moved.items()},
    }
    return dg.MaterializeResult(metadata={**counts, **tended, "folder": str(ring.workspace.journal_events.parent)})


def build_data(manifest: Path) -> tuple[list[dg.AssetsDefinition], list[dg.AssetChecksDefinition]]:
    """Assets and checks of the group, for the dbt manifest at hand."""

    @dbt_assets(manifest=manifest, select="tag:canonical", name="canonical", dagster_dbt_translator=ShopTranslator())
    def canonical(context: dg.AssetExecutionContext, dbt: ShopDbt, ring: Ring) -> Iterator[Any]:
        yield from dbt.build(context, ring)
        context.log.info(source_funnel(ring.workspace))

    @dg.multi_asset_check(name="landed_great_expectations", specs=fitness_specs(LANDED_TABLES))
    def landed_tables_are_fit(context: dg.AssetCheckExecutionContext, ring: Ring) -> Iterator[dg.AssetCheckResult]:
        yield from judge_tables(ring, LANDED_TABLES, context.run.run_id)

    return [raw_source, journal, erasures, canonical], [landed_tables_are_fit]
