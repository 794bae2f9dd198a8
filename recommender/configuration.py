"""The operator's file, `nextbest.yml`: read and checked. Nothing acts on its settings here.

An absent file means the placements and objectives that are shipped. What is wrong is told with file, line and key.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from recommender.agent_settings import AgentSettings, agent_settings
from recommender.conditions import AllOf, parse_condition
from recommender.decision.placement_experiment import PlacementExperiment
from recommender.decision.placements import (
    BOUGHT_MODES,
    KNOWLEDGE,
    PLACEMENTS,
    RANK_BY,
    Boost,
    Diversity,
    Freshness,
    Pin,
    Placement,
)
from recommender.decision.policy import SlatePolicy
from recommender.door_settings import DoorSettings, door_settings
from recommender.errors import ConfigurationError, InputError, RequestError
from recommender.experiment_settings import experiment_settings
from recommender.objectives import DEFAULT_OBJECTIVE, OBJECTIVES, Objective
from recommender.online_store import OnlineStore
from recommender.release_settings import ReleaseSettings, release_settings
from recommender.yaml_document import Document, Section

__all__ = ["Configuration", "parse_configuration", "read_configuration"]

MAX_K = 1_000
REQUIRABLE = ("candidates", "context_items", "filter", "needs")


@dataclass(frozen=True)
class Configuration:
    """What holds: placements and objectives by name, the objective of whatever names none, and releases."""

    placements: Mapping[str, Placement] = field(default_factory=lambda: PLACEMENTS)
    objectives: Mapping[str, Objective] = field(default_factory=lambda: MappingProxyType(OBJECTIVES))
    objective: Objective = DEFAULT_OBJECTIVE
    release: ReleaseSettings = field(default_factory=ReleaseSettings)
    service: DoorSettings = field(default_factory=DoorSettings)
    online_store: OnlineStore = field(default_factory=OnlineStore)
    agents: AgentSettings = field(default_factory=AgentSettings)
    experiments: Mapping[str, PlacementExperiment] = field(default_factory=lambda: MappingProxyType({}))

    def as_json(self) -> dict[str, Any]:
        """Everything that holds, as plain values; conditions in words."""
        return {
            "objective": self.objective.name,
            "objectives": {name: objective.as_json() for name, objective in self.objectives.items()},
            "placements": {name: _facts(placement) for name, placement in self.placements.items()},
            "release": asdict(self.release),
            "service": asdict(self.service),
            "online_store": self.online_store.words,
            "agents": asdict(self.agents),
            "experiments": {name: _told(experiment) for name, experiment in self.experiments.items()},
        }


def read_configuration(path: Path) -> Configuration:
    """Read `Workspace.configuration`; the defaults where there is no such file. Raises ConfigurationError."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return Configuration()
    except OSError as problem:
        found = f"{path}: {problem.strerror or problem}."
        raise ConfigurationError(found, "a file that can be read.", "Correct its permissions, or delete it.") from None
    return parse_configuration(raw, path.name)


def parse_configuration(raw: bytes, file: str = "nextbest.yml") -> Configuration:
    """Read the file's bytes; `file` is what errors call it. Raises ConfigurationError."""
    document = Document.parse(raw, file)
    top = document.section("", document.value or {}, _SECTIONS)
    objectives = dict(OBJECTIVES)
    for name, body in top.mapping("objectives").items():
        objectives[name] = _objective(document, f"objectives.{name}", body, name)
    objective = DEFAULT_OBJECTIVE
    if isinstance(top.given.get("objective"), Mapping):
        objective = _objective(document, "objective", top.given["objective"], "")
        objectives[objective.name] = objective
    elif "objective" in top.given:
        objective = objectives[top.one_of("objective", tuple(objectives), "")]
    placements = {name: replace(placement, objective=objective.name) for name, placement in PLACEMENTS.items()}
    for name, body in top.mapping("placements").items():
        placements[name] = _placement(document, name, body, placements, tuple(objectives), objective.name)
    release = release_settings(document, top.given.get("release"))
    service = door_settings(document, top.mapping("service"))
    store = OnlineStore.read(document, "online_store", top.given.get("online_store") or "sqlite")
    agents = agent_settings(document, top.given.get("agents"))

    def arm_of(path: str, arm: Mapping[str, Any], base: Placement) -> Placement:
        return _changed(document, path, document.section(path, arm, _ARM_KEYS), base, tuple(objectives))

    experiments = experiment_settings(document, top.mapping("experiments"), placements, arm_of)
    named = MappingProxyType(placements), MappingProxyType(objectives)
    return Configuration(*named, objective, release, service, store, agents, experiments)


