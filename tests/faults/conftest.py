"""The frame of the fault injections: a served shop of the test's own, and load beside it while something breaks.

A fault is a function of its size (`fault_size.size(short, whole)`); a test of this room is marked `faults` and
`slow` by lying here. What was measured is printed, so that `make test-faults` (pytest -s) shows the figures.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from fault_size import is_whole

ROOM = Path(__file__).resolve().parent
WHOLE_SECONDS = 1_800  # a whole fault's patience, where the suite's is 300 s


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == ROOM:
            item.add_marker(pytest.mark.faults)
            item.add_marker(pytest.mark.slow)
            if is_whole():
                item.add_marker(pytest.mark.timeout(WHOLE_SECONDS))


@pytest.fixture
def stored_shop(landed_shop, tmp_path):
    """A private copy of the landed shop with its online store: for tests that break the store."""
    from served_shop import copy_shop

    return copy_shop(landed_shop, tmp_path / "home", with_store=True)
