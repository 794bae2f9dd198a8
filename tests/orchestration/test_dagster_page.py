"""The Dagster UI as a person meets it: the lineage of the whole ring, in a real browser, asking nobody outside."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import psutil
import pytest
from browser import open_browser

from orchestration.processes import free_port
from orchestration.ui import start_ui

pytestmark = pytest.mark.slow

SHOWN = ("raw_source", "events", "user_states", "training_set", "champion", "decision_service", "drift_report")


def test_the_lineage_of_the_ring_is_shown_and_everything_ends_with_its_owner(own_ring: Any) -> None:
    port = free_port()
    process = start_ui(own_ring.workspace, "127.0.0.1", port)
    try:
        base = f"http://127.0.0.1:{port}"
        process.wait_until_ready(f"{base}/server_info", 120)
        groups = ",".join(f"global@global:{name}" for name in ("data", "features", "model", "decision", "monitoring"))
        with open_browser(1800, 1400) as browser:
            # All 57 assets at once are drawn too small for names: a person filters.
            wanted = quote(" or ".join(f'key:"{name}"' for name in SHOWN))
            page = browser.open(f"{base}/asset-groups~{wanted}/?expanded={groups}")
            for name in SHOWN:
                page.get_by_text(name, exact=True).first.wait_for(state="attached", timeout=60_000)
            page.goto(f"{base}/automation")
            for name in ("daily_refresh", "retraining", "failed_run"):
                page.get_by_text(name, exact=True).first.wait_for(timeout=60_000)
            outside = [url for url in browser.requested if not url.startswith((base, "data:", "blob:"))]
        assert outside == []
        family = psutil.Process(process.pid).children(recursive=True)
        assert family
    finally:
        process.stop()
    assert not psutil.pid_exists(process.pid)
    assert [child for child in family if child.is_running() and child.status() != psutil.STATUS_ZOMBIE] == []
