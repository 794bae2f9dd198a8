"""The agents that a worker decides for: their files, what they learnt, their audiences, taken up when they change.

What was good stays where something broken takes its place; that is told once.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from recommender.agents.agent import Agent
from recommender.agents.agent_file import parse_agent
from recommender.agents.published_audience import PublishedAudience
from recommender.agents.record import agent_version
from recommender.errors import NextbestError
from recommender.workspace import Workspace

if TYPE_CHECKING:  # BentoML's supervisor imports this module too and has no use for XGBoost (2.5 s)
    from recommender.agents.agent_model import AgentModel

__all__ = ["AgentShelf", "ServedAgent"]

_LOG = logging.getLogger("nextbest.agent_shelf")
_SWAP_SECONDS = 0.05  # a folder is away for that long, at most, while another one takes its place

T = TypeVar("T")


@dataclass(frozen=True)
class ServedAgent:
    """One agent as a worker has it. `is_whole`: what it learnt could be read; otherwise `model` is what is left."""

    agent: Agent
    version: str
    model: AgentModel
    is_whole: bool
    known: frozenset[str]  # columns that its conditions or policies read
    audience: PublishedAudience | None  # None: it never ran


class AgentShelf:
    """`agents`, by name, is replaced in one assignment; one thread refreshes it."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._files: dict[Path, _Followed[tuple[Agent, str]]] = {}
        self._models: dict[str, _Followed[AgentModel]] = {}
        self._audiences: dict[str, _Followed[PublishedAudience | None]] = {}
        self._twice: set[str] = set()
        self.agents: Mapping[str, ServedAgent] = {}

    def refresh(self) -> None:
        """Look at every file; each costs a `stat` unless it changed."""
        paths = sorted(self._workspace.agents.glob("*.yml"))
        self._files = {path: self._files.get(path) or _Followed(path, _read_file) for path in paths}
        found: dict[str, ServedAgent] = {}
        for path, file in self._files.items():
            file.refresh()
            if file.value is None:
                continue
            agent, version = file.value
            if agent.name not in found:
                found[agent.name] = self._served(agent, version)
            elif agent.name not in self._twice:
                self._twice.add(agent.name)
                _LOG.error("%s is a second agent %s, and is not served", path.name, agent.name)
        self.agents = found

    def _served(self, agent: Agent, version: str) -> ServedAgent:
        # Here, not above: see the top.
        from recommender.agents.agent_model import FACTS, load_agent_model, load_beliefs
        from recommender.agents.in_the_moment import known_columns

        name, folder = agent.name, self._workspace.agent_model(agent.name)
        if name not in self._models:
            self._models[name] = _Followed(folder / FACTS, lambda path: load_agent_model(path.parent))
            self._audiences[name] = _Followed(self._workspace.agent_audience(name), PublishedAudience.open)
        learnt, audience = self._models[name], self._audiences[name]
        learnt.refresh()
        audience.refresh()
        model = learnt.value if learnt.value is not None else load_beliefs(folder)
        is_whole = learnt.value is not None or not folder.exists()
        return ServedAgent(agent, version, model, is_whole, known_columns(agent, model), audience.value)


class _Followed(Generic[T]):
    """One file, read when it changes; `value` is the last good one, None while there was none or the file is gone."""

    def __init__(self, path: Path, read: Callable[[Path], T]) -> None:
        self._path, self._read = path, read
        self._seen: tuple[int, int, int] | None = None
        self.value: T | None = None

    def refresh(self) -> None:
        seen = self._state()
        if seen is None and self._seen is not None:
            time.sleep(_SWAP_SECONDS)
            seen = self._state()
        if seen == self._seen:
            return
        self._seen = seen  # also when reading fails: the same bytes would fail again every half second
        if seen is None:
            self.value = None
            return
        try:
            self.value = self._read(self._path)
        except NextbestError as problem:
            _LOG.error("%s stays as it was. %s", self._path.name, problem)
        except Exception:  # the thread that calls this must outlive whatever lies in a file
            _LOG.exception("%s stays as it was", self._path.name)

    def _state(self) -> tuple[int, int, int] | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino


def _read_file(path: Path) -> tuple[Agent, str]:
    raw = path.read_bytes()
    return parse_agent(raw, path.name), agent_version(raw)