_SECTIONS = ("agents", "experiments", "objective", "objectives", "online_store", "placements", "release", "service")


def _placement(
    document: Document,
    name: str,
    body: object,
    known: Mapping[str, Placement],
    objectives: Sequence[str],
    objective: str,
) -> Placement:
    """One placement: what is written changes the shipped one of that name, the one it is `like`, or a plain one."""
    path = f"placements.{name}"
    part = document.section(path, body or {}, _PLACEMENT_KEYS)
    base = known.get(name, Placement(name, objective=objective))
    if "like" in part.given:
        base = replace(known[part.one_of("like", tuple(known), "")], name=name)
    return _changed(document, path, part, base, objectives)


def _changed(document: Document, path: str, part: Section, base: Placement, objectives: Sequence[str]) -> Placement:
    """The base with what is written."""
    placement = replace(
        base,
        default_k=part.whole("default_k", base.default_k, 1, MAX_K),
        max_k=part.whole("max_k", base.max_k, 1, MAX_K),
        generators=part.read("generators", base.generators, lambda at, value: _generators(document, at, value)),
        rank_by=part.one_of("rank_by", RANK_BY, base.rank_by),
        filter=part.read("filter", base.filter, lambda at, value: _condition(document, at, value)) or AllOf(),
        bought=part.one_of("bought", BOUGHT_MODES, base.bought),
        hides_context=part.flag("hides_context", base.hides_context),
        requires=part.names("requires", base.requires, REQUIRABLE),
        objective=part.one_of("objective", objectives, base.objective),
        diversity=part.read("diversity", base.diversity, lambda at, value: _diversity(document, at, value, base))
        or Diversity(),
        boosts=part.rules("boosts", base.boosts, lambda at, value: _boost(document, at, value)),
        pins=part.rules("pins", base.pins, lambda at, value: _pin(document, at, value)),
        freshness=part.read("freshness", base.freshness, lambda at, value: _freshness(document, at, value)),
        policy=part.read("exploration", base.policy, lambda at, value: _policy(document, at, value, base))
        or SlatePolicy(),
    )
    _agree(document, path, placement)
    if KNOWLEDGE in (placement.generators or ()):  # it has nothing else to go by
        return replace(placement, requires=tuple(dict.fromkeys((*placement.requires, "needs"))))
    return placement


_PLACEMENT_KEYS = (
    "boosts", "bought", "default_k", "diversity", "exploration", "filter", "freshness", "generators",
    "hides_context", "like", "max_k", "objective", "pins", "rank_by", "requires",
)  # fmt: skip
# Of one arm of an experiment: not how many, which a request asks for, nor what it must bring.
_ARM_KEYS = tuple(name for name in _PLACEMENT_KEYS if name not in ("default_k", "like", "max_k", "requires"))


def _agree(document: Document, path: str, placement: Placement) -> None:
    """What is sound by itself but not together."""
    names = placement.generators or ()
    if placement.default_k > placement.max_k:
        found = f"default_k {placement.default_k} above max_k {placement.max_k}"
        raise document.error(f"{path}.default_k", found, "at most max_k", "Lower the one or raise the other.")
    if placement.rank_by == "generator" and len(names) != 1:
        found = f"rank_by generator with {len(names) or 'all'} generators"
        raise document.error(f"{path}.rank_by", found, "exactly one in `generators`", "Name one, or rank by the model.")
    if KNOWLEDGE in names and placement.rank_by != "generator":
        found = f"the generator {KNOWLEDGE} with rank_by model"
        raise document.error(
            f"{path}.generators",
            found,
            "rank_by: generator (in a hybrid placement a request's needs filter and boost by themselves)",
            "Set rank_by, or leave the generator out.",
        )
    for place, pin in enumerate(placement.pins):
        at = f"{path}.pins[{place}]"
        if pin.position > placement.max_k:
            raise document.error(at, f"position {pin.position}", f"at most max_k, {placement.max_k}", "Move it up.")
        for other in placement.pins[:place]:
            if other.position == pin.position and _overlap(other, pin):
                found = f"{pin.item_id} and {other.item_id} at position {pin.position} at the same time"
                raise document.error(at, found, "one pin a position and moment", "Move one, or end its window.")


