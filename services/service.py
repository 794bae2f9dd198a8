"""The BentoML service: one class, several workers, no runners, with our application in front of it.

BentoML brings the processes, the server and the life cycle. Its own access log and metrics are off: they
name raw paths, which hold ids and can be made up without end.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import bentoml
from _bentoml_sdk import Service  # type: ignore[import-untyped]

from recommender.workspace import Workspace
from services.app import Application
from services.bento_process import SUPERVISOR_VARIABLE, WORKERS_VARIABLE
from services.connections import guard_connections
from services.door import Door
from services.front import Front
from services.lifeline import end_with_parent
from services.logs import log_as_json

__all__ = ["Nextbest"]

# How long a thread computes before one that waits has its turn. A decision computes for milliseconds, and with Python's
# 5 ms the journal's thread stood in line that long after each of its statements: two workers gave 324 answers a second
# to 16 callers, with this 406 to 426.
SWITCH_SECONDS = 0.0002


class _Opened:
    """The door of this worker process; the routes exist before it does."""

    door: Door | None = None

    @classmethod
    def get(cls) -> Door:
        assert cls.door is not None
        return cls.door


class _Fronted(Service[Any]):  # type: ignore[misc]
    """A service whose requests are answered by our own application alone."""

    def to_asgi(self, is_main: bool = True) -> Front:
        guard_connections()
        return Front(super().to_asgi(is_main), Application(_Opened.get))


@bentoml.service(
    name="nextbest",
    service_class=_Fronted,
    workers=int(os.environ.get(WORKERS_VARIABLE, "2")),
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
)
class Nextbest:
    """Instantiated once in every worker."""

    def __init__(self) -> None:
        sys.setswitchinterval(SWITCH_SECONDS)
        log_as_json()
        end_with_parent(int(os.environ[SUPERVISOR_VARIABLE]))
        _Opened.door = self._door = Door(Workspace.from_environment())

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]
    def close(self) -> None:
        self._door.close()
