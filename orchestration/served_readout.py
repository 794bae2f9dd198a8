"""What an experiment on slates brought: the marts' decisions and outcomes in, a page and its figures out."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
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
from recommender.decision.placement_experiment import ONE_PURCHASE, PlacementExperiment, arm_in
from recommender.errors import InputError, NotReadyError
from recommender.experiments.readout import ReadoutConfig
from recommender.report.experiment_page import experiment_page
from recommender.workspace import Workspace, write_bytes_atomically
from services.lineup import CHALLENGER, CHAMPION
from services.release import canary_share

__all__ = ["CANARY", "read_served_experiment", "write_served_readout"]

COLUMNS = ("user_id", "decided_at", "variant", "model_version")
CANARY = "canary"  # champion and challenger, while a share of the people gets the latter


def read_served_experiment(workspace: Workspace, name: str, config: ReadoutConfig) -> dict[str, Any]:
    """`read_out`'s report up to where the marts end, with `experiment`, `shown`, `since` and `until`: people from their
    first slate in the experiment on, for the arm they were shown then. InputError for a name that nextbest.yml does not
    have, NotReadyError before two arms were served, or for a canary that there is not.
    """
    known = read_configuration(workspace.configuration).experiments
    if name in known:
        experiment = known[name]
        outcomes, value, shown = experiment.outcomes, experiment.value, experiment.placement
        served = _of_placement(workspace, experiment)
    elif name == CANARY:
        outcomes, value, shown = ONE_PURCHASE, "count", "all placements"
        served = _of_canary(workspace)
    else:
        told = ", ".join((*known, CANARY))
        remedy = f"Describe it in {workspace.configuration}; agents have `nextbest agent readout`."
        raise InputError(f"no experiment {name}.", f"one of {told}.", remedy)
    wanted = pc.field("event_type").isin(list(outcomes))
    events = read_mart(workspace, "events", OUTCOME_COLUMNS, wanted)
    # It is read as an agent's that sends nothing: the same people, clock and arithmetic.
    trial = trial_of(Agent(name, Goal(outcomes, value), ()), served, events, read_as_of_ms(workspace))
    if len(trial.shares) < 2:
        raise NotReadyError(f"{name} has served one arm only.", "people in two arms.", "Wait until more came by.")
    return {**read_trial(trial, config), "experiment": name, "shown": shown}


def write_served_readout(
    workspace: Workspace, name: str, config: ReadoutConfig, folder: Path | None = None
) -> dict[str, Any]:
    """Write the report as `experiment.html` and `.json` in a folder (default: reports/experiments/NAME)."""
    report = read_served_experiment(workspace, name, config)
    page = (folder or workspace.reports / "experiments" / name) / PAGE
    lead = f"Slates of {report['shown']} from {report['since']} to {report['until']}, each person from the first on."
    write_bytes_atomically(page, experiment_page(report, f"What the experiment {name} says", lead).encode())
    write_bytes_atomically(page.with_suffix(".json"), json.dumps(report, indent=1).encode())
    return {**report, "page": str(page)}


def _of_placement(workspace: Workspace, experiment: PlacementExperiment) -> pa.Table:
    """Arms are those of the record; one that the file no longer has is left out."""
    decisions = read_mart(workspace, "decisions", COLUMNS, pc.field("placement") == experiment.placement)
    arms = _by_variant(decisions, lambda variant: arm_in(variant, experiment.name))
    return _as_trial(workspace, decisions, arms, experiment.shares)


def _of_canary(workspace: Workspace) -> pa.Table:
    """From the first slate on that the challenger on trial answered; whom it failed was the champion's from then on."""
    version, share = canary_share(workspace)
    if not version:
        found = "no challenger that a share of the people gets."
        raise NotReadyError(found, "a canary.", "`nextbest promote VERSION --canary 0.1` begins one.")
    decisions = read_mart(workspace, "decisions", COLUMNS)
    lanes = _by_variant(decisions, lambda variant: variant.partition("/")[0])
    own = pc.and_(pc.equal(lanes, CHALLENGER), pc.equal(decisions["model_version"], version))
    begun = pc.min(decisions["decided_at"].filter(own))
    since = pc.fill_null(pc.greater_equal(decisions["decided_at"], begun), False)
    shares = {CHAMPION: 1.0 - share, CHALLENGER: share}
    return _as_trial(workspace, decisions.filter(since), lanes.filter(since), shares)


def _by_variant(decisions: pa.Table, arm_of: Callable[[str], str | None]) -> pa.Array:
    """The arm of each record, told once for each variant."""
    variants = decisions["variant"].combine_chunks().dictionary_encode()
    arms = [arm_of(variant or "") for variant in variants.dictionary.to_pylist()]
    return pa.array(arms, pa.string()).take(variants.indices)


def _as_trial(workspace: Workspace, decisions: pa.Table, arms: pa.Array, shares: Mapping[str, float]) -> pa.Table:
    """Slates as a trial reads decisions: those of one of these arms."""
    place = pc.index_in(arms, value_set=pa.array(list(shares)))
    is_known = pc.and_(pc.is_valid(place), pc.is_valid(decisions["user_id"]))
    decisions, arms, place = decisions.filter(is_known), arms.filter(is_known), place.filter(is_known)
    return pa.table(
        {
            "user_id": decisions["user_id"],
            "decided_at": decisions["decided_at"].cast(pa.timestamp("ms")),
            "arm": arms,
            "arm_share": pa.array(list(shares.values())).take(place),
            "action": pa.array([NOTHING] * len(decisions), pa.string()),
            "send_share": pa.array([1.0] * len(decisions), pa.float64()),
            "features": _countries(workspace, decisions["user_id"]),
        }
    )


def _countries(workspace: Workspace, user_ids: pa.ChunkedArray) -> pa.Array:
    """Where people live, as the one segment that every shop has."""
    users = read_mart(workspace, "users", ["user_id", "country"])
    place = pc.index_in(user_ids, value_set=users["user_id"].combine_chunks())
    return to_json(pa.table({"country": users["country"].cast(pa.string()).take(place.combine_chunks())}))
