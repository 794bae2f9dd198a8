"""Tables of shapes that nothing was made for: the same command runs on them and is no worse than popularity; where it
cannot, it says so in a sentence. The whole set is in benchmarks/shapes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmarks.shapes.judging import METRICS, beside_popularity
from benchmarks.shapes.shapes import SHAPES
from benchmarks.shapes.tables import TableSet

pytestmark = pytest.mark.slow
Command = Callable[..., Any]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One workspace for all: tables of another shop at the same cut must not be compared with the last ones."""
    return tmp_path_factory.mktemp("unseen") / "home"


def backtest(nextbest: Command, home: Path, tables: TableSet, folder: Path, *more: str) -> Any:
    tables.land(folder)
    words = ("--source", "tables", "--path", str(folder), "--cut", tables.cut, "--out", str(folder / "lists.parquet"))
    return nextbest(home, "backtest", *words, *more)


@pytest.mark.parametrize(("shape", "share"), [("news", 0.5), ("untidy", 0.4)])
def test_unseen_tables_get_lists_above_popularity(
    nextbest: Command, home: Path, tmp_path: Path, shape: str, share: float
) -> None:
    tables = SHAPES[shape](np.random.default_rng(1), share)
    done = backtest(nextbest, home, tables, tmp_path / shape)
    assert done.code == 0, done.err
    found = beside_popularity(tables, pd.read_parquet(tmp_path / shape / "lists.parquet"), "repeat")
    assert found["judged"] >= 100
    assert (found["unseen"] > 0.8) == (shape == "news")
    for metric in METRICS:
        assert found[metric]["nextbest"]["mean"] >= found[metric]["popularity"]["mean"], (metric, found)


def test_people_who_never_come_back_are_answered_with_a_sentence(nextbest: Command, home: Path, tmp_path: Path) -> None:
    tiny = SHAPES["tiny"](np.random.default_rng(1), 1.0)
    strangers = tiny.events.assign(user_id=np.arange(len(tiny.events)))
    told = TableSet("strangers", strangers, None, None, tiny.is_chosen, tiny.cut)
    done = backtest(nextbest, home, told, tmp_path / "strangers")
    assert done.code == 1
    for part in ("Found: ", "Expected: ", "What to do: ", "users who came back"):
        assert part in done.err
    assert "Traceback" not in done.err
