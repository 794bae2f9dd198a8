"""Experiments on placements (`experiments:` in nextbest.yml): read and checked. Nobody is assigned here."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from recommender.decision.placement_experiment import ONE_PURCHASE, PlacementExperiment
from recommender.decision.placements import Placement
from recommender.yaml_document import Document

__all__ = ["experiment_settings"]

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
KEYS = ("arms", "outcomes", "placement", "salt", "value")
VALUES = ("count", "revenue")

# Path and settings of an arm and the placement it changes → the placement as the arm wants it.
ReadArm = Callable[[str, Mapping[str, Any], Placement], Placement]


def experiment_settings(
    document: Document, body: Mapping[str, Any], placements: Mapping[str, Placement], read_arm: ReadArm
) -> Mapping[str, PlacementExperiment]:
    """Read the section; ConfigurationError with file, line and key."""
    found: dict[str, PlacementExperiment] = {}
    taken: dict[str, str] = {}
    for name, value in body.items():
        path = f"experiments.{name}"
        _require_name(document, path, name)
        part = document.section(path, value, KEYS, needed=("placement", "arms"))
        placement = part.one_of("placement", tuple(placements), "")
        if placement in taken:
            told = f"a second experiment on {placement}, beside {taken[placement]}"
            raise document.error(f"{path}.placement", told, "one experiment a placement", "End the other one first.")
        taken[placement] = name
        arms, shares = _arms(document, f"{path}.arms", part.mapping("arms"), placements[placement], read_arm)
        outcomes = {
            event: document.number(f"{path}.outcomes.{event}", weight, -1e9, 1e9)
            for event, weight in part.mapping("outcomes").items()
        }
        found[name] = PlacementExperiment(
            name,
            placement,
            arms,
            shares,
            str(part.given.get("salt") or name),
            MappingProxyType(outcomes) if outcomes else ONE_PURCHASE,
            part.one_of("value", VALUES, "count"),
        )
    return MappingProxyType(found)


def _arms(
    document: Document, path: str, body: Mapping[str, Any], base: Placement, read_arm: ReadArm
) -> tuple[Mapping[str, Placement], Mapping[str, float]]:
    """Arms in the order of the file, and their shares."""
    arms: dict[str, Placement] = {}
    shares: dict[str, float] = {}
    for name, value in body.items():
        _require_name(document, f"{path}.{name}", name)
        if not isinstance(value, Mapping) or "share" not in value:
            found = f"{value!r:.80}"
            raise document.error(f"{path}.{name}", found, "a share and what differs", "Write {share: 0.5, …}.")
        shares[name] = document.number(f"{path}.{name}.share", value["share"], 0.0, 1.0)
        rest = {key: setting for key, setting in value.items() if key != "share"}
        arms[name] = read_arm(f"{path}.{name}", rest, base)
    if len(arms) < 2 or abs(sum(shares.values()) - 1.0) > 1e-9:
        told = f"{len(arms)} arm(s) with shares that sum up to {sum(shares.values()):g}"
        raise document.error(path, told, "two arms or more whose shares sum up to 1", "Correct them.")
    return MappingProxyType(arms), MappingProxyType(shares)


def _require_name(document: Document, path: str, name: object) -> None:
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise document.error(path, f"the name {name!r:.80}", "small letters, digits, _ and -", "Rename it.")
