"""Messages that Slack did not take, kept as JSON lines until it does; nothing is sent from here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from monitoring.locks import locked
from recommender.workspace import write_bytes_atomically

__all__ = ["Outbox"]

Body = dict[str, Any]


class Outbox:
    """A queue in one file, oldest first; safe for several processes. Beyond `limit` the oldest go."""

    def __init__(self, path: Path, limit: int) -> None:
        self.path, self.limit = path, limit

    def waiting(self) -> list[Body]:
        """Bodies in the order in which they failed. A line that is no JSON is passed over."""
        with locked(self.path):
            return self._read()

    def keep(self, body: Body) -> None:
        """Append one message."""
        with locked(self.path):
            self._write([*self._read(), body])

    def settle(self, body: Body) -> None:
        """Remove the oldest message equal to this one, if it is still there."""
        with locked(self.path):
            bodies = self._read()
            if body in bodies:
                bodies.remove(body)
                self._write(bodies)

    def _read(self) -> list[Body]:
        if not self.path.exists():
            return []
        return [body for line in self.path.read_text(encoding="utf-8").splitlines() if (body := _parsed(line))]

    def _write(self, bodies: list[Body]) -> None:
        lines = (json.dumps(body, ensure_ascii=True, sort_keys=True) + "\n" for body in bodies[-self.limit :])
        write_bytes_atomically(self.path, "".join(lines).encode())


def _parsed(line: str) -> Body | None:
    try:
        body = json.loads(line)
    except ValueError:
        return None
    return body if isinstance(body, dict) else None
