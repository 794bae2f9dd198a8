"""How Dagster drives dbt: variables, manifest and translation of models to assets. SQL lives in the dbt project."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow.compute as pc
import pyarrow.parquet as pq
from dagster_dbt import DagsterDbtTranslator, DagsterDbtTranslatorSettings, DbtCliResource
from packaging.version import Version

from orchestration.resources import PROJECT_ROOT, Ring
from recommender.errors import InputError
from recommender.events import EVENT_STRENGTHS, RATINGS
from recommender.states import HISTORY_LENGTH, PURCHASE_DAYS_LENGTH, RECENT_LENGTH
from recommender.workspace import Workspace

__all__ = ["DBT_PROJECT", "ShopDbt", "ShopTranslator", "dbt_variables", "prepare_manifest"]

DBT_PROJECT = PROJECT_ROOT / "dbt_project"
DBT_COMMAND = str(Path(sys.executable).with_name("dbt"))  # the one of this environment, on the PATH or not
DEFAULT_SOURCE = "tables"  # what the lineage shows before anything was landed
PARSED = "partial_parse.msgpack"
JOURNAL_SOURCE = "journal"
AGENTS_SOURCE = "agents"
# What agents write, by the asset that writes it.
AGENT_SOURCES = {"decisions": "agent_messages", "outcomes": "agent_policy"}
SERVED_CUTS_KEPT = 8  # a week of nightly refreshes


def dbt_variables(ring: Ring) -> str:
    """The variables of a build as JSON: one place hands dbt what Python already knows."""
    settings = ring.settings
    return json.dumps(
        {
            "source": settings.source,
            "source_path": settings.path,
            "until": settings.until,
            "as_of": _cut_time(ring.workspace, settings.until),
            "cut_count": ring.cut_count,
            "cut_interval_days": ring.cut_interval_days,
            "horizon_days": ring.horizon_days,
            "cuts": _served_cuts(ring.workspace),
            "history_length": HISTORY_LENGTH,
            "recent_length": RECENT_LENGTH,
            "purchase_days_length": PURCHASE_DAYS_LENGTH,
            "event_strengths": EVENT_STRENGTHS,
            "ratings": RATINGS,
        },
        sort_keys=True,
    )


def _cut_time(workspace: Workspace, until: str) -> str:
    """`until` pretends that the source ends there; what our own service recorded since moves the cut on.

    Without `until` dbt takes the end of everything it finds.
    """
    if not until:
        return ""
    moments = [datetime.fromisoformat(until)]
    for path, column in (
        (workspace.journal_events, "recorded_at"),
        (workspace.journal_items, "recorded_at"),
        (workspace.journal_decisions, "decided_at"),
    ):
        latest = _latest(path, column)
        if latest is not None:
            moments.append(latest + timedelta(milliseconds=1))
    return max(moments).isoformat(sep=" ", timespec="milliseconds")


def _served_cuts(workspace: Workspace) -> list[str]:
    """The newest cuts whose states were served from: kept in the marts, so that what was served can be recomputed."""
    path = workspace.journal_decisions
    if not path.exists():
        return []
    moments = pc.unique(pq.read_table(path, columns=["state_as_of"])["state_as_of"].drop_null()).to_pylist()
    return [moment.isoformat(sep=" ", timespec="milliseconds") for moment in sorted(moments)[-SERVED_CUTS_KEPT:]]


def _latest(path: Path, column: str) -> datetime | None:
    """The newest moment in a column, None for a table without rows."""
    return pc.max(pq.read_table(path, columns=[column])[column]).as_py() if path.exists() else None  # type: ignore[no-any-return]


def prepare_manifest(ring: Ring) -> Path:
    """Parse the dbt project, once for each state of the project and each source.

    Parsed with the variables of the build to come: dbt then finds its parse again instead of doing it anew,
    which costs 3 s each time.
    """
    target = ring.workspace.dbt_target
    manifest, stamp = target / "manifest.json", target / "manifest.stamp"
    is_fed = ring.workspace.settings.exists()
    wanted = _project_fingerprint(ring.settings.source if is_fed else DEFAULT_SOURCE)
    if manifest.exists() and stamp.exists() and stamp.read_text() == wanted:
        return manifest
    target.mkdir(parents=True, exist_ok=True)
    variables = dbt_variables(ring) if is_fed else json.dumps({"source": DEFAULT_SOURCE})
    command = [DBT_COMMAND, "parse", "--quiet", "--vars", variables]
    environment = {**os.environ, **ring.environment(), "DBT_PROFILES_DIR": str(DBT_PROJECT)}
    done = subprocess.run(command, cwd=DBT_PROJECT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise InputError(
            f"dbt could not read its project: {(done.stdout + done.stderr).strip()[-800:]}",
            f"a dbt project under {DBT_PROJECT} that parses.",
            "mend the model or the source folder that dbt names.",
        )
    stamp.write_text(wanted)
    return manifest


def _project_fingerprint(source: str) -> str:
    digest = hashlib.sha256(source.encode())
    for path in sorted(DBT_PROJECT.rglob("*")):
        if path.suffix in {".sql", ".yml", ".csv", ".md"} and "target" not in path.parts:
            digest.update(str(path.relative_to(DBT_PROJECT)).encode() + path.read_bytes())
    return digest.hexdigest()


class ShopTranslator(DagsterDbtTranslator):
    """Models become assets of the groups `data` and `features`; sources become the doors they came through."""

    def __init__(self) -> None:
        super().__init__(DagsterDbtTranslatorSettings(enable_duplicate_source_asset_keys=True))

    def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> dg.AssetKey:
        if dbt_resource_props["resource_type"] == "source":
            if dbt_resource_props["source_name"] == AGENTS_SOURCE:
                return dg.AssetKey(AGENT_SOURCES[dbt_resource_props["name"]])
            is_journal = dbt_resource_props["source_name"] == JOURNAL_SOURCE
            return dg.AssetKey("journal" if is_journal else "raw_source")
        return dg.AssetKey(dbt_resource_props["name"])

    def get_asset_spec(self, manifest: Mapping[str, Any], unique_id: str, project: Any) -> dg.AssetSpec:
        """A model that reads landed files by their path has no dbt parent: it descends from the raw files."""
        spec: dg.AssetSpec = super().get_asset_spec(manifest, unique_id, project)
        path = str(self.get_resource_props(manifest, unique_id).get("path", ""))
        if path.startswith("sources/") and not spec.deps:
            return spec.replace_attributes(deps=[dg.AssetDep("raw_source")])
        return spec

    def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str | None:
        if dbt_resource_props["resource_type"] == "source":
            return None
        return "features" if "features" in dbt_resource_props.get("tags", []) else "data"


class ShopDbt(DbtCliResource):
    """The dbt command line without what it does around a build and we do not use.

    `dbt --version` as a subprocess cost 3 to 5 s of imports in each build, and an adapter in our own process (for
    metadata queries) 2 s more; the latter would also be a second opener of the warehouse.
    """

    @cached_property
    def _cli_version(self) -> Version:
        return Version(importlib.metadata.version("dbt-core"))

    def _initialize_dbt_core_adapter(self, args: Sequence[str]) -> None:
        return None

    def build(self, selection_of: dg.AssetExecutionContext, ring: Ring) -> Iterator[Any]:
        """`dbt build` of what the context selects; events as they come, marts with their rows and size."""
        invocation = self.cli(["build", "--vars", dbt_variables(ring)], context=selection_of)
        for event in invocation.stream():
            yield _measured(event, ring.workspace) if isinstance(event, dg.Output) else event
        parsed = invocation.target_path / PARSED
        if parsed.exists():  # for the next build of the same variables
            shutil.copyfile(parsed, ring.workspace.dbt_target / PARSED)

    @classmethod
    def of_project(cls) -> ShopDbt:
        """The command line on this product's dbt project."""
        return cls(project_dir=str(DBT_PROJECT), profiles_dir=str(DBT_PROJECT), dbt_executable=DBT_COMMAND)


def _measured(made: dg.Output[None], workspace: Workspace) -> dg.Output[None]:
    """The event of a model that became a mart, with what its Parquet file says of itself; others as they are."""
    path = workspace.mart(made.output_name)
    if not path.exists():
        return made
    rows = pq.read_metadata(path).num_rows
    facts = {"dagster/row_count": rows, "bytes": path.stat().st_size, "file": dg.MetadataValue.path(str(path))}
    return dg.Output(None, made.output_name, metadata={**made.metadata, **facts})
