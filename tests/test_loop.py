"""Round the ring: what was served is recorded, recomputed bit for bit offline, and learnt from in the next run."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from feature_repo.offline import states_at
from orchestration.processes import free_port
from recommender.decision.replay import replay
from recommender.events import Interaction
from recommender.model.bundle import load_bundle
from recommender.model.training_set import TrainingSet
from recommender.workspace import Workspace
from services.model_store import bundle_folder
from services.server import start_background

pytestmark = [pytest.mark.slow, pytest.mark.timeout(420)]

DECISIONS = 1_000
CLICKS = 300
K = 5


@dataclass(frozen=True)
class LivedRing:
    """A workspace that was served from and then run again, with what the service answered and the run reported."""

    workspace: Workspace
    champion: str
    answers: list[dict[str, Any]]
    clicked: dict[str, str]  # decision → item
    report: dict[str, Any]


@pytest.fixture(scope="module")
def lived_ring(turned_ring: Any, nextbest: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> LivedRing:
    home = tmp_path_factory.mktemp("lived") / "home"
    shutil.copytree(turned_ring.workspace.root, home)
    workspace = Workspace(home)
    answers, clicked = _visit(workspace)
    done = nextbest(home, "run", "--json")
    assert done.code == 0, done.err
    return LivedRing(workspace, turned_ring.report["champion"]["version"], answers, clicked, done.json)


def _visit(workspace: Workspace) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Ask for slates over HTTP; every few answers the person clicks on the second item, so states move on."""
    users = pq.read_table(workspace.mart("users"), columns=["user_id"])["user_id"].to_pylist()
    handle = start_background(workspace, free_port())
    answers, clicked = [], {}
    try:
        handle.wait_ready()
        with httpx.Client(base_url=handle.url, timeout=10) as http:
            for number in range(DECISIONS):
                user = users[number % 97] if number % 10 else f"stranger-{number % 7}"
                answer = http.post("/v1/recommend", json={"user_id": user, "placement": "home", "k": K})
                answers.append(answer.raise_for_status().json())
                if len(clicked) < CLICKS and number % 3 == 0:
                    item = answers[-1]["items"][1]["item_id"]
                    clicked[answers[-1]["decision_id"]] = item
                    http.post("/v1/track", json=_click(user, item, answers[-1]["decision_id"])).raise_for_status()
    finally:
        handle.stop()
    return answers, clicked


def _click(user: str, item: str, decision: str) -> dict[str, Any]:
    properties = {"product_id": item, "decision_id": decision, "position": 2}
    return {"messageId": f"m-{decision}", "userId": user, "event": "Product Clicked", "properties": properties}


def test_every_answer_left_its_record(lived_ring: LivedRing) -> None:
    decisions = pq.read_table(lived_ring.workspace.mart("decisions"))
    assert decisions.num_rows == DECISIONS
    served = {row["decision_id"]: row for row in decisions.to_pylist()}
    for answer in lived_ring.answers:
        record = served[answer["decision_id"]]
        assert record["slate_item_ids"] == [item["item_id"] for item in answer["items"]]
        assert record["slate_propensities"] == [item["propensity"] for item in answer["items"]]
        assert record["model_version"] == lived_ring.champion


def test_every_decision_becomes_training_rows_with_its_outcome(lived_ring: LivedRing) -> None:
    assert lived_ring.report["training_set"]["served_slates"] == DECISIONS
    training = TrainingSet.load(lived_ring.workspace.training)
    kinds = np.asarray(training.groups["kind"].to_pylist())[training.group]
    assert (kinds == "served").sum() == DECISIONS * K
    decision = np.asarray(training.groups["decision_id"].to_pylist())[training.group]
    items = training.item_id.to_pylist()
    positive = {(decision[row], items[row]) for row in np.flatnonzero((kinds == "served") & (training.label > 0))}
    assert positive == set(lived_ring.clicked.items())


def test_served_features_and_scores_are_recomputed_bit_for_bit_from_the_warehouse(lived_ring: LivedRing) -> None:
    """The stored state comes from Feast's offline store, later clicks from the mart of events."""
    workspace = lived_ring.workspace
    bundle = load_bundle(bundle_folder(workspace, lived_ring.champion))
    events = pq.read_table(workspace.mart("events"))
    events = events.filter(pc.equal(events["origin"], "journal"))
    records = pq.read_table(workspace.mart("decisions")).to_pylist()
    states = _stored_states(workspace, records)
    checked = [
        replay(record, states.get(record["user_id"]), _live(events, record), bundle).is_equal for record in records
    ]
    assert checked == [True] * DECISIONS


def _stored_states(workspace: Workspace, records: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    known = sorted({record["user_id"] for record in records if record["state_as_of"] is not None})
    (cut,) = {record["state_as_of"] for record in records if record["state_as_of"] is not None}
    cut_ms = pa.scalar(cut, pa.timestamp("ms")).cast(pa.int64()).as_py()
    rows = states_at(workspace, "user", known, np.full(len(known), cut_ms)).to_pylist()
    return {row["user_id"]: row for row in rows}


def _live(events: pa.Table, record: dict[str, Any]) -> list[Interaction]:
    mine = pc.and_(
        pc.equal(events["user_id"], record["user_id"]),
        pc.less(events["recorded_at"], pa.scalar(record["decided_at"], events["recorded_at"].type)),
    )
    columns = ("quantity", "price_micros", "channel", "device", "country", "placement", "decision_id", "position")
    return [
        Interaction(
            row["event_id"],
            row["user_id"],
            row["event_type"],
            pa.scalar(row["occurred_at"], pa.timestamp("ms")).cast(pa.int64()).as_py(),
            row["item_id"],
            **{name: row[name] for name in columns},
        )
        for row in events.filter(mine).to_pylist()
    ]
