"""What the operator's file says beside what the catalogue has: the check behind `nextbest placements check`."""

from __future__ import annotations

from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from recommender.attributes import Attributes, attributes_of
from recommender.configuration import read_configuration
from recommender.decision.placements import Placement
from recommender.states import ItemTable
from recommender.workspace import Workspace

__all__ = ["check_placements"]


def check_placements(workspace: Workspace) -> dict[str, Any]:
    """Which file was read, what it declares, and warnings about attributes and items that the catalogue lacks.

    Raises ConfigurationError where the file itself is wrong. Before the first run there is no catalogue to compare.
    """
    path = workspace.configuration
    configuration = read_configuration(path)
    items = _catalogue(workspace)
    warnings: list[str] = []
    if items is not None:
        arms = [arm for one in configuration.experiments.values() for arm in one.arms.values()]
        found = _warnings([*configuration.placements.values(), *arms], items, attributes_of(items))
        warnings = list(dict.fromkeys(found))  # an arm says again what its placement says
    return {
        "file": str(path) if path.exists() else "none: the placements that are shipped",
        "placements": list(configuration.placements),
        "objective": configuration.objective.name,
        "experiments": {name: dict(one.shares) for name, one in configuration.experiments.items()},
        "compared with": "no catalogue yet" if items is None else f"{len(items):,} items",
        "warnings": warnings,
    }


def _catalogue(workspace: Workspace) -> ItemTable | None:
    """The items of the newest cut."""
    path = workspace.mart("item_states")
    if not path.exists():
        return None
    newest = pc.max(pq.read_table(path, columns=["as_of"])["as_of"])
    return ItemTable.from_table(pq.read_table(path, filters=pc.field("as_of") == newest))


def _warnings(placements: Any, items: ItemTable, attributes: Attributes) -> list[str]:
    found = []
    placement: Placement
    for placement in placements:
        conditions = [("filter", placement.filter), *(("boost", boost.when) for boost in placement.boosts)]
        for what, condition in conditions:
            for name in sorted(condition.names - set(attributes.names)):
                found.append(f"{placement.name}: its {what} asks for {name}, which no item of the catalogue has.")
        for pin in placement.pins:
            if pin.item_id not in items.index:
                found.append(f"{placement.name}: the pinned item {pin.item_id} is not in the catalogue.")
    return found
