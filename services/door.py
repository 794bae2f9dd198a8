"""What one worker holds open: clock, keys, journal, champion, features; one thread keeps up with them. No HTTP here."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from recommender.decision.pipeline import Decision, DecisionRequest, decide
from recommender.errors import FeatureStoreError, NextbestError, NoChampionError
from recommender.workspace import Workspace
from services.champion import Champion
from services.clock import Clock
from services.group_commit import GroupCommit
from services.journal import Journal
from services.keys import Keyring
from services.online_features import OnlineFeatures
from services.operator_file import OperatorFile
from services.records import Entry, Receipt, anonymous_user

__all__ = ["Door", "DoorConfig"]

_LOG = logging.getLogger("nextbest.door")


@dataclass(frozen=True)
class DoorConfig:
    """How patient a worker is.

    `poll_seconds`: how often the aliases, the keys and the settings are looked at. `read_seconds`: the
    deadline of a read from the online store (0.3 ms of work; a frozen Redis hung one for 30 s; with 50 ms,
    four busy cores at a load of 14 missed one read in seven). `pause_seconds`: how long the store is left
    alone after the first failed read; each further failure doubles it, up to `longest_pause_seconds`.
    """

    poll_seconds: float = 0.5
    read_seconds: float = 0.25
    pause_seconds: float = 0.5
    longest_pause_seconds: float = 4.0


class Door:
    """Opened when a worker starts, closed when it ends."""

    def __init__(self, workspace: Workspace, config: DoorConfig | None = None) -> None:
        self.workspace = workspace
        self.config = config or DoorConfig()
        self.clock = Clock.from_settings(workspace.settings)
        self.keyring = Keyring(workspace.keys)
        self.champion = Champion(workspace)
        self.operator = OperatorFile(workspace)
        self.features = OnlineFeatures(workspace)
        self.writer = GroupCommit(workspace.journal)
        self.reader = Journal(workspace.journal)  # used by the event loop's thread alone
        self._reads = ThreadPoolExecutor(2, "online-features")
        self._paused_until = self._pause = 0.0
        self._told: dict[str, str] = {}
        self._closing = threading.Event()
        # Before the worker accepts its first request: the workers share one socket, so one that was not
        # ready would answer 503 beside another that is.
        self._follow()
        if self.keyring.is_open:
            _LOG.warning("no key was ever created: every caller may read and write. Run `nextbest keys create`.")
        self._watcher = threading.Thread(target=self._watch, name="watcher", daemon=True)
        self._watcher.start()

    @property
    def is_ready(self) -> bool:
        """Whether a champion is loaded."""
        return self.champion.scorer is not None

    def close(self) -> None:
        self._closing.set()
        self._watcher.join()
        self._reads.shutdown(wait=False, cancel_futures=True)
        self.writer.close()
        self.reader.close()

    async def record(self, entry: Entry) -> Receipt:
        """Return once the entry is committed and synced."""
        return await asyncio.wrap_future(self.writer.submit(entry))

    async def recommend(self, body: Mapping[str, Any]) -> Decision:
        """Decide, and have the decision on disk before anybody hears of it."""
        scorer = self.champion.scorer
        if scorer is None:
            raise NoChampionError(
                "no champion is loaded.", "a promoted bundle.", "run `nextbest run --source NAME --path DIR` first."
            )
        context = body.get("context")
        decided_ms = self.clock.request_moment(context if isinstance(context, dict) else {})
        placements = self.operator.configuration.placements
        request = self._known(DecisionRequest.parse(body, uuid4().hex, decided_ms, placements))
        state, is_degraded = await self._stored_state(request.subject)
        live = self.reader.live_events([request.subject], state["as_of_ms"] if state else 0)
        decision = decide(
            request,
            state,
            live.events,
            scorer,
            placements,
            journal_seq=live.journal_seq,
            is_degraded=is_degraded,
        )
        await self.record(Entry(decision=decision.to_row()))
        return decision

    def _known(self, request: DecisionRequest) -> DecisionRequest:
        """Give an anonymous person the canonical id that the warehouse knows them by."""
        if request.user_id is not None or request.anonymous_id is None:
            return request
        identified = self.reader.identified(request.anonymous_id)
        return dataclasses.replace(request, user_id=identified or anonymous_user(request.anonymous_id))

    async def _stored_state(self, user_id: str) -> tuple[Mapping[str, Any] | None, bool]:
        """The stored state, and whether we had to do without the store."""
        if time.monotonic() < self._paused_until:
            return None, True
        loop = asyncio.get_running_loop()
        try:
            read = loop.run_in_executor(self._reads, self.features.user_state, user_id)
            state = await asyncio.wait_for(read, self.config.read_seconds)
        except (FeatureStoreError, TimeoutError) as problem:
            self._leave_alone(str(problem) or f"no answer within {self.config.read_seconds} s")
            return None, True
        self._pause = 0.0
        return state, False

    def _leave_alone(self, told: str) -> None:
        """Spare the store, and the callers its deadline, for a while."""
        if time.monotonic() < self._paused_until:
            return  # another request has just found out
        doubled = max(2 * self._pause, self.config.pause_seconds)
        self._pause = min(doubled, self.config.longest_pause_seconds)
        self._paused_until = time.monotonic() + self._pause
        _LOG.warning("the online store is left alone for %s s: %s", self._pause, told)

    def _watch(self) -> None:
        while not self._closing.wait(self.config.poll_seconds):
            self._follow()

    def _follow(self) -> None:
        """Look at whatever changes under a running service: each look costs a `stat` unless something did."""
        for action in (
            self.features.connect,
            self.champion.refresh,
            self.operator.refresh,
            self.keyring.refresh,
            self._follow_clock,
        ):
            self._attempt(action)

    def _follow_clock(self) -> None:
        self.clock = Clock.from_settings(self.workspace.settings)

    def _attempt(self, action: Callable[[], None]) -> None:
        """Tell a problem once, not at every look."""
        try:
            action()
        except NextbestError as problem:
            if self._told.get(action.__name__) != str(problem):
                self._told[action.__name__] = str(problem)
                _LOG.warning("%s", problem)
