"""What an agent has learnt, as preferences and as a folder; `learning` says how. Nothing is drawn here."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from recommender.agents.agent import Agent
from recommender.agents.audience import Audience
from recommender.agents.beliefs import Beliefs
from recommender.agents.choosing import Preferences
from recommender.agents.context import features_of
from recommender.agents.gains import GainModel
from recommender.agents.suppression import Suppression
from recommender.decision.policies.folder import PolicyFolder, load_policy, save_policy
from recommender.decision.policies.protocol import with_floor
from recommender.errors import IntegrityError
from recommender.workspace import replace_folder, write_bytes_atomically

__all__ = ["COLD", "FACTS", "PRIOR", "AgentModel", "load_agent_model", "load_beliefs", "save_agent_model"]

FACTS, MESSAGES, TIMING, VARIANTS = "agent.json", "messages", "timing", "variants"
PRIOR = "prior"  # the policy's name in records of decisions before any outcome
# Of the exploration, what goes to all options alike: half before anything is known, then a tenth, which keeps every
# option judgeable. Half for good cost simulated crowds 1.5 % of what they earned.
EVENLY_COLD, EVENLY = 0.5, 0.1

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class AgentModel:
    """`messages` prefers actions and `timing` windows by person where that is proven, otherwise `actions` and `windows`
    prefer them for everybody; `sending` tells who is moved by a message at all (None: not proven), `suppression` who of
    them is left alone. `version` is that of the folder, "cold" without one; `facts` say what was found. Where the
    agent tries several policies, `variants` holds what each has learnt, by name, and the rest is for all of them.
    """

    actions: Beliefs = field(default_factory=Beliefs)
    windows: Beliefs = field(default_factory=Beliefs)
    messages: PolicyFolder | None = None
    sending: GainModel | None = None
    timing: PolicyFolder | None = None
    suppression: Suppression | None = None
    version: str = "cold"
    facts: Mapping[str, Any] = field(default_factory=dict)
    variants: Mapping[str, AgentModel] = field(default_factory=dict)

    @property
    def policy_name(self) -> str:
        """The kind that chooses messages: one of `nextbest policy`, "best" for one for everybody, or PRIOR."""
        return self.messages.policy.kind if self.messages else "best" if self.actions.names else PRIOR

    def alike(self) -> AgentModel:
        """What is thought of everybody alike, without any choice by person."""
        return AgentModel(self.actions, self.windows, version=self.version, facts=self.facts)

    def of(self, variant: str) -> AgentModel:
        """What one variant has learnt; for one that has not learnt yet, what is thought of everybody alike."""
        return self.variants.get(variant) or self.alike()

    def preferences(self, agent: Agent, audience: Audience) -> Preferences:
        """What is thought of everybody, before guardrails and the budget of exploration; each row by itself."""
        features = features_of(audience)
        names = [action.name for action in agent.actions]
        windows = [window.name for window in agent.timing.windows]
        gains = np.zeros(len(audience))
        if self.sending is not None:
            gains = self.sending.gains(features)
        wanted = _known(self.messages, features, names) if self.messages else self._for_all(agent, names, len(gains))
        hours = np.tile(self.windows.chances(windows), (len(gains), 1))
        when = _known(self.timing, features, windows) if self.timing else hours
        floor = (EVENLY if self.actions.names else EVENLY_COLD) * agent.exploration
        send = np.ones(len(gains))
        if self.suppression is not None and agent.frequency.suppressed_share:
            send = self.suppression.send_shares(gains, agent.exploration)
        budget = np.full(len(gains), agent.exploration)
        return Preferences(with_floor(wanted, floor), with_floor(when, floor), send, gains, budget)

    def _for_all(self, agent: Agent, names: list[str], n: int) -> Floats:
        """The chance of each action to be the best one; before any outcome the usual one, if there is one, leads."""
        chances = self.actions.chances(names)
        if not self.actions.names and len(names) > 1 and agent.shares.baseline_action:
            usual = names.index(agent.shares.baseline_action)
            chances = np.where(np.arange(len(names)) == usual, 1.0 + 1e-9, 1.0) / len(names)
        return np.tile(chances, (n, 1))


def _known(policy: PolicyFolder, features: pa.Table, names: list[str]) -> Floats:
    """A policy's probabilities by these names; one that it has not met gets the share of one of many."""
    told, _ = policy.probabilities(features)
    found = np.full((len(told), len(names)), 1.0 / len(names))
    kept = [place for place, name in enumerate(names) if name in policy.actions]
    columns = [policy.actions.index(names[place]) for place in kept]
    found[:, kept] = told[:, columns] * (len(kept) / len(names))
    return found


