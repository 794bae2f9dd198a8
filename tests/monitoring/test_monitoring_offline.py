"""The eye works without a network and never tries to reach one; the kernel counts."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from quiet_network import run_without_network

PROJECT = Path(__file__).resolve().parents[2]

WATCHING = """
import numpy as np, pandas as pd, pyarrow as pa
from pathlib import Path
from monitoring.drift import DriftConfig, drift_report
from monitoring.performance import live_performance
from monitoring.performance_figure import performance_figure
from monitoring.retraining import Evidence, RetrainLedger, update_ledger
from monitoring.slack import Slack
from monitoring.slack_messages import drift_found
from monitoring.validation import validate
from orchestration.slack_receiver import SlackReceiver
from recommender.events import DECISION_SCHEMA, EVENT_SCHEMA

rng = np.random.default_rng(1)
frame = pd.DataFrame({"a": rng.normal(size=2000), "b": rng.choice(["x", "y"], 2000)})
shifted = frame.assign(a=frame["a"] + 1.0)
drift = drift_report(frame, shifted, Path("drift"), DriftConfig(permutations=199))
assert drift.is_drifted and Path("drift/drift.html").stat().st_size > 1_000_000
live = live_performance(DECISION_SCHEMA.empty_table(), EVENT_SCHEMA.empty_table(), 0)
performance_figure(live)
update_ledger(Path("ledger.json"), lambda ledger: ledger.note(Evidence("m1", 0, "w1", 1, drift)))
with SlackReceiver() as slack:
    assert Slack(slack.url, Path("outbox.jsonl")).send(drift_found(drift, "m1", "r1", "page")).delivered
print("watched")
"""

LEAVING = {
    "a connection": "import socket; socket.create_connection(('192.0.2.1', 80), 2)",
    "a datagram": "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.1', 53))",
    "a name": "import socket; socket.getaddrinfo('telemetry.example.com', 443)",
}


@pytest.mark.slow
def test_watching_never_tries_to_leave(tmp_path: Path) -> None:
    run = run_without_network([sys.executable, "-c", WATCHING], tmp_path, PYTHONPATH=str(PROJECT))
    assert run.code == 0, run.output
    assert "watched" in run.output
    assert run.attempts == {}


@pytest.mark.slow
@pytest.mark.parametrize("kind", LEAVING)
def test_the_kernel_would_have_seen_it(tmp_path: Path, kind: str) -> None:
    """Even when the program itself hides the failure."""
    program = f"try:\n    {LEAVING[kind]}\nexcept OSError:\n    pass"
    run = run_without_network([sys.executable, "-c", program], tmp_path)
    assert run.code == 0, run.output
    assert sum(run.attempts.values()) > 0
