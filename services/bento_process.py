"""The process that BentoML's supervisor runs in; started by `services.server`, which has checked everything."""

from __future__ import annotations

import functools
import os
import sys
from pathlib import Path

from recommender.workspace import Workspace
from services.lifeline import end_with_parent
from services.logs import log_as_json

__all__ = ["CONNECTIONS_VARIABLE", "SERVICE", "SUPERVISOR_VARIABLE", "WORKERS_VARIABLE", "main"]

SERVICE = "services.service:Nextbest"

SUPERVISOR_VARIABLE = "NEXTBEST_SUPERVISOR"  # pid of this process, for its workers
WORKERS_VARIABLE = "NEXTBEST_WORKERS"
CONNECTIONS_VARIABLE = "NEXTBEST_CONNECTIONS"  # the file through which workers tell each other how many they hold

# How often the supervisor looks for workers that are gone. BentoML looks every 10 s: with a worker killed every 10 s,
# and 5 s until a new one answers, there would be moments without any.
LOOK_SECONDS = 0.5

# How long a connection may idle: longer than clients and load balancers keep theirs (5 to 60 s), so that they are the
# ones who close. With uvicorn's 5 s, 36 of 555 events sent beside a flood met a connection that was just being closed.
IDLE_SECONDS = 75


def main(host: str, port: int, parent: int, service: str = SERVICE) -> None:
    """Serve `service` (module:class) until a signal ends it, or `parent` is gone. Blocks."""
    end_with_parent(parent)
    os.environ[SUPERVISOR_VARIABLE] = str(os.getpid())
    from _bentoml_impl.server import serve_http  # type: ignore[import-untyped]

    from services.service import Nextbest

    log_as_json()
    _look_often()
    _respawn_patiently()
    Nextbest.inject_config()  # type: ignore[attr-defined]  # the workers' number and the rest, as the class declares them
    serve_http(
        service,
        working_dir=str(Path(__file__).resolve().parent.parent),
        host=host,
        port=port,
        timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=5,
    )


def _look_often() -> None:
    """BentoML's `serve_http` hands no such setting through: give its supervisor's maker ours as the default."""
    from bentoml._internal.utils import circus  # type: ignore[import-untyped]

    circus.create_standalone_arbiter = functools.partial(circus.create_standalone_arbiter, check_delay=LOOK_SECONDS)


def _respawn_patiently() -> None:
    """BentoML takes circus's own watcher by its name when it starts."""
    from circus import watcher  # type: ignore[import-untyped]

    from services.patient_watcher import PatientWatcher
    from services.respawning import Respawning

    PatientWatcher.respawning = Respawning(Workspace.from_environment())
    watcher.Watcher = PatientWatcher


if __name__ == "__main__":
    main("127.0.0.1" if sys.argv[1] == "localhost" else sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
