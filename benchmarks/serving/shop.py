"""The shop that is served: simulated, put through the whole ring by the `nextbest` command, kept for the next run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq

from recommender.model.bundle import Bundle, load_bundle
from recommender.states import ItemTable
from recommender.workspace import HOME_VARIABLE, Workspace
from services.model_store import bundle_folder

__all__ = ["Shop", "ShopConfig", "shop_in"]


@dataclass(frozen=True)
class ShopConfig:
    """Size of the shop; with 2,000 items retrieval proposes about 250 candidates and 500 can be given."""

    users: int = 1_000
    items: int = 2_000
    days: int = 42
    seed: int = 11


@dataclass(frozen=True)
class Shop:
    """A workspace with a champion, and whom and what one can ask it about."""

    workspace: Workspace
    user_ids: tuple[str, ...]  # those with a stored state
    item_ids: tuple[str, ...]  # those that may be shown

    def bundle(self) -> Bundle:
        """The champion, loaded into this process."""
        return load_bundle(bundle_folder(self.workspace, "champion"))


def shop_in(folder: Path, config: ShopConfig | None = None) -> Shop:
    """The shop of this size under `folder`; made first where it is not there (two minutes on two cores)."""
    config = config or ShopConfig()
    home, tables, done = folder / "home", folder / "tables", folder / "shop.json"
    if not done.exists() or json.loads(done.read_bytes()) != asdict(config):
        done.unlink(missing_ok=True)
        sizes = [word for name, value in asdict(config).items() for word in (f"--{name}", str(value))]
        _nextbest(home, "simulate", *sizes, "--out", str(tables))
        _nextbest(home, "run", "--source", "tables", "--path", str(tables))
        done.write_text(json.dumps(asdict(config)))
    workspace = Workspace(home.absolute())
    users = pq.read_table(workspace.mart("user_states"), columns=["user_id", "as_of"])
    latest = users.filter(pc.equal(users["as_of"], pc.max(users["as_of"])))
    items = ItemTable.from_table(pq.read_table(bundle_folder(workspace, "champion") / "items.parquet")).table
    available = items.filter(pc.equal(items["is_available"], 1))["item_id"]
    return Shop(workspace, tuple(latest["user_id"].to_pylist()), tuple(available.to_pylist()))


def _nextbest(home: Path, *words: str) -> None:
    command = [str(Path(sys.executable).with_name("nextbest")), *words]
    home.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(command, env={**os.environ, HOME_VARIABLE: str(home)}, stdout=sys.stderr, check=True)
