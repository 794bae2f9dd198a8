"""The frame of the fault injections: a served shop of the test's own, and load beside it while something breaks.

A fault is a function of its size (`fault_size.size(short, whole)`); a test of this room is marked `faults` and
`slow` by lying here. What was measured is printed, so that `make test-faults` (pytest -s) shows the figures.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from asking import PATIENT, settle
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


@pytest.fixture(scope="session")
def broken_shop(landed_shop, tmp_path_factory):
    """A server for whatever breaks the surroundings and mends them again: on a copy of the shop, store and marts."""
    from served_shop import copy_shop, serving

    shop = copy_shop(landed_shop, tmp_path_factory.mktemp("stored") / "home", with_store=True)
    shutil.copytree(landed_shop.workspace.marts, shop.workspace.marts)
    servers = serving()
    yield next(servers)(shop)
    next(servers, None)


@pytest.fixture
def stored(broken_shop):
    """The same, with its states in SQLite and everybody let in; both workers answer in full when the test begins."""
    broken_shop.shop.workspace.configuration.write_text(PATIENT)
    settle(broken_shop)
    return broken_shop
