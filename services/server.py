"""Starting and ending the service's processes, in the foreground or beside us. No request is answered here."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import IO

import psutil

from recommender.configuration import read_configuration
from recommender.errors import InputError, IntegrityError, NotReadyError
from recommender.workspace import HOME_VARIABLE, Workspace
from services.bento_process import CONNECTIONS_VARIABLE, WORKERS_VARIABLE
from services.keys import list_keys
from services.model_store import aliases, bundle_folder
from services.verdicts import try_bundle

__all__ = ["ServerHandle", "require_free_port", "serve", "start_background"]

PATIENCE_SECONDS = 10.0  # for requests under way, before what is left of the process group is killed


def serve(workspace: Workspace, host: str = "127.0.0.1", port: int = 3001, workers: int = 2) -> int:
    """Run the service in the foreground until it is asked to end; its exit code (0 after SIGINT or SIGTERM).

    Raises NotReadyError (port in use, no key for an open address), ConfigurationError, NoChampionError, IntegrityError
    (the champion's bytes are not what was published) before anything is started.
    """
    handle = start_background(workspace, port, host=host, workers=workers, log=None)

    def pass_on(number: int, frame: FrameType | None) -> None:
        handle.asked_to_end = True
        handle.signal(signal.SIGTERM)

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        handle.wait_ready(watch=True)
        if not handle.asked_to_end:
            print(f"nextbest answers on {handle.url}", flush=True)
        code = handle.wait()
    finally:
        handle.stop()
        for number, handler in before.items():
            signal.signal(number, handler)
    return 0 if handle.asked_to_end else code


def start_background(
    workspace: Workspace,
    port: int,
    *,
    host: str = "127.0.0.1",
    workers: int = 2,
    log: Path | str | None = "service.log",
    program: str = "services.bento_process",
) -> ServerHandle:
    """Start the service beside this process, after the same checks as `serve`; `wait_ready`, then `stop` it.

    Its output goes to the file `log` (a name means one in the workspace's logs; None: this process's output).
    `program` is the module that runs in the new process; benchmarks put a variant of the service there.
    """
    _check(workspace, host, port, workers)
    metrics_folder = tempfile.mkdtemp(prefix="nextbest-metrics-")
    environment = {
        **os.environ,
        HOME_VARIABLE: str(workspace.root),
        WORKERS_VARIABLE: str(workers),
        "BENTOML_HOME": str(workspace.bento_home),
        "PROMETHEUS_MULTIPROC_DIR": metrics_folder,
        CONNECTIONS_VARIABLE: str(Path(metrics_folder) / "connections"),
        # Scores come from one thread each (28 ms instead of 1.4 on a busy machine with several).
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    path = workspace.logs / log if isinstance(log, str) else log
    command = [sys.executable, "-m", program, host, str(port), str(os.getpid())]
    with contextlib.ExitStack() as stack:
        output: IO[bytes] | None = None
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            output = stack.enter_context(path.open("ab"))
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT if output else None,
            env=environment,
            start_new_session=True,
        )
    return ServerHandle(process, f"http://{_reachable(host)}:{port}", path, metrics_folder)


@dataclass
class ServerHandle:
    """A running service: a supervisor and its workers, ended as a whole."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path | None
    metrics_folder: str
    asked_to_end: bool = field(default=False)

    def processes(self) -> list[psutil.Process]:
        """The supervisor and its workers. Each worker is a session of its own, so a group's signal would miss them."""
        try:
            supervisor = psutil.Process(self.process.pid)
            return [supervisor, *supervisor.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def wait_ready(self, timeout_seconds: float = 60.0, watch: bool = False) -> None:
        """Return when the service is ready (or, with `watch`, when it was asked to end); NotReadyError otherwise."""
        deadline = time.monotonic() + timeout_seconds
        while time.monotonic() < deadline and self.process.poll() is None:
            if watch and self.asked_to_end:
                return
            if self.is_ready():
                return
            time.sleep(0.1)
        if watch and self.asked_to_end:
            return
        code = self.process.poll()
        self.stop()
        found = "did not become ready in time" if code is None else f"ended with code {code}"
        where = f" Its log ends: {self.log.read_text(errors='replace')[-600:].strip()}" if self.log else ""
        raise NotReadyError(
            f"the service {found}.{where}", f"an answer within {timeout_seconds:.0f} s.", "read its log."
        )

    def is_ready(self) -> bool:
        """Whether a worker answers that it has loaded the champion."""
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=2) as answer:
                return int(answer.status) == 200
        except (urllib.error.URLError, OSError):
            return False

    def wait(self) -> int:
        return self.process.wait()

    def signal(self, number: int) -> None:
        """Send a signal to the server's own process, which passes it on to its workers."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)

    def stop(self, patience_seconds: float = PATIENCE_SECONDS) -> None:
        """Let requests under way finish, then end the supervisor and every worker for certain."""
        self.asked_to_end = True
        family = self.processes()
        self.signal(signal.SIGTERM)
        psutil.wait_procs(family, timeout=patience_seconds)
        self.kill(family)
        shutil.rmtree(self.metrics_folder, ignore_errors=True)

    def kill(self, family: Sequence[psutil.Process] = ()) -> None:
        """kill -9 for all that is left, the supervisor first: it would start new workers."""
        left = list(dict.fromkeys([*self.processes(), *family]))
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait()
        psutil.wait_procs(left, timeout=5)  # until then the port is taken


def _check(workspace: Workspace, host: str, port: int, workers: int) -> None:
    if workers < 1:
        raise InputError(f"{workers} workers.", "at least 1; with 2 a crash goes unnoticed.", "pass --workers 2.")
    try:
        address = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError:
        raise InputError(f"host {host!r}.", "an IP address such as 127.0.0.1 or 0.0.0.0.", "name one.") from None
    if not address.is_loopback and not list_keys(workspace):
        raise NotReadyError(
            f"no key was ever created, and {host} can be reached from other machines.",
            "at least one key, or a loopback address.",
            "run `nextbest keys create --role admin` first.",
        )
    read_configuration(workspace.configuration)
    _require_servable(workspace)
    require_free_port(str(address), port)


def _require_servable(workspace: Workspace) -> None:
    """The champion must be whole and sound, or else the one before it, which the workers then go back to."""
    named = aliases(workspace)
    problems = []
    for alias in ("champion", "previous") if "previous" in named else ("champion",):
        try:
            bundle_folder(workspace, alias)
            verdict = try_bundle(workspace, named[alias])
        except IntegrityError as problem:
            problems.append(problem)
            continue
        if verdict.is_sound:
            return
        found = f"{alias} {verdict.version} is refused: {verdict.reason}"
        problems.append(IntegrityError(found, "a sound bundle.", "`nextbest promote VERSION`, or `nextbest run`."))
    raise problems[0]


def require_free_port(host: str, port: int) -> None:
    """Refuse a port that cannot be opened, before anything is started."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError) as problem:
            raise NotReadyError(
                f"port {port} on {host} cannot be opened ({getattr(problem, 'strerror', None) or problem}).",
                "a free port.",
                f"end what listens there, or choose another: --port {min(max(port, 0), 65_000) + 10}.",
            ) from None


def _reachable(host: str) -> str:
    """The address under which a server bound to `host` answers on this machine."""
    bare = {"0.0.0.0": "127.0.0.1", "::": "::1", "localhost": "127.0.0.1"}.get(host, host)
    return f"[{bare}]" if ":" in bare else bare
