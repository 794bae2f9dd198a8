"""One small simulated shop, landed by dbt, with a fitted champion, and its server; the fixtures stand in conftest."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pyarrow.compute as pc
import pyarrow.parquet as pq

from feature_repo.offline import materialise_users
from recommender.cuts import CutInputs
from recommender.events import DAY_MS, EVENT_STRENGTHS, RATINGS
from recommender.model.bundle import BundleFacts, build_bundle
from recommender.model.past_slates import retrospective_slates
from recommender.model.ranker import RankerConfig, fit_ranker
from recommender.model.scorer import RankingModel
from recommender.retrieval.retriever import fit_retriever
from recommender.simulation import SimulationConfig, simulate, write_tables
from recommender.states import HISTORY_LENGTH, PURCHASE_DAYS_LENGTH, RECENT_LENGTH, ItemTable, UserStates
from recommender.workspace import Workspace
from services.journal import export_journal
from services.model_store import publish, set_alias
from services.server import ServerHandle, start_background
from services.verdicts import try_bundle

PROJECT = Path(__file__).resolve().parents[1]
SHOP = SimulationConfig(users=200, items=80, days=28)


@dataclass(frozen=True)
class LandedShop:
    """A workspace with marts, an online store and a champion, and a second bundle that differs in name alone."""

    workspace: Workspace
    champion: str
    bundle: Path
    other_bundle: Path
    as_of_ms: int
    user_ids: tuple[str, ...]
    item_ids: tuple[str, ...]  # available ones


def land_shop(root: Path) -> LandedShop:
    """Simulate, land, build, materialise, fit and publish below `root` (about 20 s)."""
    workspace = Workspace(root / "home")
    write_tables(simulate(SHOP, seed=5), root / "tables")
    export_journal(workspace)
    build_marts(workspace, root / "tables")
    cuts = _cuts(workspace)
    serving = cuts[-1]
    materialise_users(workspace, serving.as_of_ms)
    _set_clock(workspace, serving.as_of_ms)
    slates = retrospective_slates(cuts[:-1], pq.read_table(workspace.mart("events")))
    ranker = fit_ranker(slates, RankerConfig(rounds=20))
    model = RankingModel(ranker, fit_retriever(serving))
    facts = BundleFacts(serving.as_of_ms)
    bundle, other = workspace.models / "first", workspace.models / "second"
    build_bundle(bundle, model, serving.users, facts)
    build_bundle(other, model, serving.users, replace(facts, commit="another"))
    champion = publish(workspace, bundle)
    set_alias(workspace, "champion", champion)
    try_bundle(workspace, champion)  # once here, and not again in every copy
    items = tuple(serving.items.table.filter(pc.equal(serving.items.table["is_available"], 1))["item_id"].to_pylist())
    return LandedShop(workspace, champion, bundle, other, serving.as_of_ms, tuple(serving.users.user_ids), items)


def copy_shop(landed_shop: LandedShop, root: Path, *, with_store: bool) -> LandedShop:
    """A private copy below `root`. Without the online store unless it is asked for: opening one takes seconds."""
    workspace = Workspace(root)
    made_anew = ("journal", "warehouse", "dbt", "marts", "workers", workspace.configuration.name)
    left_out = made_anew if with_store else (*made_anew, "features")
    shutil.copytree(landed_shop.workspace.root, workspace.root, ignore=shutil.ignore_patterns(*left_out))
    first, second = workspace.models / "first", workspace.models / "second"
    return replace(landed_shop, workspace=workspace, bundle=first, other_bundle=second)


@dataclass(frozen=True)
class ServedShop:
    """The landed shop behind a running server."""

    shop: LandedShop
    server: ServerHandle
    http: httpx.Client

    def post(self, route: str, body: Any, **headers: str) -> httpx.Response:
        return self.http.post(f"/v1/{route}", json=body, headers=headers)


Serve = Callable[..., ServedShop]  # (shop, workers=2)


def serving() -> Iterator[Serve]:
    """Serves shops until it is closed, then ends everything that it started."""
    handles: list[ServedShop] = []

    def serve(shop: LandedShop, workers: int = 2) -> ServedShop:
        server = start_background(shop.workspace, free_port(), workers=workers)
        server.wait_ready()
        handles.append(ServedShop(shop, server, httpx.Client(base_url=server.url, timeout=20)))
        return handles[-1]

    yield serve
    for served in handles:
        served.http.close()
        served.server.stop()


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def build_marts(workspace: Workspace, tables: Path) -> None:
    variables = {
        "source": "tables",
        "source_path": str(tables),
        "until": "",
        "as_of": "",
        "cut_count": 2,
        "cut_interval_days": 7,
        "history_length": HISTORY_LENGTH,
        "recent_length": RECENT_LENGTH,
        "purchase_days_length": PURCHASE_DAYS_LENGTH,
        "event_strengths": EVENT_STRENGTHS,
        "ratings": RATINGS,
    }
    places = {
        "NEXTBEST_WAREHOUSE": workspace.warehouse,
        "NEXTBEST_MARTS": workspace.marts,
        "NEXTBEST_JOURNAL": workspace.journal_events.parent,
        "DBT_TARGET_PATH": workspace.dbt_target,
        "DBT_LOG_PATH": workspace.dbt_target,
        "DBT_PROFILES_DIR": PROJECT / "dbt_project",
    }
    for folder in (workspace.warehouse.parent, workspace.marts, workspace.dbt_target):
        folder.mkdir(parents=True)
    command = [str(Path(sys.executable).with_name("dbt")), "run", "--quiet", "--vars", json.dumps(variables)]
    environment = {**os.environ, **{name: str(place) for name, place in places.items()}}
    done = subprocess.run(
        command, cwd=PROJECT / "dbt_project", env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _cuts(workspace: Workspace) -> list[CutInputs]:
    tables = {name: pq.read_table(workspace.mart(name)) for name in ("user_states", "item_states", "item_pairs")}
    moments = pc.unique(tables["user_states"]["as_of"]).sort()
    found = []
    for moment in moments:
        users, items, pairs = (table.filter(pc.equal(table["as_of"], moment)) for table in tables.values())
        as_of_ms = moment.cast("int64").as_py()
        found.append(CutInputs(as_of_ms, UserStates.from_table(users), ItemTable.from_table(items), pairs))
    return found


def _set_clock(workspace: Workspace, as_of_ms: int) -> None:
    """An hour after the data end, as for any archive that is served long afterwards."""
    offset = as_of_ms + DAY_MS // 24 - int(time.time() * 1000)
    workspace.settings.write_text(json.dumps({"clock": {"mode": "replay", "offset_ms": offset}}))
