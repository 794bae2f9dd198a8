"""What a workspace trains for and with: the declared objective, and the parameters that a search has found."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestration.tables import to_iso
from recommender.configuration import read_configuration
from recommender.model.ranker import RankerConfig
from recommender.model.search import RankerSearch, SearchConfig, search_ranker
from recommender.model.search_figure import search_figure
from recommender.model.training_set import Progress, TrainingSet
from recommender.objectives import Objective
from recommender.workspace import Workspace, write_bytes_atomically

__all__ = ["Tuning", "declared_objective", "read_tuning", "tune"]

SEARCH = "search.json"


@dataclass(frozen=True)
class Tuning:
    """Parameters to train with, and in words where they come from."""

    config: RankerConfig
    origin: str

    def as_json(self) -> dict[str, Any]:
        """What a bundle's manifest names; the rounds are found anew in each training."""
        own = {name: value for name, value in vars(self.config).items() if name not in ("rounds", "threads")}
        return {"origin": self.origin, "parameters": own}


def declared_objective(workspace: Workspace) -> Objective:
    """The objective of the operator's file, or the default."""
    return read_configuration(workspace.configuration).objective


def read_tuning(workspace: Workspace, objective: Objective) -> Tuning:
    """The parameters of the last search, if it found better ones for this objective; else the defaults."""
    path = workspace.models / SEARCH
    if not path.exists():
        return Tuning(RankerConfig(), "defaults: no search yet (`nextbest tune`)")
    found: Mapping[str, Any] = json.loads(path.read_text())
    until = to_iso(found["until_ms"])
    if found["objective"] != objective.as_json():
        return Tuning(RankerConfig(), f"defaults: the search until {until} was for {found['objective']['name']}")
    if not found["is_accepted"]:
        return Tuning(RankerConfig(), f"defaults: the search until {until} found nothing surely better")
    return Tuning(RankerConfig(**found["parameters"]), f"trial {found['best']} of the search until {until}")


def tune(workspace: Workspace, until_ms: int, trials: int, seed: int, progress: Progress | None) -> RankerSearch:
    """Search on the training set's slates whose labels ended by `until_ms` (the holdout cut); keep every trial and
    the choice in models/search.json, with a picture beside it."""
    training = TrainingSet.load(workspace.training)
    found = search_ranker(training.until(until_ms), SearchConfig(trials=trials), seed=seed, progress=progress)
    facts = {"until_ms": until_ms, "objective": training.objective.as_json()}
    text = json.dumps({**facts, **found.as_json()}, indent=1)
    write_bytes_atomically((workspace.models / SEARCH).with_suffix(".png"), search_figure(found))
    write_bytes_atomically(workspace.models / SEARCH, text.encode())
    return found
