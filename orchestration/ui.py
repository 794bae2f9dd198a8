"""The Dagster UI with its daemon (schedules, sensors), in the foreground for `nextbest dev` or owned by the demo."""

from __future__ import annotations

import sys
from pathlib import Path

from orchestration.instance import open_instance
from orchestration.processes import OwnedProcess
from orchestration.progress import console
from orchestration.resources import Ring
from recommender.workspace import Workspace
from services.server import require_free_port

__all__ = ["serve_ui", "start_ui"]

# The web server has no authentication of its own.
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def start_ui(workspace: Workspace, host: str, port: int) -> OwnedProcess:
    """Start `dagster dev` on the workspace's definitions; ready when `/server_info` answers."""
    require_free_port(host, port)
    with open_instance(workspace):
        pass
    command = [
        str(Path(sys.executable).with_name("dagster")),
        *("dev", "--module-name", "orchestration.definitions", "--host", host, "--port", str(port)),
        *("--log-level", "warning"),
    ]
    environment = {**Ring(home=str(workspace.root)).environment(), "DAGSTER_HOME": str(workspace.dagster_home)}
    return OwnedProcess(command, workspace.logs / "dagster.log", environment)


def serve_ui(workspace: Workspace, host: str, port: int) -> int:
    """`nextbest dev`: the UI until Ctrl-C."""
    if host not in LOOPBACK:
        console.print(f"[yellow]Dagster's UI has no login: {host} shows it to everyone who reaches it.[/]")
    process = start_ui(workspace, host, port)
    try:
        process.wait_until_ready(f"http://{host}:{port}/server_info", 180)
        console.print(f"Dagster UI with the lineage of the whole ring: [bold]http://{host}:{port}/asset-groups[/]")
        return process.wait()
    except KeyboardInterrupt:
        return 0
    finally:
        process.stop()
