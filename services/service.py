"""The BentoML service: one class, several workers, no runners, with the bare-JSON application mounted on it.

BentoML brings the processes, the server and the probes. Its own access log and metrics are off: they
name raw paths, which hold ids and can be made up without end.
"""

from __future__ import annotations

import os

import bentoml

from recommender.workspace import Workspace
from services.app import build_app
from services.bento_process import SUPERVISOR_VARIABLE, WORKERS_VARIABLE
from services.door import Door
from services.lifeline import end_with_parent
from services.logs import log_as_json

__all__ = ["Nextbest"]


class _Opened:
    """The door of this worker process; the routes exist before it does."""

    door: Door | None = None

    @classmethod
    def get(cls) -> Door:
        assert cls.door is not None
        return cls.door


@bentoml.asgi_app(build_app(_Opened.get), path="/")
@bentoml.service(
    name="nextbest",
    workers=int(os.environ.get(WORKERS_VARIABLE, "2")),
    traffic={"timeout": 30},
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
)
class Nextbest:
    """Instantiated once in every worker."""

    def __init__(self) -> None:
        log_as_json()
        end_with_parent(int(os.environ[SUPERVISOR_VARIABLE]))
        _Opened.door = self._door = Door(Workspace.from_environment())

    def __is_ready__(self) -> bool:
        return self._door.is_ready

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]
    def close(self) -> None:
        self._door.close()
