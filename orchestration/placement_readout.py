"""What an experiment on a placement brought: the marts' decisions and outcomes in, a page and its figures out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from orchestration.agent_readout import PAGE, read_trial
from orchestration.agents import OUTCOME_COLUMNS
from orchestration.tables import read_as_of_ms, read_mart
from recommender.agents.agent import NOTHING, Agent, Goal
from recommender.agents.context import to_json
from recommender.agents.trial import trial_of
from recommender.configuration import read_configuration
from recommender.decision.placement_experiment import PlacementExperiment, arm_in
from recommender.errors import InputError, NotReadyError
from recommender.experiments.readout import ReadoutConfig
from recommender.report.experiment_page import experiment_page
from recommender.workspace import Workspace, write_bytes_atomically

__all__ = ["read_placement_experiment", "write_placement_readout"]


def read_placement_experiment(workspace: Workspace, name: str, config: ReadoutConfig) -> dict[str, Any]:
    """`read_out`'s report up to where the marts end, with `experiment`, `placement`, `since` and `until`: people from
    their first slate in the experiment on, for the arm they were shown then. InputError for a name that nextbest.yml
    does not have, NotReadyError before anybody was served in it.
    """
    known = read_configuration(workspace.configuration).experiments
    if name not in known:
        told = ", ".join(known) or "none so far"
        remedy = f"Describe it in {workspace.configuration}; agents have `nextbest agent readout`."
        raise InputError(f"no experiment {name}.", f"one of nextbest.yml: {told}.", remedy)
    experiment = known[name]
    wanted = pc.field("event_type").isin(list(experiment.outcomes))
    events = read_mart(workspace, "events", OUTCOME_COLUMNS, wanted)
    # It is read as an agent's that sends nothing: the same people, clock and arithmetic.
    reader = Agent(name, Goal(experiment.outcomes, experiment.value), ())
    trial = trial_of(reader, _served(workspace, experiment), events, read_as_of_ms(workspace))
    if len(trial.shares) < 2:
        raise NotReadyError(f"{name} has served one arm only.", "people in two arms.", "Wait until more came by.")
    return {**read_trial(trial, config), "experiment": name, "placement": experiment.placement}


def write_placement_readout(
    workspace: Workspace, name: str, config: ReadoutConfig, folder: Path | None = None
) -> dict[str, Any]:
    """Write the report as `experiment.html` and `.json` in a folder (default: reports/experiments/NAME)."""
    report = read_placement_experiment(workspace, name, config)
    page = (folder or workspace.reports / "experiments" / name) / PAGE
    lead = (
        f"Slates of {report['placement']} from {report['since']} to {report['until']}, each person from the first on."
    )
    write_bytes_atomically(page, experiment_page(report, f"What the experiment {name} says", lead).encode())
    write_bytes_atomically(page.with_suffix(".json"), json.dumps(report, indent=1).encode())
    return {**report, "page": str(page)}


def _served(workspace: Workspace, experiment: PlacementExperiment) -> pa.Table:
    """The experiment's slates as a trial reads decisions. Arms are those of the record; one that the file no longer
    has is left out.
    """
    columns = ["user_id", "decided_at", "variant"]
    decisions = read_mart(workspace, "decisions", columns, pc.field("placement") == experiment.placement)
    variants = decisions["variant"].combine_chunks().dictionary_encode()
    named = [arm_in(variant or "", experiment.name) for variant in variants.dictionary.to_pylist()]
    arms = pa.array([arm if arm in experiment.shares else None for arm in named], pa.string()).take(variants.indices)
    decisions = decisions.append_column("arm", arms).filter(
        pc.and_(pc.is_valid(arms), pc.is_valid(decisions["user_id"]))
    )
    shares = pa.array([experiment.shares[arm] for arm in experiment.shares])
    place = pc.index_in(decisions["arm"], value_set=pa.array(list(experiment.shares)))
    rows = len(decisions)
    return pa.table(
        {
            "user_id": decisions["user_id"],
            "decided_at": decisions["decided_at"].cast(pa.timestamp("ms")),
            "arm": decisions["arm"],
            "arm_share": shares.take(place.combine_chunks()),
            "action": pa.array([NOTHING] * rows, pa.string()),
            "send_share": pa.array([1.0] * rows),
            "features": _countries(workspace, decisions["user_id"]),
        }
    )


def _countries(workspace: Workspace, user_ids: pa.ChunkedArray) -> pa.Array:
    """Where people live, as the one segment that every shop has."""
    users = read_mart(workspace, "users", ["user_id", "country"])
    place = pc.index_in(user_ids, value_set=users["user_id"].combine_chunks())
    return to_json(pa.table({"country": users["country"].cast(pa.string()).take(place.combine_chunks())}))
