"""`nextbest placements`: what the file makes of the placements, and what of it the catalogue does not have."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from orchestration.cli import main
from recommender.decision.placements import PLACEMENTS
from recommender.states import ITEM_STATE_SCHEMA
from recommender.workspace import HOME_VARIABLE, Workspace

FILE = """
placements:
  home:
    filter: {colour: red}
    boosts: [{when: {any: [{size: 5}, {brand: acme}]}, multiply: 2}]
    pins: [{item: there, position: 1}, {item: gone, position: 2}]
experiments:
  pinned: {placement: home, arms: {as_is: {share: 0.5}, other: {share: 0.5, pins: [{item: lost, position: 1}]}}}
"""


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    return Workspace(tmp_path)


def catalogue(workspace: Workspace) -> None:
    """Two cuts; of the older one's items only `there` is left, and its colours are another column now."""
    rows: list[dict[str, Any]] = [
        {"item_id": "gone", "as_of": 1, "attributes": '{"size": 5}'},
        {"item_id": "there", "as_of": 1, "attributes": '{"size": 5}'},
        {"item_id": "there", "as_of": 2, "attributes": '{"colour": "red"}'},
    ]
    workspace.marts.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=ITEM_STATE_SCHEMA), workspace.mart("item_states"))


def test_without_a_file_the_shipped_placements_are_sound(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["placements", "check", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["placements"] == list(PLACEMENTS)
    assert (report["compared with"], report["warnings"]) == ("no catalogue yet", [])


def test_what_the_newest_catalogue_lacks_is_a_warning(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    workspace.configuration.write_text(FILE)
    catalogue(workspace)
    assert main(["placements", "check", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["warnings"] == [
        "home: its boost asks for size, which no item of the catalogue has.",
        "home: the pinned item gone is not in the catalogue.",
        "home: the pinned item lost is not in the catalogue.",
    ]


def test_a_broken_file_is_told_in_a_sentence(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    workspace.configuration.write_text(FILE.replace("pins", "pin"))
    assert main(["placements", "check"]) == 1
    assert "line 6, key placements.home.pin: the unknown key 'pin'" in capsys.readouterr().err


def test_what_holds_is_listed(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    workspace.configuration.write_text(FILE)
    assert main(["placements", "list", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["placements"]["home"]["filter"] == "colour red"
    assert told["objective"] == "conversion"
    assert main(["placements", "list"]) == 0
    assert "filter: colour red" in capsys.readouterr().out
