"""People erased from everything a workspace keeps: which stores there are, and in which order they are cleared.

Each step can be done again, and the last one, which forgets the ids, comes when all others are through: whoever is
killed in between is taken up by the next run. The workspace must be held meanwhile (`Ring` does).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa

from feature_repo.erasure import erase_users
from orchestration.erased_files import (
    People,
    audience_without,
    homes_files,
    outbox_without,
    parquet_without,
    training_without,
)
from recommender.agents.erased_sends import counted_without
from recommender.agents.turns import alone
from recommender.workspace import Workspace
from services.erasure import close_erasures, erase_from_journal, erasures_under_way, status_of_erasures
from services.erasure_log import erasure_told
from services.journal_export import export_journal

__all__ = ["erase_people", "status_told", "waiting_for"]

Tell = Callable[[str], None]


def erase_people(workspace: Workspace, tell: Tell) -> dict[str, int]:
    """Carry out all erasures that are under way; how many rows went from each store. `tell` hears of progress.

    Counts of people, not their ids, may be told, logged and kept.
    """
    pending = erasures_under_way(workspace)
    if not pending:
        return {"erasures": close_erasures(workspace, ()) if workspace.journal.exists() else 0}
    people = People(
        sorted({user_id for one in pending for user_id in one.people}),
        sorted({name for one in pending for name in one.names}),
    )
    tell(f"{len(pending):,} erasures of {len(people.ids):,} ids")
    gone = erase_from_journal(workspace, pending)
    export_journal(workspace)  # landing: events, decisions, dead letters and the hashes, anew
    tell("journal and landing are clear")
    gone["states online"] = erase_users(workspace, people.ids)
    gone["rows of agents"] = _erase_from_agents(workspace, people)
    tell("the online store and agents are clear")
    gone["slates to learn from"] = sum(
        training_without(path.parent, people)
        for path in homes_files(workspace.root, "groups.parquet")
        if (path.parent / "manifest.json").exists()
    )
    gone["rows of tables"] = _erase_from_tables(workspace, people)
    _drop_caches(workspace)
    tell("marts, tables and the warehouse are clear")
    return {"erasures": close_erasures(workspace, pending), "ids": len(people.ids), **gone}


def status_told(workspace: Workspace) -> list[dict[str, Any]]:
    """How far each erasure is, the oldest first, as `GET /v1/erasures/{erasure_id}` tells it."""
    return [erasure_told(erasure_id, status) for erasure_id, status in status_of_erasures(workspace).items()]


def waiting_for(workspace: Workspace) -> str:
    """A name for the erasures that wait now, "" where none does; no id of a person can be read from it."""
    waiting = [f"{one.erasure_id} {one.asked_ms}" for one in erasures_under_way(workspace)]
    return hashlib.sha256("\n".join(waiting).encode()).hexdigest()[:16] if waiting else ""


def _erase_from_agents(workspace: Workspace, people: People) -> int:
    """Decisions of runs keep the count of what was sent; nobody decides meanwhile."""
    ids, rows = pa.array(people.ids, pa.string()), 0
    with alone(workspace.agents):
        for path in homes_files(workspace.agents, ".parquet"):
            is_run = path.parent.name == "decisions"
            rows += parquet_without(path, people, counted_without(path, ids) if is_run else None)
        rows += sum(audience_without(path, people) for path in homes_files(workspace.agents, ".arrow"))
        rows += sum(outbox_without(path, people) for path in homes_files(workspace.agents, "outbox.db"))
    return rows


def _erase_from_tables(workspace: Workspace, people: People) -> int:
    """Every Parquet file of the home. What the journal holds of them by now is of people who came back: it stays."""
    landed = workspace.journal_events.parent
    files = (path for path in homes_files(workspace.root, ".parquet") if path.parent != landed)
    return sum(parquet_without(path, people) for path in files)


def _drop_caches(workspace: Workspace) -> None:
    """Warehouse files hold deleted rows in free blocks, and are made anew by the next run from what is left; so are
    halves of files that were never finished."""
    for ending in (".duckdb", ".duckdb.wal", ".part"):
        for path in homes_files(workspace.root, ending):
            if _is_ours(workspace, path):
                path.unlink(missing_ok=True)


def _is_ours(workspace: Workspace, path: Path) -> bool:
    """Whether no running service may be writing it: what a service writes aside lies with its models and journal."""
    return not any(path.is_relative_to(folder) for folder in (workspace.models, workspace.journal.parent))
