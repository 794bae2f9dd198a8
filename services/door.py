"""What one worker holds open: clock, keys, journal, champion, features; one thread keeps up with them. No HTTP here."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from recommender.decision.pipeline import Decision, DecisionRequest, deciding
from recommender.decision.placement_experiment import placements_of
from recommender.decision.placements import Placement
from recommender.decision.protocols import Scorer, Scoring
from recommender.decision.scoring import decided
from recommender.errors import NextbestError
from recommender.workspace import Workspace
from services import metrics
from services.catalogue import Catalogue, CatalogueConfig
from services.champion import Champion, ChampionConfig
from services.clock import Clock
from services.decision_journal import DecisionJournal, DecisionJournalConfig
from services.group_commit import GroupCommit
from services.journal import Journal
from services.keys import Keyring
from services.lineup import Asked, Lineup
from services.metrics import stage
from services.online_agents import OnlineAgents, OnlineAgentsConfig
from services.online_features import OnlineFeatures
from services.operator_file import OperatorFile
from services.past_decisions import PastDecisions
from services.records import Entry, Receipt, anonymous_user
from services.stored_states import StoredStates, StoredStatesConfig
from services.timed_scorer import TimedScorer
from services.turns import Turns

__all__ = ["Door", "DoorConfig"]

_LOG = logging.getLogger("nextbest.door")

_Made = tuple[Decision, "Future[Receipt] | None", float]  # its record, and when it was decided


@dataclass(frozen=True)
class DoorConfig:
    """How patient a worker is.

    `poll_seconds`: how often the aliases, the keys and the settings are looked at.
    """

    poll_seconds: float = 0.5
    states: StoredStatesConfig = field(default_factory=StoredStatesConfig)
    catalogue: CatalogueConfig = field(default_factory=CatalogueConfig)
    journal: DecisionJournalConfig = field(default_factory=DecisionJournalConfig)
    champion: ChampionConfig = field(default_factory=ChampionConfig)
    agents: OnlineAgentsConfig = field(default_factory=OnlineAgentsConfig)


class Door:
    """Opened when a worker starts, closed when it ends."""

    def __init__(self, workspace: Workspace, config: DoorConfig | None = None) -> None:
        self.workspace = workspace
        self.config = config or DoorConfig()
        self.clock = Clock.from_settings(workspace.settings)
        self.keyring = Keyring(workspace.keys)
        self.operator = OperatorFile(workspace)
        self.catalogue = Catalogue(workspace.journal, self.config.catalogue)
        release = lambda: self.operator.configuration.release  # noqa: E731
        self.champion = Champion(workspace, release, self.config.champion, self.catalogue.prepare)
        features = OnlineFeatures(workspace, lambda: self.operator.configuration.online_store)
        self.states = StoredStates(features, self.config.states)
        self.writer = GroupCommit(workspace.journal)
        # Used by the event loop's thread alone, which must not wait for it.
        self.reader = Journal(workspace.journal, busy_seconds=self.config.journal.read_seconds)
        self.journal = DecisionJournal(self.reader, self.writer, self.config.journal)
        self._turns = Turns(self._decided)
        self.states_as_of_ms: int | None = None  # of the latest stored state that was read
        self.past = PastDecisions(self.catalogue, self.states, self.reader, workspace.mart("user_states"))
        self.agents = OnlineAgents(workspace, self.journal, self._now_ms, self.config.agents)
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
        self.agents.close()
        self.champion.close()
        self.catalogue.close()
        self.past.close()
        self.states.close()
        self.writer.close()
        self.reader.close()

    async def record(self, entry: Entry) -> Receipt:
        """Return once the entry is committed and synced."""
        with stage("record"):
            return await asyncio.wrap_future(self.writer.submit(entry))

    async def catch_up(self) -> None:
        """Return once the catalogue is served as it was told, or the patience for that is over."""
        await self.catalogue.caught_up(self.journal.catalogue_seq())

    async def recommend(self, body: Mapping[str, Any]) -> Decision:
        """Decide, and have the decision on disk before anybody hears of it: see `decision_journal` where that fails."""
        until = time.monotonic() + self.operator.configuration.service.deadline_seconds
        lineup = self.champion.required()
        placements = self.operator.configuration.placements
        with stage("parse"):
            request = self._known(self._parsed(body, placements))
        with stage("state"):
            state, is_degraded = await self.states.read(request.subject)
            if state is not None and self.journal.is_being_erased(request.subject):
                state = None
        placements, arm = placements_of(
            self.operator.configuration.experiments, placements, request.placement, request.subject
        )
        metrics.observe_state("unavailable" if is_degraded else "unknown" if state is None else "stored")
        self.states_as_of_ms = state["as_of_ms"] if state else self.states_as_of_ms
        with stage("live"):
            live = self.journal.live_events(request.subject, state["as_of_ms"] if state else 0)
            is_degraded = is_degraded or live is None
            await self.catch_up()

        def begin(scorer: Scorer, variant: str, is_degraded: bool) -> Scoring[Decision]:
            return deciding(
                request,
                state,
                live.events if live else (),
                self.catalogue.over(scorer),
                placements,
                journal_seq=live.journal_seq if live else None,
                is_degraded=is_degraded,
                variant=variant + arm,
            )

        def make(scorer: Scorer, variant: str, is_degraded: bool) -> Decision:
            return decided(begin(scorer, variant, is_degraded), self._timed(scorer))

        started = time.perf_counter()
        asked = Asked(request.subject, request.decision_id, make, begin, is_degraded)
        decision, written, decided_at = await self._turns.taken(lineup, asked)
        metrics.observe_stage("decide", decided_at - started)
        decision = await self.journal.recorded(decision, until, written)
        metrics.observe_stage("record", time.perf_counter() - decided_at)
        return decision

    def _decided(self, lineup: Lineup, asked: Sequence[Asked]) -> list[_Made | Exception]:
        """The decisions of a turn with their records under way, or what each raises."""
        found = self._made(lineup, asked)
        now = time.perf_counter()
        written = iter(self.journal.handed_over([made for made in found if isinstance(made, Decision)]))
        return [made if isinstance(made, Exception) else (made, next(written), now) for made in found]

    def _made(self, lineup: Lineup, asked: Sequence[Asked]) -> Sequence[Decision | Exception]:
        if len(asked) > 1:
            return lineup.decide_together(asked, self._timed, self.champion.shadow)
        (one,) = asked
        return [lineup.decide(one.subject, one.decision_id, one.make, one.is_degraded, self.champion.shadow)]

    def _timed(self, scorer: Scorer) -> Scorer:
        """A bundle as it is served now."""
        return TimedScorer(self.catalogue.over(scorer))

    def _parsed(self, body: Mapping[str, Any], placements: Mapping[str, Placement]) -> DecisionRequest:
        context = body.get("context")
        decided_ms = self.clock.request_moment(context if isinstance(context, dict) else {})
        return DecisionRequest.parse(body, uuid4().hex, decided_ms, placements)

    def _known(self, request: DecisionRequest) -> DecisionRequest:
        """Give an anonymous person the canonical id that the warehouse knows them by."""
        if request.user_id is not None or request.anonymous_id is None:
            return request
        identified = self.journal.identified(request.anonymous_id)
        return dataclasses.replace(request, user_id=identified or anonymous_user(request.anonymous_id))

    def _now_ms(self) -> int:
        return self.clock.now_ms()  # whichever clock it is by now

    def _watch(self) -> None:
        while not self._closing.wait(self.config.poll_seconds):
            self._follow()

    def _follow(self) -> None:
        """Look at whatever changes under a running service: each look costs a `stat` unless something did."""
        for action in (
            self.operator.refresh,
            self.states.connect,
            self.champion.refresh,
            self._follow_catalogue,
            self.keyring.refresh,
            self._follow_clock,
        ):
            self._attempt(action)

    def _follow_catalogue(self) -> None:
        self.catalogue.keep(self.champion.versions)
        self.catalogue.follow()

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
