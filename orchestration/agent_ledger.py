"""What all agents have sent or scheduled, read once and then only what came since. Nothing is decided here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from recommender.agents.record import sends_of
from recommender.agents.run_files import moment_of_file
from recommender.agents.sends import SEND_SCHEMA
from recommender.events import DAY_MS
from recommender.workspace import Workspace
from services.agent_log import latest_decision, online_sends

__all__ = ["REMEMBERED_MS", "Ledger", "read_ledger"]

REMEMBERED_MS = 62 * DAY_MS  # the longest cap looks 30 days both ways, and a message may be scheduled a day ahead


@dataclass(frozen=True)
class Ledger:
    """`messages` in SEND_SCHEMA: of the runs in `files`, which decided at `since_ms` or later, and of decisions in the
    moment up to the number `latest`.
    """

    messages: pa.Table
    files: frozenset[Path]
    since_ms: int
    latest: int


def read_ledger(workspace: Workspace, decided_ms: int, known: Ledger | None = None) -> Ledger:
    """Messages around a moment, in runs and in the moment: all, or what is not `known` yet, which takes no longer for
    a long history."""
    latest = latest_decision(workspace)  # first: what comes in between is then read the next time
    since_ms, after = decided_ms - REMEMBERED_MS, known.latest if known else 0
    found = [SEND_SCHEMA.empty_table(), online_sends(workspace, since_ms, after, latest)]
    files = frozenset(
        path for path in workspace.agents.glob("*/decisions/*.parquet") if moment_of_file(path) >= since_ms
    )
    for path in sorted(files - known.files if known else files):
        found.append(sends_of(pq.read_table(path, columns=SEND_SCHEMA.names)))
    return Ledger(pa.concat_tables(found), files, since_ms, latest)
