"""The operator's `nextbest.yml` under a running service: taken up when it changes, kept as it was when it is broken."""

from __future__ import annotations

import logging

from recommender.configuration import Configuration, read_configuration
from recommender.errors import ConfigurationError
from recommender.workspace import Workspace

__all__ = ["OperatorFile"]

_LOG = logging.getLogger("nextbest.operator_file")


class OperatorFile:
    """`configuration` is replaced in one assignment: a request sees the old one or the new one, as a whole."""

    def __init__(self, workspace: Workspace) -> None:
        self._path = workspace.configuration
        self._seen: tuple[int, int, int] | None = None
        self.configuration = Configuration()

    def refresh(self) -> None:
        """Read the file if it changed, appeared or went; a broken one is told and what held before stays."""
        try:
            status = self._path.stat()
            seen = (status.st_mtime_ns, status.st_size, status.st_ino)
        except OSError:
            seen = None
        if seen == self._seen:
            return
        self._seen = seen  # also when reading fails: the same bytes would fail again every half second
        try:
            self.configuration = read_configuration(self._path)
        except ConfigurationError as problem:
            _LOG.error("the placements stay as they were. %s", problem)
            return
        _LOG.info("%d placements hold%s", len(self.configuration.placements), "" if seen else ", as shipped")
