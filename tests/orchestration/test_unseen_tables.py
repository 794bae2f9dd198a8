"""Tables of shapes that nothing was made for: the same pipeline runs on them and is no worse than popularity; where it
cannot, it says so in a sentence. The whole set is in benchmarks/shapes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
import pytest

from benchmarks.shapes.judging import METRICS, beside_popularity
from benchmarks.shapes.shapes import SHAPES, day_of
from benchmarks.shapes.tables import TableSet
from orchestration.backtest import backtest
from recommender.errors import NextbestError
from recommender.workspace import Workspace

pytestmark = pytest.mark.slow
SHARED_CUT = day_of(35)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """One for all: tables of another shop at the same cut must not be compared with the last ones."""
    with mock.patch.dict(os.environ):  # a run tells dbt and Feast by the environment where its home is
        yield Workspace(tmp_path_factory.mktemp("unseen") / "home")


def lists_of(workspace: Workspace, tables: TableSet, folder: Path) -> pd.DataFrame:
    tables.land(folder)
    out = str(folder / "lists.parquet")
    backtest(workspace, "tables", str(folder), [tables.cut], f"{tables.horizon_days}d", 20, is_novel=False, out=out)
    return pd.read_parquet(out)


@pytest.mark.parametrize(("shape", "share"), [("news", 0.4), ("untidy", 0.4)])
def test_unseen_tables_get_lists_above_popularity(
    workspace: Workspace, tmp_path: Path, shape: str, share: float
) -> None:
    tables = replace(SHAPES[shape](np.random.default_rng(1), share), cut=SHARED_CUT)
    found = beside_popularity(tables, lists_of(workspace, tables, tmp_path / shape), "repeat")
    assert found["judged"] >= 100
    assert (found["unseen"] > 0.8) == (shape == "news")
    for metric in METRICS:
        assert found[metric]["nextbest"]["mean"] >= found[metric]["popularity"]["mean"], (metric, found)


def test_events_that_name_no_item_are_answered_with_a_sentence(workspace: Workspace, tmp_path: Path) -> None:
    tables = SHAPES["tiny"](np.random.default_rng(1), 1.0)
    nameless = replace(tables, events=tables.events.assign(item_id=None), cut=SHARED_CUT)
    with pytest.raises(NextbestError) as refused:
        lists_of(workspace, nameless, tmp_path / "nameless")
    assert "item_named_share is 0, expected at least 0.05" in str(refused.value)
    assert "Dagster" not in str(refused.value)
    assert refused.value.remedy
