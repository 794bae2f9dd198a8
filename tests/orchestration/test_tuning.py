"""What a workspace trains for and with: the operator's objective, and parameters that a search has confirmed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from orchestration.backtest import take_configuration
from orchestration.cli import main
from orchestration.tuning import declared_objective, read_tuning, tune
from recommender.model.ranker import RankerConfig
from recommender.objectives import DEFAULT_OBJECTIVE, OBJECTIVES
from recommender.workspace import Workspace

pytestmark = pytest.mark.slow


@pytest.fixture
def space(turned_ring: Any, tmp_path: Path) -> Workspace:
    """A workspace with the training set of a turned ring, and nothing else."""
    shutil.copytree(turned_ring.workspace.training, tmp_path / "training")
    return Workspace(tmp_path)


def test_the_objective_is_the_operators_or_the_default(space: Workspace) -> None:
    assert declared_objective(space) == DEFAULT_OBJECTIVE
    space.configuration.write_text("objective: revenue\n")
    assert declared_objective(space) == OBJECTIVES["revenue"]


def test_a_search_is_written_down_whole_with_a_picture(space: Workspace, turned_ring: Any) -> None:
    until_ms = json.loads((turned_ring.workspace.models / "challenger" / "manifest.json").read_text())["as_of_ms"]
    assert read_tuning(space, DEFAULT_OBJECTIVE).config == RankerConfig()
    told: list[tuple[str, int, int]] = []
    found = tune(space, until_ms, 3, 5, lambda *news: told.append(news))
    written = json.loads((space.models / "search.json").read_text())
    assert written == {"until_ms": until_ms, "objective": DEFAULT_OBJECTIVE.as_json()} | json.loads(
        json.dumps(found.as_json())
    )
    assert (space.models / "search.png").read_bytes().startswith(b"\x89PNG")
    assert told == [("search trials", done, 3) for done in (1, 2, 3)]
    tuning = read_tuning(space, DEFAULT_OBJECTIVE)
    kept = {name: getattr(tuning.config, name) for name in found.parameters}
    assert kept == found.parameters
    assert ("trial" in tuning.origin) == found.is_accepted


def test_only_what_was_confirmed_for_this_objective_is_trained_with(space: Workspace) -> None:
    accepted = {
        "until_ms": 0,
        "objective": DEFAULT_OBJECTIVE.as_json(),
        "is_accepted": True,
        "best": 2,
        "parameters": {"max_depth": 4, "learning_rate": 0.05},
    }
    path = space.models / "search.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(accepted))
    tuning = read_tuning(space, DEFAULT_OBJECTIVE)
    assert tuning.config == RankerConfig(max_depth=4, learning_rate=0.05)
    assert tuning.as_json()["parameters"]["max_depth"] == 4
    assert "trial 2 of the search until 1970-01-01" in tuning.origin
    assert read_tuning(space, OBJECTIVES["revenue"]).config == RankerConfig()
    path.write_text(json.dumps(accepted | {"is_accepted": False}))
    assert read_tuning(space, DEFAULT_OBJECTIVE).config == RankerConfig()


def test_a_bundle_names_its_objective_and_its_parameters(turned_ring: Any) -> None:
    manifest = json.loads((turned_ring.workspace.models / "challenger" / "manifest.json").read_text())
    assert manifest["objective"] == DEFAULT_OBJECTIVE.as_json()
    assert manifest["tuning"]["origin"].startswith("defaults")
    assert manifest["tuning"]["parameters"]["max_depth"] == RankerConfig().max_depth
    assert manifest["training"]["objective"] == "conversion"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [(["--trials", "1"], "at least 2: the defaults and one other"), ([], "no source yet")],
)
def test_tune_says_what_it_needs(
    words: list[str], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NEXTBEST_HOME", str(tmp_path / "empty"))
    assert main(["tune", *words]) == 1
    assert sentence in capsys.readouterr().err


def test_a_backtest_trains_for_what_the_operator_wants_now(tmp_path: Path) -> None:
    mine, past = Workspace(tmp_path / "mine"), Workspace(tmp_path / "past")
    mine.root.mkdir()
    mine.configuration.write_text("objective: engagement\n")
    take_configuration(mine, past)
    assert declared_objective(past) == OBJECTIVES["engagement"]
    mine.configuration.unlink()
    take_configuration(mine, past)
    assert declared_objective(past) == DEFAULT_OBJECTIVE
