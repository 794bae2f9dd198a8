"""Everything is a function of the cut: what happens after it, and how often it is computed, changes no byte."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from quiet_network import run_without_network

from recommender.workspace import Workspace

pytestmark = [pytest.mark.slow, pytest.mark.timeout(420)]

MARTS = ("events", "items", "users", "feature_cuts", "user_states", "item_states", "item_pairs", "item_segments")


def mart_hashes(workspace: Workspace) -> dict[str, str]:
    return {name: hashlib.sha256(workspace.mart(name).read_bytes()).hexdigest() for name in MARTS}


@dataclass(frozen=True)
class Backtest:
    lists: bytes
    bundle: str
    marts: dict[str, str]


def backtest(nextbest: Callable[..., Any], root: Path, tables: Path, cut: str) -> Backtest:
    out = root / "lists.parquet"
    words = ("backtest", "--source", "tables", "--path", str(tables), "--cut", cut, "--out", str(out), "--json")
    done = nextbest(root / "home", *words)
    assert done.code == 0, done.err
    (workspace,) = (root / "home" / "backtests").iterdir()
    return Backtest(out.read_bytes(), done.json["cuts"][0]["bundle"], mart_hashes(Workspace(workspace)))


def test_deleting_every_row_after_the_cut_changes_no_byte(
    nextbest: Callable[..., Any], shop_tables: Path, tmp_path: Path
) -> None:
    events = pq.read_table(shop_tables / "events.parquet")
    last = pc.max(events["occurred_at"]).as_py()
    cut = datetime(last.year, last.month, last.day) - timedelta(days=7)
    moment = pa.scalar(cut, pa.timestamp("ms")).cast(events["occurred_at"].type)
    past = events.filter(pc.less(events["occurred_at"], moment))
    assert 0 < past.num_rows < events.num_rows
    shorter = tmp_path / "shorter"
    shorter.mkdir()
    pq.write_table(past, shorter / "events.parquet")
    for name in ("items.parquet", "users.parquet"):
        (shorter / name).write_bytes((shop_tables / name).read_bytes())
    for name in ("whole", "cut"):
        (tmp_path / name).mkdir()
    whole = backtest(nextbest, tmp_path / "whole", shop_tables, cut.isoformat())
    without = backtest(nextbest, tmp_path / "cut", shorter, cut.isoformat())
    assert whole.lists == without.lists
    assert whole.marts == without.marts
    assert whole.bundle == without.bundle


def test_a_rebuild_without_warehouse_and_without_network_gives_the_same_marts_and_the_same_bundle(
    own_ring: Any, tmp_path: Path
) -> None:
    """The warehouse file is a cache, randomness is an argument, and nothing phones home."""
    workspace = own_ring.workspace
    before = mart_hashes(workspace)
    for path in (workspace.warehouse, *workspace.marts.glob("*.parquet")):
        path.unlink()
    command = [str(Path(sys.executable).with_name("nextbest")), "run", "--json"]
    done = run_without_network(command, tmp_path, NEXTBEST_HOME=str(workspace.root))
    assert done.code == 0, done.output
    assert done.attempts == {}
    assert mart_hashes(workspace) == before
    assert own_ring.report["challenger"]["version"] in done.output
