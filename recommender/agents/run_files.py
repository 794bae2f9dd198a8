"""What the files of an agent's runs are called: the moment, to the millisecond, UTC. No file is opened here."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

__all__ = ["moment_of_file", "name_of_run"]

_SECONDS = "%Y%m%dT%H%M%S"


def name_of_run(decided_ms: int) -> str:
    """Such as 20260601T080000000Z.parquet; names sort as moments do."""
    return f"{datetime.fromtimestamp(decided_ms / 1000, UTC).strftime(_SECONDS)}{decided_ms % 1000:03}Z.parquet"


def moment_of_file(path: Path) -> int:
    """Milliseconds since 1970."""
    return round(datetime.strptime(path.stem[:15], _SECONDS).replace(tzinfo=UTC).timestamp()) * 1000 + int(
        path.stem[15:18]
    )