def _overlap(one: Pin, other: Pin) -> bool:
    start = max(one.from_ms or 0, other.from_ms or 0)
    return start < min(math.inf if pin.until_ms is None else pin.until_ms for pin in (one, other))


def _generators(document: Document, path: str, value: object) -> tuple[str, ...]:
    # Here, not above: the families bring the libraries that fit them.
    from recommender.retrieval.families import GENERATORS

    return document.names(path, value, (*GENERATORS, KNOWLEDGE))


def _diversity(document: Document, path: str, value: object, base: Placement) -> Diversity:
    part, was = document.section(path, value, ("weight", "max_per_category", "max_per_brand")), base.diversity
    return Diversity(
        part.number("weight", was.weight, 0.0, 1.0),
        part.read("max_per_category", was.max_per_category, lambda at, limit: document.whole(at, limit, 1, MAX_K)),
        part.read("max_per_brand", was.max_per_brand, lambda at, limit: document.whole(at, limit, 1, MAX_K)),
    )


def _boost(document: Document, path: str, value: object) -> Boost:
    part = document.section(path, value, ("when", "multiply", "add"), needed=("when",))
    when = _condition(document, f"{path}.when", part.given["when"])
    return Boost(when, part.number("multiply", 1.0, 0.0, 100.0), part.number("add", 0.0, -1.0, 1.0))


def _pin(document: Document, path: str, value: object) -> Pin:
    part = document.section(path, value, ("item", "position", "from", "until"), needed=("item", "position"))
    item = part.given["item"]
    if not isinstance(item, str) or not item:
        raise document.error(f"{path}.item", f"{item!r:.80}", "an item id as text", "Put it in quotes.")
    from_ms, until_ms = (part.read(name, None, document.moment) for name in ("from", "until"))
    if from_ms is not None and until_ms is not None and from_ms >= until_ms:
        raise document.error(f"{path}.until", "a window that ends before it begins", "until after from", "Swap them.")
    return Pin(item, part.whole("position", 1, 1, MAX_K), from_ms, until_ms)


def _freshness(document: Document, path: str, value: object) -> Freshness:
    part = document.section(path, value, ("share", "days", "max_events"), needed=("share",))
    return Freshness(
        part.number("share", 0.0, 0.0, 1.0),
        part.number("days", 14.0, 0.01, 3650.0),
        part.whole("max_events", 20, 0, 10**9),
    )


def _policy(document: Document, path: str, value: object, base: Placement) -> SlatePolicy:
    part = document.section(path, value, ("share", "pool"))
    return SlatePolicy(
        part.number("share", base.policy.exploration, 0.0, 1.0), part.whole("pool", base.policy.pool, 1, MAX_K)
    )


def _condition(document: Document, path: str, value: object) -> AllOf:
    try:
        return parse_condition(value, path)
    except RequestError as problem:
        at = max((known for known in document.lines if problem.found.startswith(known)), key=len, default=path)
        raise document.error(at, problem.found.rstrip("."), problem.expected.rstrip("."), problem.remedy) from None


def _objective(document: Document, path: str, value: object, name: str) -> Objective:
    try:
        return Objective.parse(value, name)  # type: ignore[arg-type]
    except InputError as problem:
        raise document.error(path, problem.found.rstrip("."), problem.expected.rstrip("."), problem.remedy) from None


def _told(experiment: PlacementExperiment) -> dict[str, Any]:
    arms = {arm: {"share": experiment.shares[arm], **_facts(own)} for arm, own in experiment.arms.items()}
    kept = {name: getattr(experiment, name) for name in ("placement", "salt", "value")}
    return {**kept, "outcomes": dict(experiment.outcomes), "arms": arms}


def _facts(placement: Placement) -> dict[str, Any]:
    boosts = [{"when": boost.when.words, "multiply": boost.multiply, "add": boost.add} for boost in placement.boosts]
    plain = asdict(replace(placement, filter=AllOf(), boosts=()))
    told = {"filter": placement.filter.words, "boosts": boosts, "generators": list(placement.generators or ("all",))}
    return plain | told
