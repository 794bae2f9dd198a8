"""How long messages are kept as they arrived; where old events and decisions go, `services.journal_archive` knows."""

from __future__ import annotations

from contextlib import closing

from recommender.events import DAY_MS
from recommender.workspace import Workspace
from services.clock import Clock
from services.journal import Journal

__all__ = ["trim_journal"]

_AT_ONCE = 5_000  # messages in one commit: a running service waits 20 ms for its turn


def trim_journal(workspace: Workspace, keep_days: float) -> int:
    """Forget raw messages older than so many days by the service's clock; how many. Works beside a running service."""
    if not workspace.journal.exists():
        return 0
    before_ms = Clock.from_settings(workspace.settings).now_ms() - round(keep_days * DAY_MS)
    forgotten = 0
    with closing(Journal(workspace.journal)) as journal:
        while dropped := journal.forget_raw(before_ms, _AT_ONCE):
            forgotten += dropped
    return forgotten
