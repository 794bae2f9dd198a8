"""The process that BentoML's supervisor runs in; started by `services.server`, which has checked everything."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from services.lifeline import end_with_parent
from services.logs import log_as_json

__all__ = ["SERVICE", "SUPERVISOR_VARIABLE", "WORKERS_VARIABLE", "main"]

SERVICE = "services.service:Nextbest"

SUPERVISOR_VARIABLE = "NEXTBEST_SUPERVISOR"  # pid of this process, for its workers
WORKERS_VARIABLE = "NEXTBEST_WORKERS"


def main(host: str, port: int, parent: int, service: str = SERVICE) -> None:
    """Serve `service` (module:class) until a signal ends it, or `parent` is gone. Blocks."""
    end_with_parent(parent)
    os.environ[SUPERVISOR_VARIABLE] = str(os.getpid())
    from _bentoml_impl.server import serve_http  # type: ignore[import-untyped]

    from services.service import Nextbest

    log_as_json()
    Nextbest.inject_config()  # type: ignore[attr-defined]  # the workers' number and the rest, as the class declares them
    serve_http(
        service,
        working_dir=str(Path(__file__).resolve().parent.parent),
        host=host,
        port=port,
        timeout_graceful_shutdown=5,
    )


if __name__ == "__main__":
    main("127.0.0.1" if sys.argv[1] == "localhost" else sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
