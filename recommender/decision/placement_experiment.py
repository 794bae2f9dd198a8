"""An experiment on one placement: arms that want their slates differently, and who is in which. None is read out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from recommender.decision.placements import Placement
from recommender.experiments.assignment import assign

__all__ = ["PlacementExperiment", "arm_in", "placements_of"]

ONE_PURCHASE: Mapping[str, float] = MappingProxyType({"purchase": 1.0})


@dataclass(frozen=True)
class PlacementExperiment:
    """`arms`: name → the placement as this arm wants it; `shares`: arm → proportion, they sum up to 1. People are
    divided by `salt`. `outcomes`: event type → weight, and `value` "count" or "revenue", is what arms are compared by.
    """

    name: str
    placement: str
    arms: Mapping[str, Placement]
    shares: Mapping[str, float]
    salt: str
    outcomes: Mapping[str, float] = field(default_factory=lambda: ONE_PURCHASE)
    value: str = "count"

    def arm_of(self, subject: str) -> str:
        """The same for a person for ever; `subject` is the id that the decision is made under."""
        return list(self.shares)[int(assign(self.salt, [subject], self.shares)[0])]

    def variant(self, lane: str, arm: str) -> str:
        """What a record says: which bundle answered, and for which arm, such as champion/calm_home:bold."""
        return f"{lane}/{self.name}:{arm}"


def placements_of(
    experiments: Mapping[str, PlacementExperiment], placements: Mapping[str, Placement], placement: str, subject: str
) -> tuple[Mapping[str, Placement], str]:
    """The placements that hold for a person who asks for one, and what is added to the record's variant ("": nothing).

    A placement has at most one experiment at a time.
    """
    for experiment in experiments.values():
        if experiment.placement == placement:
            arm = experiment.arm_of(subject)
            return {**placements, placement: experiment.arms[arm]}, experiment.variant("", arm)
    return placements, ""


def arm_in(variant: str, name: str) -> str | None:
    """The arm of an experiment that a record's variant names; None where it was decided outside of it."""
    _, found, arm = variant.partition(f"/{name}:")
    return arm if found else None
