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
    """`read_out`'s report with `seen` and `people_needed` in each comparison, and a sentence that says so while nothing
    is proven.

    `seen`: the difference that so many people show four times in five, by the interval that the verdict follows;
    `people_needed`: how many would show one as large as that measured, should it be the true one (None where it is 0).
    Errors shrink by the root of the people.
    """
    people, basis = report["people"], report["basis"]
    comparisons = []
    for own in report["comparisons"]:
        seen = _seen(own, basis)
        needed = round(people * (seen / own["difference"]) ** 2) if seen is not None and own["difference"] else None
        comparisons.append({**own, "seen": seen, "people_needed": needed})
    found = {**report, "comparisons": comparisons}
    if report["verdict"] != "not_enough_evidence":
        return found
    return {**found, "sentence": " ".join(_untold(own, report) for own in comparisons)}


def _ends(own: Mapping[str, Any], basis: str) -> tuple[float | None, float | None]:
    prefix = "always_" if basis == "every look" else ""
    return own[f"{prefix}low"], own[f"{prefix}high"]


def _seen(own: Mapping[str, Any], basis: str) -> float | None:
    """`detectable` is that of one look; the interval for every look is wider by a half-width that comes on top."""
    (low, high), (one_low, one_high) = _ends(own, basis), _ends(own, "one look")
    if own["detectable"] is None or low is None or high is None or one_low is None or one_high is None:
        return None
    return float(own["detectable"] + ((high - low) - (one_high - one_low)) / 2)


def _untold(own: Mapping[str, Any], report: Mapping[str, Any]) -> str:
    told = f"{own['arm']} and {own['control']} are not told apart yet"
    if own["seen"] is None:
        return f"{told}: too little has happened."
    low, high = _ends(own, report["basis"])
    looks = ", however often one looks" if report["basis"] == "every look" else ""
    span = f"{report['confidence']:.0%} from {low:.3g} to {high:.3g}{looks}"
    people, needed = report["people"], own["people_needed"]
    if needed is None or needed > FAR * people:
        more = f"more than {FAR} times as many"
    elif needed > people:
        more = f"about {_about(needed):,} people, {_about(needed - people):,} more"
    else:
        more = "more people for whom something happens: few decide these figures"
    return (
        f"{told}: {own['difference']:+.3g} {report['outcome']} per person ({span}) among {people:,} people. "
        f"{own['seen']:.3g} would be seen four times in five; one of this size takes {more}."
    )


def _about(count: int) -> int:
    """With the two digits that such a figure is worth."""
    return round(count, 2 - len(str(count)))
