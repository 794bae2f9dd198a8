"""What the ranking benchmark leaves behind: a JSON with intervals, a table and a picture."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from benchmarks.ranking.kept import fingerprint, keep, kept
from benchmarks.ranking.measuring import Measured
from benchmarks.ranking.platform import NEXTBEST
from benchmarks.ranking.protocol import KINDS, METRICS
from benchmarks.ranking.report import draw, figures, show, write, write_page


def measured(system: str, level: float) -> Measured:
    values = level + np.tile([-0.1, 0.1], 50)  # the same people are hard for everyone
    judged = {kind: dict.fromkeys(METRICS, values) for kind in KINDS}
    return Measured(system, {kind: {"factors": 64} for kind in KINDS}, judged, 1.0, 2.0, 300.0)


@pytest.fixture
def report() -> dict[str, Any]:
    return figures([measured("ALS", 0.3), measured(NEXTBEST, 0.4)], "a shop", 7, ["2024-01-01"])


def test_intervals_hold_the_mean_and_differences_are_paired(report: dict[str, Any], tmp_path: Path) -> None:
    write(report, tmp_path / "out" / "ranking.json")
    als, ours = json.loads((tmp_path / "out" / "ranking.json").read_text())["systems"]
    assert als["judged"] == {"repeat": 100, "novel": 100}
    found = als["repeat"]["R@20"]
    assert found["low"] < found["mean"] < found["high"]
    assert found["mean"] == pytest.approx(0.3)
    ahead = als["nextbest_ahead"]["novel"]["MRR@20"]  # person by person always .1: nothing is left to chance
    assert [ahead["low"], ahead["mean"], ahead["high"]] == pytest.approx([0.4 - 0.3] * 3)
    assert "nextbest_ahead" not in ours


def test_the_table_puts_the_best_first(report: dict[str, Any]) -> None:
    told = io.StringIO()
    show(report, Console(file=told, width=140))
    assert told.getvalue().index(NEXTBEST) < told.getvalue().index("ALS")


def test_the_page_tells_half_the_width_of_an_interval(report: dict[str, Any], tmp_path: Path) -> None:
    write_page(report, tmp_path / "ranking.md")
    _, _, best, second = (tmp_path / "ranking.md").read_text().splitlines()
    half = (report["systems"][1]["repeat"]["R@20"]["high"] - report["systems"][1]["repeat"]["R@20"]["low"]) / 2
    assert best.startswith(f"| **{NEXTBEST}** | .4000 ± {half:.4f}".replace("± 0", "± "))
    assert second.startswith("| ALS | .3000 ± ")


def test_the_picture_is_drawn(report: dict[str, Any], tmp_path: Path) -> None:
    draw(report, tmp_path / "ranking.png")
    assert (tmp_path / "ranking.png").read_bytes().startswith(b"\x89PNG")


def test_a_peer_is_taken_as_it_was_until_something_it_follows_from_changes(tmp_path: Path) -> None:
    (tmp_path / "data.parquet").write_bytes(b"one")
    made_from, path = fingerprint(tmp_path), tmp_path / "peers" / "ALS.json"
    assert kept(path, made_from) is None
    found = measured("ALS", 0.3)
    keep(found, path, made_from)
    again = kept(path, made_from)
    assert again is not None
    assert again.as_json() == found.as_json()
    assert again.values["novel"]["R@20"].tolist() == found.values["novel"]["R@20"].tolist()
    (tmp_path / "data.parquet").write_bytes(b"two")
    assert kept(path, fingerprint(tmp_path)) is None
