"""One root folder turned into every path; where data lie is known here and in no other module.

Also the two ways of writing that never leave half a file: `write_bytes_atomically` and
`replace_folder`. No file formats live here.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Workspace", "replace_folder", "write_bytes_atomically"]

HOME_VARIABLE = "NEXTBEST_HOME"


@dataclass(frozen=True)
class Workspace:
    """The folder that holds everything an installation keeps (`NEXTBEST_HOME`, default `./.nextbest`)."""

    root: Path

    @classmethod
    def from_environment(cls) -> Workspace:
        """Read `NEXTBEST_HOME` here and nowhere else."""
        return cls(Path(os.environ.get(HOME_VARIABLE, ".nextbest")).absolute())

    # data
    @property
    def landing(self) -> Path:
        """What arrived, as Parquet: `journal/` (events and decisions that the service recorded)."""
        return self.root / "landing"

    @property
    def journal_events(self) -> Path:
        return self.landing / "journal" / "events.parquet"

    @property
    def journal_decisions(self) -> Path:
        return self.landing / "journal" / "decisions.parquet"

    @property
    def journal_agent_decisions(self) -> Path:
        """What agents decided in the moment; the decisions of their runs lie in `agent_decisions`."""
        return self.landing / "journal" / "agent_decisions.parquet"

    @property
    def journal_dead_letters(self) -> Path:
        return self.landing / "journal" / "dead_letters.parquet"

    @property
    def journal_items(self) -> Path:
        """What the service was told of the catalogue, change by change."""
        return self.landing / "journal" / "items.parquet"

    @property
    def journal_erased(self) -> Path:
        """Whom the team had erased, as hashes: what keeps files that still name them from bringing them back."""
        return self.landing / "journal" / "erased.parquet"

    @property
    def warehouse(self) -> Path:
        """The DuckDB file: a rebuildable cache that only dbt opens."""
        return self.root / "warehouse" / "nextbest.duckdb"

    @property
    def marts(self) -> Path:
        """External Parquet, one file a mart, written by dbt and read by everyone."""
        return self.root / "marts"

    def mart(self, name: str) -> Path:
        return self.marts / f"{name}.parquet"

    @property
    def dbt_target(self) -> Path:
        return self.root / "dbt"

    # features
    @property
    def feature_registry(self) -> Path:
        return self.root / "features" / "registry.db"

    @property
    def online_store(self) -> Path:
        return self.root / "features" / "online.db"

    # model
    @property
    def training(self) -> Path:
        return self.root / "training"

    @property
    def models(self) -> Path:
        """Bundles while they are built, and the aliases; released bundles are in BentoML's store."""
        return self.root / "models"

    @property
    def bento_home(self) -> Path:
        return self.root / "bentoml"

    @property
    def aliases(self) -> Path:
        return self.models / "aliases.json"

    @property
    def verdicts(self) -> Path:
        """What became of trying each released bundle, one small file a version; `services.verdicts` writes it."""
        return self.models / "verdicts"

    @property
    def canary(self) -> Path:
        """Which challenger gets which share of the people (JSON)."""
        return self.models / "canary.json"

    @property
    def releases(self) -> Path:
        """One JSON line for each promotion, canary, rollback and refusal, oldest first."""
        return self.models / "releases.jsonl"

    @property
    def workers(self) -> Path:
        """How the bundles of each worker do, one small file a worker, noted by itself."""
        return self.models / "workers"

    @property
    def crashes(self) -> Path:
        """There while workers end soon after their start: what their supervisor noted of it (JSON)."""
        return self.models / "crashes.json"

    # decision
    @property
    def journal(self) -> Path:
        """SQLite journal of acknowledged events and decisions; the collector alone writes it."""
        return self.root / "journal" / "journal.db"

    @property
    def journal_archive(self) -> Path:
        """What `services.journal_archive` moved out of it (SQLite)."""
        return self.root / "journal" / "archive.db"

    @property
    def keys(self) -> Path:
        return self.root / "keys.json"

    # monitoring
    @property
    def reports(self) -> Path:
        return self.root / "reports"

    @property
    def data_docs(self) -> Path:
        return self.reports / "data_docs"

    @property
    def evaluation_page(self) -> Path:
        """The evaluation of the latest challenger, for people; its figures lie beside it as JSON."""
        return self.reports / "evaluation" / "evaluation.html"

    @property
    def monitoring(self) -> Path:
        return self.root / "monitoring"

    # configuration
    @property
    def configuration(self) -> Path:
        """What the operator wants of placements and objectives (YAML, optional); written by people, read by all."""
        return self.root / "nextbest.yml"

    # agents
    @property
    def agents(self) -> Path:
        """The operator's agents, one `*.yml` each; beside each a folder of its name with what it did and learnt."""
        return self.root / "agents"

    def agent_decisions(self, name: str) -> Path:
        """One Parquet file for each run, named by its moment."""
        return self.agents / name / "decisions"

    def agent_model(self, name: str) -> Path:
        return self.agents / name / "model"

    def agent_audience(self, name: str) -> Path:
        """The people of its last run, for deciding in the moment."""
        return self.agents / name / "audience.arrow"

    def agent_deliveries(self, name: str) -> Path:
        """What was exported, and the outbox of the webhook."""
        return self.agents / name / "deliveries"

    def agent_outcomes(self, name: str) -> Path:
        """What each decision whose window has closed earned (Parquet)."""
        return self.agents / name / "outcomes.parquet"

    def agent_broken(self, name: str) -> Path:
        """Some people for whom the last run that was stopped had broken a guardrail (Parquet)."""
        return self.agents / name / "broken.parquet"

    def agent_affinities(self, name: str) -> Path:
        """What each of its actions is expected to gain each person (Parquet)."""
        return self.agents / name / "affinities.parquet"

    def agent_reports(self, name: str) -> Path:
        """Pages about an agent for people, and their figures as JSON."""
        return self.reports / "agents" / name

    # orchestration
    @property
    def dagster_home(self) -> Path:
        return self.root / "dagster"

    @property
    def settings(self) -> Path:
        """Which source this workspace is fed from, until when, and its clock (JSON)."""
        return self.root / "settings.json"

    @property
    def logs(self) -> Path:
        return self.root / "logs"


def write_bytes_atomically(path: Path, data: bytes) -> None:
    """Write aside, sync, rename: a reader sees the old bytes or the new ones, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    with aside.open("wb") as handle:
        handle.write(data)
        handle.flush()
        os.fsync(handle.fileno())
    aside.replace(path)
    _sync_folder(path.parent)


def replace_folder(built: Path, final: Path) -> None:
    """Move a finished folder to its place; an older one there is removed only after the swap."""
    final.parent.mkdir(parents=True, exist_ok=True)
    retired = final.with_name(f".{final.name}.retired")
    shutil.rmtree(retired, ignore_errors=True)
    if final.exists():
        final.replace(retired)
    built.replace(final)
    _sync_folder(final.parent)
    shutil.rmtree(retired, ignore_errors=True)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
