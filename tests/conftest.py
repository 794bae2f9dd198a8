"""What the tests of all rooms share: where the real data are, and one ring that was really turned."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from _pytest.nodeid import coerce_node_id

from recommender.workspace import Workspace

if TYPE_CHECKING:  # the shop brings XGBoost and dbt: only the tests that are served by it pay for them
    from guarded_shop import Guarded
    from served_shop import LandedShop, Serve, ServedShop

    from recommender.model.bundle import Bundle
    from recommender.states import UserStates

PROJECT = Path(__file__).resolve().parent.parent
SHARED_DATA = PROJECT.parent / "shared" / "data"


@dataclass(frozen=True)
class CommandResult:
    """What a `nextbest` command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def run_command(home: Path, *words: str, timeout: float = 280, **environment: str) -> CommandResult:
    """Run the installed `nextbest` command as a person would, on a workspace of its own."""
    done = subprocess.run(
        [str(Path(sys.executable).with_name("nextbest")), *words],
        env={**os.environ, "NEXTBEST_HOME": str(home), **environment},
        cwd=home.parent,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    return CommandResult(done.returncode, done.stdout, done.stderr)


# Session fixtures that take long to make, the longest first: whoever uses one runs in the worker that makes it.
COSTLY = ("turned_ring", "shop_tables", "landed_shop")


@pytest.hookimpl(tryfirst=True)  # pytest-xdist reads the groups in the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the users of a costly fixture, and otherwise of a room, together; begin with what takes longest."""

    def group(item: pytest.Item) -> str:
        used = getattr(item, "fixturenames", ())
        return next((name for name in COSTLY if name in used), item.path.parent.name)

    order = {name: place for place, name in enumerate((*COSTLY, "data"))}
    items.sort(key=lambda item: order.get(group(item), len(order)))
    for item in items:
        item.add_marker(pytest.mark.xdist_group(group(item)))
        if hasattr(item.config, "workerinput"):
            # pytest-xdist 3.8 tells groups by writing `_nodeid`, which pytest 9.2 does not read any more: without this
            # line both workers made every costly fixture, the ring's for 170 s.
            item._id = coerce_node_id(f"{item.nodeid}@{group(item)}")


@pytest.fixture(scope="session")
def nextbest() -> Callable[..., CommandResult]:
    return run_command


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data; tests that need it skip where it is absent (a user's clone)."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"real data are not on this machine ({SHARED_DATA.name} folder beside the project)")
    return SHARED_DATA


@pytest.fixture(scope="session")
def shop_tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Canonical tables of a small simulated shop, as `nextbest simulate` writes them."""
    folder = tmp_path_factory.mktemp("shop") / "tables"
    size = ("--users", "500", "--items", "150", "--days", "42", "--seed", "11")
    done = run_command(folder.parent / "home", "simulate", *size, "--out", str(folder))
    assert done.code == 0, done.err
    return folder


@dataclass(frozen=True)
class TurnedRing:
    """A workspace after `nextbest run`, and the JSON that the command printed."""

    workspace: Workspace
    report: dict[str, Any]


@pytest.fixture(scope="session")
def turned_ring(tmp_path_factory: pytest.TempPathFactory, shop_tables: Path) -> TurnedRing:
    """The ring turned once on the small shop. Shared: tests that write take `own_ring` instead."""
    home = tmp_path_factory.mktemp("ring") / "home"
    done = run_command(home, "run", "--source", "tables", "--path", str(shop_tables), "--json")
    assert done.code == 0, done.err + done.out
    return TurnedRing(Workspace(home), done.json)


@pytest.fixture
def own_ring(turned_ring: TurnedRing, tmp_path: Path) -> TurnedRing:
    """A private copy of the turned ring."""
    home = tmp_path / "home"
    shutil.copytree(turned_ring.workspace.root, home, symlinks=True)
    return TurnedRing(Workspace(home), turned_ring.report)


@pytest.fixture(scope="session")
def landed_shop(tmp_path_factory: pytest.TempPathFactory) -> LandedShop:
    """A workspace with marts, an online store and a champion. Shared: tests that write take `own_shop` instead."""
    from served_shop import land_shop

    return land_shop(tmp_path_factory.mktemp("landed"))


@pytest.fixture(scope="session")
def shop_bundle(landed_shop: LandedShop) -> Bundle:
    """The champion, loaded."""
    from recommender.model.bundle import load_bundle

    return load_bundle(landed_shop.bundle)


@pytest.fixture(scope="session")
def shop_users(landed_shop: LandedShop) -> UserStates:
    """Everybody's state at the last cut."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    from recommender.states import UserStates

    states = pq.read_table(landed_shop.workspace.mart("user_states"))
    return UserStates.from_table(states.filter(pc.equal(states["as_of"], pc.max(states["as_of"]))))


@pytest.fixture
def own_shop(landed_shop: LandedShop, tmp_path: Path) -> LandedShop:
    """A private copy for tests that change something; without the online store, whose opening takes seconds."""
    from served_shop import copy_shop

    return copy_shop(landed_shop, tmp_path / "home", with_store=False)


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serves a shop of the test's own; ended afterwards with everything it started."""
    from served_shop import serving

    yield from serving()


@pytest.fixture(scope="session")
def served(landed_shop: LandedShop) -> Iterator[ServedShop]:
    """One server for all tests that only ask and tell. Patient: whether it is quick is another test's subject."""
    from served_shop import serving

    landed_shop.workspace.configuration.write_text("service: {longest_wait_seconds: 30, deadline_seconds: 10}\n")
    servers = serving()
    yield next(servers)(landed_shop)
    next(servers, None)


@pytest.fixture(scope="session")
def guarded(landed_shop: LandedShop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """One server whose door has keys, for all tests that try the door."""
    from guarded_shop import guard

    yield from guard(landed_shop, tmp_path_factory.mktemp("guarded") / "home")
