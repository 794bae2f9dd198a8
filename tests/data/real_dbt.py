"""The real dbt, in a process of its own, on a workspace of its own: how the tests of this room build marts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from recommender.events import (
    CATALOGUE_SCHEMA,
    DEAD_LETTER_SCHEMA,
    DECISION_SCHEMA,
    EVENT_SCHEMA,
    EVENT_STRENGTHS,
    RATINGS,
)
from recommender.states import HISTORY_LENGTH, PURCHASE_DAYS_LENGTH, RECENT_LENGTH
from recommender.workspace import Workspace

DBT_PROJECT = Path(__file__).resolve().parents[2] / "dbt_project"
JOURNAL_SCHEMAS = {
    "events": EVENT_SCHEMA,
    "decisions": DECISION_SCHEMA,
    "dead_letters": DEAD_LETTER_SCHEMA,
    "items": CATALOGUE_SCHEMA,
}


@dataclass
class Warehouse:
    """A workspace that dbt builds; `build` writes the marts, `mart` reads one."""

    workspace: Workspace
    variables: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def fed_from(cls, folder: Path, home: Path, source: str = "tables", **variables: Any) -> Warehouse:
        return cls(Workspace(home), {"source": source, "source_path": str(folder), **variables})

    def land_journal(self, **tables: pa.Table) -> None:
        for name, schema in JOURNAL_SCHEMAS.items():
            path = self.workspace.landing / "journal" / f"{name}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(tables.get(name, schema.empty_table()), path)

    def dbt(self, *words: str, variables: Mapping[str, Any] | None = None) -> subprocess.CompletedProcess[str]:
        for folder in (self.workspace.warehouse.parent, self.workspace.marts):
            folder.mkdir(parents=True, exist_ok=True)
        environment = {
            "NEXTBEST_WAREHOUSE": str(self.workspace.warehouse),
            "NEXTBEST_MARTS": str(self.workspace.marts),
            "NEXTBEST_JOURNAL": str(self.workspace.landing / "journal"),
            "NEXTBEST_AGENTS": str(self.workspace.agents),
            "DBT_SEND_ANONYMOUS_USAGE_STATS": "0",
        }
        known = {
            "history_length": HISTORY_LENGTH,
            "recent_length": RECENT_LENGTH,
            "purchase_days_length": PURCHASE_DAYS_LENGTH,
            "event_strengths": EVENT_STRENGTHS,
            "ratings": RATINGS,
        }
        places = {"--project-dir": DBT_PROJECT, "--profiles-dir": DBT_PROJECT}
        private = {"--target-path": self.workspace.dbt_target, "--log-path": self.workspace.logs}
        options = [str(word) for pair in {**places, **private}.items() for word in pair]
        chosen = json.dumps({**known, **self.variables, **(variables or {})})
        return subprocess.run(
            [str(Path(sys.executable).with_name("dbt")), *words, *options, "--vars", chosen],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    def build(self, *tags: str, with_tests: bool = False, **variables: Any) -> Warehouse:
        """Models of the tags in one go; `with_tests` runs dbt's own tests between them, as the pipeline does."""
        if not self.workspace.journal_events.exists():
            self.land_journal()
        selection = [f"tag:{tag}" for tag in tags or ("canonical", "features")]
        done = self.dbt("build" if with_tests else "run", "--select", *selection, variables=variables)
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
        return self

    def mart(self, name: str) -> pa.Table:
        return pq.read_table(self.workspace.mart(name))

    def rows(self, name: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.mart(name).to_pylist()
        return rows

    def mart_bytes(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in sorted(self.workspace.marts.glob("*.parquet"))}

    def steps(self, table: str = "events") -> dict[str, int]:
        """Rows left after each step of the funnel."""
        return {row["step"]: row["row_count"] for row in self.rows("source_counts") if row["table_name"] == table}

    def dropped(self, table: str = "events") -> dict[str, int]:
        """Rows each step dropped, those that dropped some."""
        counts = self.rows("source_counts")
        return {
            row["step"]: row["dropped_count"] for row in counts if row["table_name"] == table and row["dropped_count"]
        }


def write_lines(path: Path, rows: Sequence[Mapping[str, Any] | str]) -> None:
    """JSON lines; a text is written as it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
