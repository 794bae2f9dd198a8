"""`nextbest status` and `nextbest export` on a ring that was really turned."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from orchestration.status import read_status
from recommender.events import DECISION_SCHEMA, EVENT_SCHEMA

pytestmark = pytest.mark.slow


def test_status_names_the_champion_the_runs_and_what_was_not_looked_at_yet(turned_ring: Any) -> None:
    status = read_status(turned_ring.workspace)
    champion = turned_ring.report["champion"]["version"]
    assert status["models"]["champion"]["version"] == champion
    assert status["marts as of"] == turned_ring.report["as_of"]
    assert status["drift"] == {"verdict": "not looked at yet"}  # there was no champion before this run
    assert [run["status"] for run in status["runs"]] == ["SUCCESS"]


@pytest.mark.parametrize(("table", "schema"), [("events", EVENT_SCHEMA), ("decisions", DECISION_SCHEMA)])
def test_export_has_the_canonical_columns_even_before_anything_was_recorded(
    nextbest: Callable[..., Any], turned_ring: Any, tmp_path: Path, table: str, schema: Any
) -> None:
    out = tmp_path / f"{table}.parquet"
    assert nextbest(turned_ring.workspace.root, "export", table, "--out", str(out)).code == 0
    assert pq.read_schema(out).names == schema.names