COLD = AgentModel()


def save_agent_model(model: AgentModel, folder: Path) -> str:
    """Write aside, then swap in; returns the version: sixteen hex digits over every byte."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        parts = {
            name: save_policy(part, aside / name)
            for name, part in ((MESSAGES, model.messages), (TIMING, model.timing))
            if part is not None
        }
        own = {name: save_agent_model(part, aside / VARIANTS / name) for name, part in model.variants.items()}
        content = {
            "actions": model.actions.as_json(),
            "windows": model.windows.as_json(),
            "parts": parts,
            "sending": model.sending.as_json() if model.sending else None,
            "suppression": model.suppression.as_json() if model.suppression else None,
            "facts": dict(model.facts),
        }
        if own:
            content["variants"] = own
        version = _version(content)
        data = json.dumps({**content, "version": version}, indent=1, sort_keys=True, allow_nan=False)
        write_bytes_atomically(aside / FACTS, data.encode())
        aside.chmod(0o755)
        replace_folder(aside, folder)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    return version


def load_agent_model(folder: Path) -> AgentModel:
    """What was learnt, or COLD where there is no folder; IntegrityError where a byte differs from what was written."""
    if not folder.exists():
        return COLD
    content, version = _content(folder)
    parts = {}
    for name, written in content["parts"].items():
        parts[name] = load_policy(folder / name)
        if json.loads((folder / name / "manifest.json").read_bytes())["version"] != written:
            raise _broken(folder, f"has another {name} than was written with it")
    variants = {name: load_agent_model(folder / VARIANTS / name) for name in content.get("variants", {})}
    for name, written in content.get("variants", {}).items():
        if variants[name].version != written:
            raise _broken(folder, f"has another variant {name} than was written with it")
    return AgentModel(
        Beliefs.from_json(content["actions"]),
        Beliefs.from_json(content["windows"]),
        parts.get(MESSAGES),
        GainModel.from_json(gains) if (gains := content["sending"]) else None,
        parts.get(TIMING),
        Suppression.from_json(bound) if (bound := content["suppression"]) else None,
        version,
        content["facts"],
        variants,
    )


def load_beliefs(folder: Path) -> AgentModel:
    """What is thought of everybody alike, for when the policies beside it cannot be read; COLD where nothing can."""
    try:
        content, version = _content(folder)
    except IntegrityError:
        return COLD
    actions, windows = (Beliefs.from_json(content[name]) for name in ("actions", "windows"))
    return AgentModel(actions, windows, version=version, facts=content["facts"])


def _content(folder: Path) -> tuple[dict[str, Any], str]:
    """What the folder's own file says, and its version; IntegrityError where a byte of it differs."""
    try:
        content = json.loads((folder / FACTS).read_bytes())
        version = content.pop("version")
    except (OSError, ValueError, KeyError, AttributeError) as problem:
        raise _broken(folder, f"cannot be read ({problem})") from problem
    if version != _version(content):
        raise _broken(folder, f"has other bytes than were written in {FACTS}")
    return content, version


def _version(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def _broken(folder: Path, problem: str) -> IntegrityError:
    remedy = "Run `nextbest agent learn` for this agent; its decisions and outcomes are all it needs."
    return IntegrityError(f"what an agent learnt, in {folder}, {problem}.", "the files as they were written.", remedy)
