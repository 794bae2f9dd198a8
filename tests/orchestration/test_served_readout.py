"""Experiments on slates, read out of the marts: who was served which arm, and what they did afterwards."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from orchestration.cli import main
from recommender.configuration import read_configuration
from recommender.events import DAY_MS
from recommender.workspace import Workspace
from services.release import gets_canary
from tests.agents.home import START_MS, times

PEOPLE = 2_000
FILE = """\
experiments:
  bold_home:
    placement: home
    arms: {control: {share: 0.5}, bold: {share: 0.5, exploration: {share: 0.3}}}
"""


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """Everybody sees `home` twice; of the bold arm 20 of 100 buy a day after the first time, of the other 10."""
    monkeypatch.setenv("NEXTBEST_HOME", str(tmp_path))
    workspace = Workspace(tmp_path)
    workspace.marts.mkdir()
    workspace.configuration.write_text(FILE)
    ids = [f"u{number:04}" for number in range(PEOPLE)]
    experiment = read_configuration(workspace.configuration).experiments["bold_home"]
    arms = [experiment.arm_of(user) for user in ids]
    elsewhere = {"user_id": ids, "decided_at": times([START_MS] * PEOPLE), "placement": ["cart"] * PEOPLE}
    seen = {
        "user_id": ids * 2,
        "decided_at": times([START_MS] * PEOPLE + [START_MS + 2 * DAY_MS] * PEOPLE),
        "placement": ["home"] * 2 * PEOPLE,
        "variant": [f"champion/bold_home:{arm}" for arm in arms * 2],
        "model_version": ["m1"] * 2 * PEOPLE,
    }
    decisions = [
        pa.table(seen),
        pa.table(elsewhere | {"variant": ["champion"] * PEOPLE, "model_version": ["m1"] * PEOPLE}),
    ]
    pq.write_table(pa.concat_tables(decisions), workspace.mart("decisions"))
    chance = np.where(np.array(arms) == "bold", 0.2, 0.1)
    buyers = [user for user, buys in zip(ids, np.random.default_rng(1).random(PEOPLE) < chance, strict=True) if buys]
    early = ids[:500]  # what came before the first slate is no outcome
    bought = {
        "user_id": [*buyers, *early],
        "event_type": ["purchase"] * (len(buyers) + len(early)),
        "occurred_at": times([START_MS + DAY_MS] * len(buyers) + [START_MS - DAY_MS] * len(early)),
        "quantity": [1] * (len(buyers) + len(early)),
        "price_micros": [1_000_000] * (len(buyers) + len(early)),
    }
    pq.write_table(pa.table(bought), workspace.mart("events"))
    users = {"user_id": ids, "country": ["DE", None] * (PEOPLE // 2)}
    pq.write_table(pa.table(users), workspace.mart("users"))
    cut = {"cut_at": times([START_MS + 5 * DAY_MS]), "is_serving": [True]}
    pq.write_table(pa.table(cut), workspace.mart("feature_cuts"))
    return workspace


def test_arms_are_compared_by_what_people_did_after_their_first_slate(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["experiment", "readout", "bold_home", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["verdict"] == "better"
    assert report["control"] == "control"
    assert sum(arm["people"] for arm in report["arms"].values()) == PEOPLE
    assert report["arms"]["bold"]["value"] == pytest.approx(0.2, abs=0.04)
    assert report["arms"]["control"]["value"] == pytest.approx(0.1, abs=0.03)
    assert report["sample_ratio"]["declared"]
    assert {level["level"] for level in report["segments"]["bold"][0]["levels"]} == {"DE", "unknown"}
    page = workspace.reports / "experiments" / "bold_home" / "experiment.html"
    assert "What the experiment bold_home says" in page.read_text()


def test_what_cannot_be_read_is_said(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["experiment", "readout", "bold_cart"]) == 1
    assert "no experiment bold_cart. Expected: one of bold_home, canary." in capsys.readouterr().err
    assert main(["experiment", "readout"]) == 1
    decisions = pq.read_table(workspace.mart("decisions"))
    pq.write_table(decisions.slice(0, 0), workspace.mart("decisions"))
    assert main(["experiment", "readout", "bold_home"]) == 1
    assert "no decision so far" in capsys.readouterr().err


def test_a_canary_is_an_experiment_of_two_bundles(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["experiment", "readout", "canary"]) == 1
    assert "no challenger that a share of the people gets" in capsys.readouterr().err
    workspace.canary.parent.mkdir()
    workspace.canary.write_text(json.dumps({"version": "m2", "share": 0.25}))
    decisions = pq.read_table(workspace.mart("decisions"))
    on_trial = np.array([gets_canary(user, "m2", 0.25) for user in decisions["user_id"].to_pylist()])
    on_trial &= decisions["placement"].to_numpy(zero_copy_only=False) == "home"
    variants = np.where(on_trial, "challenger/bold_home:bold", "champion")
    for name, values in (("variant", variants), ("model_version", np.where(on_trial, "m2", "m1"))):
        decisions = decisions.set_column(decisions.schema.get_field_index(name), name, pa.array(values, pa.string()))
    before = decisions.slice(0, 100).set_column(1, "decided_at", times([START_MS - DAY_MS] * 100))
    before = before.set_column(3, "variant", pa.array(["champion"] * 100))
    elsewhere = pa.array(decisions["placement"].to_numpy(zero_copy_only=False) == "home")
    pq.write_table(pa.concat_tables([before, decisions.filter(elsewhere)]), workspace.mart("decisions"))
    assert main(["experiment", "readout", "canary", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["arms"].keys() == {"champion", "challenger"}
    assert report["arms"]["challenger"]["people"] == on_trial.sum() // 2  # everybody came by twice
    assert report["sample_ratio"]["expected"] == {"challenger": 500.0, "champion": 1500.0}
    assert report["since"] == "2026-06-01 00:00:00Z"  # what the champion answered before is not compared
