"""Commands run where only loopback exists, with the kernel counting what tried to leave. No command is known here.

A network namespace has its own counters, and nothing in a process can hide from them: every packet, connection or
name look-up that finds no route adds to `OutNoRoutes`; a look-up sent to a resolver on loopback, where none
listens, adds to `NoPorts`.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

__all__ = ["QuietRun", "run_without_network"]

# Switches by which a person turns telemetry off: taken away, because the product itself must do it.
_SWITCHES = (
    "BENTOML_DO_NOT_TRACK",
    "DAGSTER_DISABLE_TELEMETRY",
    "DBT_SEND_ANONYMOUS_USAGE_STATS",
    "DO_NOT_TRACK",
    "FEAST_USAGE",
    "GX_ANALYTICS_ENABLED",
)
_COUNTERS = ("Ip.OutNoRoutes", "Ip6OutNoRoutes", "Udp.NoPorts", "Udp6NoPorts")


@dataclass(frozen=True)
class QuietRun:
    """How the command ended, and by which counter it tried to leave how often (only those above zero)."""

    code: int
    output: str
    attempts: dict[str, int]


def run_without_network(command: list[str], cwd: Path, timeout: float = 280, **environment: str) -> QuietRun:
    """Run a command in a namespace of its own; skips the test, saying so, where the machine forbids namespaces."""
    clean = {name: value for name, value in os.environ.items() if name not in _SWITCHES} | environment
    report = cwd / "quiet_network.json"
    report.unlink(missing_ok=True)
    inside = [*_namespace(), sys.executable, __file__, str(report), *command]
    done = subprocess.run(inside, env=clean, cwd=cwd, capture_output=True, text=True, timeout=timeout, check=False)
    assert report.exists(), done.stdout + done.stderr
    return QuietRun(done.returncode, done.stdout + done.stderr, json.loads(report.read_text()))


def _namespace() -> list[str]:
    """The way into a network namespace that this machine permits."""
    if shutil.which("unshare"):
        for way in (["unshare", "--net"], ["unshare", "--map-root-user", "--net"]):
            if subprocess.run([*way, "true"], capture_output=True, check=False).returncode == 0:
                return way
    pytest.skip("NOT TESTED: this machine permits no network namespace, so nobody watched for outbound attempts")


def _open_loopback() -> None:
    """`ip link set lo up` without the ip command: SIOCSIFFLAGS with IFF_UP and IFF_RUNNING."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        fcntl.ioctl(handle, 0x8914, struct.pack("16sh", b"lo", 0x1 | 0x40))


def _counters() -> dict[str, int]:
    """The kernel's counters of this namespace."""
    lines = Path("/proc/net/snmp").read_text().splitlines()
    found = {}
    for names, values in zip(lines[::2], lines[1::2], strict=True):
        family = names.split(":")[0]
        pairs = zip(names.split()[1:], values.split()[1:], strict=True)
        found.update({f"{family}.{name}": int(value) for name, value in pairs})
    if Path("/proc/net/snmp6").exists():
        rows = (line.split() for line in Path("/proc/net/snmp6").read_text().splitlines())
        found.update({name: int(value) for name, value in rows})
    return {name: found.get(name, 0) for name in _COUNTERS}


def _inside(report: Path, command: list[str]) -> int:
    _open_loopback()
    before = _counters()
    code = subprocess.run(command, check=False).returncode
    attempts = {name: count - before[name] for name, count in _counters().items() if count > before[name]}
    report.write_text(json.dumps(attempts))
    return code


if __name__ == "__main__":
    sys.exit(_inside(Path(sys.argv[1]), sys.argv[2:]))
