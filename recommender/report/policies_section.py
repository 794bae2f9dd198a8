"""An agent's policies beside each other, as a section of its page. No figure is computed."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from recommender.report.agent_words import Words
from recommender.report.marks import dot_rows
from recommender.report.plots import Row
from recommender.report.sections import section, table

__all__ = ["policies_section"]

COLOURS = {"better": "#0d9488", "worse": "#dc2626", "no": "#7c8aa0"}
PEOPLE = 100  # whose purchases are shown: one person's are too small a number to read


def policies_section(readout: Mapping[str, Any] | None, words: Words) -> str:
    """HTML of the readout's `policies`; "" where the agent has one policy, or nothing can be compared yet."""
    policies = None if readout is None else readout.get("policies")
    if policies is None:
        return ""
    title = "Which policy does better"
    if policies["verdict"] == "refused":
        return section(title, f"It cannot be told: {policies['sentence']}")
    ends = ("always_low", "always_high") if policies["basis"] == "every look" else ("low", "high")
    rows = [_row(own, ends) for own in policies["comparisons"]]
    unit = f"{words.unit} per {PEOPLE} people, beside {policies['control']}"
    counts = [
        [name, f"{own['people']:,}", words.number(PEOPLE * own["value"])] for name, own in policies["arms"].items()
    ]
    return section(
        title,
        policies["sentence"],
        dot_rows({escape(unit): rows}, unit, words.number),
        table(["policy", "people", f"{words.unit} per {PEOPLE} people"], counts, "The figures of each"),
    )


def _row(own: Mapping[str, Any], ends: tuple[str, str]) -> Row:
    if any(own[end] is None for end in ends):
        return Row(own["arm"], note="not enough evidence")
    value, low, high = (PEOPLE * own[name] for name in ("difference", *ends))
    return Row(own["arm"], value, low, high, COLOURS[own["proven"]])
