"""An agent's policies against each other: its own people by variant, as a trial, and in a sentence what that says.

The people of the agent's arm alone: holdout and baseline have a variant as well, but it decided nothing for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from recommender.agents.agent import Agent
from recommender.agents.trial import TRIAL_COLUMNS, Trial, trial_of

__all__ = ["POLICY_TRIAL_COLUMNS", "policy_trial_of", "with_people_needed"]

# Of the records, what this experiment needs.
POLICY_TRIAL_COLUMNS = (*TRIAL_COLUMNS, "variant", "variant_share")
FAR = 100  # times as many people as there are: nobody plans for more


def policy_trial_of(agent: Agent, records: pa.Table, events: pa.Table, until_ms: int) -> Trial:
    """As `trial_of`, with a variant for an arm. It begins where policies or their shares were last changed; which
    settings hide behind a name is not looked at: changed ones want another name. NotReadyError while nobody was decided
    for by any.
    """
    own = pc.and_(pc.equal(records["arm"], "agent"), pc.is_valid(records["variant"]))
    records = records.filter(own).drop_columns(["arm", "arm_share"])
    names = {"variant": "arm", "variant_share": "arm_share"}
    records = records.rename_columns([names.get(name, name) for name in records.column_names])
    return trial_of(agent, records, events, until_ms)


def with_people_needed(report: Mapping[str, Any]) -> dict[str, Any]:
    """`read_out`'s report with `people_needed` in each comparison, and a sentence that says so while nothing is proven.

    So many people would see a difference as large as the one measured four times in five, should it be the true one;
    None where it is 0. The error shrinks by the root of the people.
    """
    people = report["people"]
    comparisons = [{**own, "people_needed": _needed(own, people)} for own in report["comparisons"]]
    found = {**report, "comparisons": comparisons}
    if report["verdict"] != "not_enough_evidence":
        return found
    return {**found, "sentence": " ".join(_untold(own, report) for own in comparisons)}


def _needed(own: Mapping[str, Any], people: int) -> int | None:
    if not own["difference"] or own["detectable"] is None:
        return None
    return round(people * float(own["detectable"] / own["difference"]) ** 2)


def _untold(own: Mapping[str, Any], report: Mapping[str, Any]) -> str:
    ends = ("always_low", "always_high") if report["basis"] == "every look" else ("low", "high")
    told = f"{own['arm']} and {own['control']} are not told apart yet"
    if own["detectable"] is None or any(own[end] is None for end in ends):
        return f"{told}: too little has happened."
    low, high = (f"{own[end]:.3g}" for end in ends)
    people, needed = report["people"], own["people_needed"]
    more = "more people than anybody has"
    if needed is not None and needed <= FAR * people:
        more = f"about {_about(needed):,} people, {_about(max(needed - people, 0)):,} more"
    elif needed is not None:
        more = f"more than {FAR} times as many"
    looks = ", however often one looks" if report["basis"] == "every look" else ""
    span = f"{report['confidence']:.0%} from {low} to {high}{looks}"
    return (
        f"{told}: {own['difference']:+.3g} {report['outcome']} per person ({span}) among {people:,} people. "
        f"{own['detectable']:.3g} would be seen four times in five; a difference as small as this takes {more}."
    )


def _about(count: int) -> int:
    """With the two digits that such a figure is worth."""
    return round(count, 2 - len(str(count)))
