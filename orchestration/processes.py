"""Programs started beside us and ended for certain, with everything they started. What they do is not known here."""

from __future__ import annotations

import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from recommender.errors import NotReadyError

__all__ = ["OwnedProcess", "free_port"]


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class OwnedProcess:
    """A child in a session of its own, its output in a log file.

    `dagster dev` started in the background ignored SIGINT and outlived SIGTERM, so ending means:
    ask the whole tree, wait, then kill whatever of it is left.
    """

    def __init__(self, command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        self.log = log
        with log.open("ab") as output:
            self._child = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._child.pid

    def wait(self) -> int:
        return self._child.wait()

    def wait_until_ready(self, url: str, timeout_seconds: float = 120) -> None:
        """Return when `url` answers 200; a child that ended, or never answers, is told with its last words."""
        deadline = time.monotonic() + timeout_seconds
        while time.monotonic() < deadline:
            if self._child.poll() is not None:
                break
            try:
                with urllib.request.urlopen(url, timeout=2) as answer:
                    if answer.status == 200:
                        return
            except (urllib.error.URLError, OSError):
                time.sleep(0.2)
        state = "did not answer" if self._child.poll() is None else f"ended with code {self._child.poll()}"
        raise NotReadyError(
            f"{url} {state}; its log ends: {self.log.read_text(errors='replace')[-600:].strip()}",
            f"an answer within {timeout_seconds:.0f} s.",
            f"read {self.log}.",
        )

    def stop(self, patience_seconds: float = 10) -> None:
        """End the child and all its descendants; nothing that it started is left running."""
        try:
            root = psutil.Process(self._child.pid)
            tree = [*root.children(recursive=True), root]
        except psutil.NoSuchProcess:
            tree = []
        for process in tree:
            _quietly(process.terminate)
        _, alive = psutil.wait_procs(tree, timeout=patience_seconds)
        for process in alive:
            _quietly(process.kill)
        psutil.wait_procs(alive, timeout=5)
        self._child.wait()


def _quietly(action: object) -> None:
    try:
        action()  # type: ignore[operator]
    except psutil.NoSuchProcess:
        return
