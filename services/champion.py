"""The bundles that a worker serves: tried, loaded, watched, swapped while requests run. Nothing is decided here."""

from __future__ import annotations

import contextlib
import gc
import json
import logging
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil

from recommender.attributes import attributes_of
from recommender.decision.protocols import Scorer
from recommender.errors import IntegrityError, NextbestError, NoChampionError
from recommender.release_settings import ReleaseSettings
from recommender.workspace import Workspace, write_bytes_atomically
from services import metrics
from services.health import Health, HealthConfig
from services.lineup import CHALLENGER, CHAMPION, Lane, Lineup, is_slower
from services.model_store import aliases, bundle_folder
from services.release import canary_share, refuse
from services.shadow import Shadow
from services.verdicts import TrialConfig, Verdict, mark_proven, try_bundle

__all__ = ["Champion", "ChampionConfig", "worker_facts"]

_LOG = logging.getLogger("nextbest.champion")


@dataclass(frozen=True)
class ChampionConfig:
    """How long a new champion is on probation, with the one before it in memory: `probation_requests` answered and
    `probation_seconds` gone, both. One that then looks bad is put on probation again, at most once in
    `suspicion_seconds`. `timing_seconds` between two timings side by side, `telling_seconds` between two notes of how a
    worker's bundles do."""

    probation_requests: int = 500
    probation_seconds: float = 600.0
    suspicion_seconds: float = 3_600.0
    timing_seconds: float = 5.0
    telling_seconds: float = 2.0
    health: HealthConfig = field(default_factory=HealthConfig)
    trial: TrialConfig = field(default_factory=TrialConfig)


class Champion:
    """Follows the aliases. `lineup` is replaced in one assignment: a request sees the old one or the new one."""

    def __init__(
        self,
        workspace: Workspace,
        settings: Callable[[], ReleaseSettings] = ReleaseSettings,
        config: ChampionConfig | None = None,
        prepare: Callable[[Scorer], None] = lambda scorer: None,
    ) -> None:
        self._workspace, self._settings, self._config = workspace, settings, config or ChampionConfig()
        self._prepare = prepare  # called with a bundle before it is taken into service
        self._seen: object = None
        self._timed_at = self._told_at = 0.0
        self._suspected_at = -math.inf
        self._suspicion = ""
        self.lineup: Lineup | None = None
        self.shadow = Shadow()

    @property
    def scorer(self) -> Scorer | None:
        """The champion's bundle; None while there is none."""
        return None if self.lineup is None else self.lineup.champion.scorer

    @property
    def version(self) -> str:
        """The version in service, "" while there is none."""
        return "" if self.lineup is None else self.lineup.champion.version

    @property
    def versions(self) -> tuple[str, ...]:
        """Every version that is held in memory."""
        lineup = self.lineup
        lanes = () if lineup is None else (lineup.champion, lineup.spare, lineup.challenger)
        return tuple(lane.version for lane in lanes if lane is not None)

    def required(self) -> Lineup:
        """The line-up; NoChampionError while there is none."""
        if self.lineup is None:
            raise NoChampionError(
                "no champion is loaded.", "a promoted bundle.", "run `nextbest run --source NAME --path DIR` first."
            )
        return self.lineup

    def refresh(self) -> None:
        """Look at the bundles in service, then at the aliases; a bundle that is not sound is told and refused."""
        for step in (self._judge, self._look_at_aliases, self._tell):
            try:
                step()
            except NextbestError as problem:
                _LOG.error("the aliases cannot be followed. %s", problem)
            except Exception:  # the thread that calls this must outlive a full disk
                _LOG.exception("the bundles cannot be looked after")

    def close(self) -> None:
        self.shadow.close()
        _facts_path(self._workspace, os.getpid()).unlink(missing_ok=True)

    def facts(self) -> dict[str, Any]:
        """Which bundles this worker holds and how they do."""
        lineup = self.lineup
        if lineup is None:
            return {"champion": "none"}
        lanes = {CHAMPION: lineup.champion, "spare": lineup.spare, CHALLENGER: lineup.challenger}
        told = {name: {"version": lane.version, **lane.health.facts()} for name, lane in lanes.items() if lane}
        shares = {"canary_share": lineup.canary_share, "shadow_share": lineup.shadow_share}
        suspected = {"suspected": self._suspicion} if self._suspicion else {}
        return {**told, **shares, "shadow": self.shadow.facts(), **suspected}

    def _look_at_aliases(self) -> None:
        seen = (*map(_state, (self._workspace.aliases, self._workspace.canary)), self._settings())
        if seen != self._seen:
            self._seen = seen  # also when loading fails: the same bytes would fail again every half second
            self._follow()

    def _follow(self) -> None:
        """Bring the line-up to what the aliases say; a refused champion's alias moves, and is followed once more."""
        named = aliases(self._workspace)
        while (version := named.get(CHAMPION)) not in (None, self.version):
            if self._take_up(str(version), named.get("previous")):
                break
            before, named = named, aliases(self._workspace)
            if named == before:
                break
        self._take_on_trial(named.get(CHALLENGER))

    def _take_up(self, version: str, previous: str | None) -> bool:
        """Put a version into service; False where it was refused."""
        before = self.lineup
        lane = self._lane_of(version)
        if lane is None:
            return False
        if before is None:
            # A worker that starts in the middle of a probation: the others hold the way back, so does this one.
            is_proven = self._verdict(version).facts.get("proven")
            self.lineup = Lineup(lane, self._lane_of(previous) if previous and not is_proven else None)
        else:
            # What the others have just refused is no way back.
            spare = before.champion if self._verdict(before.champion.version).is_sound else None
            self.lineup = replace(before, champion=lane, spare=spare, challenger=None)
        # What was just loaded lives as long as the process: out of the collector's sight, tails get shorter.
        gc.collect()
        gc.freeze()
        _LOG.info("champion %s is in service%s", version, f", after {before.champion.version}" if before else "")
        return True

    def _take_on_trial(self, version: str | None) -> None:
        """Hold the challenger where it has a share of the people or of the requests."""
        if (lineup := self.lineup) is None:
            return
        on_trial, share = canary_share(self._workspace)
        canary, shadow = share if version == on_trial else 0.0, self._settings().shadow_share
        wanted = version if version != lineup.champion.version and (canary > 0 or shadow > 0) else None
        held = lineup.challenger
        if wanted is None:
            lane = None
        else:
            lane = held if held is not None and held.version == wanted else self._lane_of(wanted)
        self.lineup = replace(lineup, challenger=lane, canary_share=canary, shadow_share=shadow)
        if lane is not None and lane is not held:
            _LOG.info("challenger %s has %g of the people, %g in the shadow", lane.version, canary, shadow)

    def _lane_of(self, version: str) -> Lane | None:
        """A sound bundle in a lane with a health of its own: one in memory, or tried, loaded and warmed.

        None, and a refusal for all workers, where it is not sound.
        """
        verdict = self._verdict(version)
        if not verdict.is_sound:
            self._refuse(version, verdict.reason, "trial")
            return None
        lanes = (self.lineup.champion, self.lineup.spare, self.lineup.challenger) if self.lineup else ()
        held = next((lane.scorer for lane in lanes if lane is not None and lane.version == version), None)
        try:
            # Also for one in memory: what a restart could not load again is not served.
            folder = bundle_folder(self._workspace, version)
            if held is not None:
                return self._lane(held, verdict)
            # Here, not above: BentoML's supervisor imports this module too and has no use for XGBoost (2.5 s).
            from recommender.model.bundle import load_bundle

            fresh: Any = load_bundle(folder)
        except IntegrityError as problem:
            self._refuse(version, problem.found, "load")
            return None
        attributes_of(fresh.items).warm()
        self._prepare(fresh)
        return self._lane(fresh, verdict)

    def _verdict(self, version: str) -> Verdict:
        return try_bundle(self._workspace, version, self._config.trial)

    def _lane(self, scorer: Scorer, verdict: Verdict) -> Lane:
        golden = {name: float(verdict.facts[name]) for name in ("low", "high") if name in verdict.facts}
        return Lane(scorer, Health(self._config.health, **golden))

    def _refuse(self, version: str, reason: str, variant: str) -> None:
        kept = f"{self.version} stays in service" if self.lineup else "nothing was served before"
        _LOG.error("bundle %s is refused, %s. %s", version, kept, reason)
        metrics.observe_refused_bundle(variant)
        is_way_back = self.version not in ("", version) and self._verdict(self.version).is_sound
        refuse(self._workspace, version, reason, back_to=self.version if is_way_back else "")

    def _judge(self) -> None:
        """Take an abnormal bundle out of service, at once here and for all workers by the aliases."""
        if (lineup := self.lineup) is None:
            return
        if lineup.challenger is not None and (reason := self._problem(lineup.challenger, lineup.champion)):
            self.lineup = replace(lineup, challenger=None, canary_share=0.0)
            self._refuse(lineup.challenger.version, reason, CHALLENGER)
        elif lineup.spare is not None and (reason := self._problem(lineup.champion, lineup.spare)):
            back = self._lane(lineup.spare.scorer, self._verdict(lineup.spare.version))
            self.lineup = replace(lineup, champion=back, spare=None)
            self._refuse(lineup.champion.version, reason, CHAMPION)
        elif lineup.spare is not None and self._has_served_its_time(lineup.champion):
            self.lineup, self._suspicion = replace(lineup, spare=None), ""
            lineup.champion.health.usual_seconds = lineup.champion.health.percentile(99)
            mark_proven(self._workspace, lineup.champion.version)
            _LOG.info("champion %s has proven itself", lineup.champion.version)
        elif lineup.spare is None:
            self._suspect(lineup.champion)

    def _suspect(self, lane: Lane) -> None:
        """Put a champion that answers alone and looks bad on probation again, beside the one before it: whether it is
        the bundle that ails, and not its surroundings, shows only beside another. One without any stays, and one that
        was gone back to has none: nothing goes to and fro."""
        health = lane.health
        if health.usual_seconds is None and self._has_served_its_time(lane):  # of a worker that began after that
            health.usual_seconds = health.percentile(99)
        now = time.monotonic()
        if now - self._suspected_at < self._config.suspicion_seconds or not (reason := health.suspicion()):
            return
        self._suspected_at, self._suspicion = now, reason
        metrics.observe_suspicion()
        before = aliases(self._workspace).get("previous")
        beside = self._lane_of(before) if before and self._verdict(before).is_sound else None
        then = f"it is watched beside {before} again" if beside else "there is no sound one before it to go back to"
        _LOG.error("champion %s is suspected, %s. %s", lane.version, then, reason)
        if beside is not None and self.lineup is not None and self.lineup.champion is lane:
            beside.health.usual_seconds = health.usual_seconds
            self.lineup = replace(self.lineup, champion=replace(lane, since=now), spare=beside)

    def _problem(self, lane: Lane, beside: Lane) -> str:
        if reason := lane.health.problem():
            return reason
        now = time.monotonic()
        if now - self._timed_at < self._config.timing_seconds or not lane.health.is_suspect_beside(beside.health):
            return ""
        self._timed_at = now
        limits = self._config.health
        found = is_slower(lane, beside, limits.slow_factor, limits.slow_seconds)
        return "" if found is None else f"a request took it {found[0]:.3f} s, {beside.version} {found[1]:.3f} s."

    def _has_served_its_time(self, lane: Lane) -> bool:
        gone = time.monotonic() - lane.since
        return gone >= self._config.probation_seconds and lane.health.requests >= self._config.probation_requests

    def _tell(self) -> None:
        """Note for people how this worker's bundles do."""
        now = time.monotonic()
        if now - self._told_at >= self._config.telling_seconds and self.lineup is not None:
            self._told_at = now
            with contextlib.suppress(OSError):  # a note, nothing depends on it
                write_bytes_atomically(_facts_path(self._workspace, os.getpid()), json.dumps(self.facts()).encode())


def worker_facts(workspace: Workspace) -> list[dict[str, Any]]:
    """What each living worker last noted of its bundles; notes of dead ones are removed."""
    found = []
    for path in sorted(workspace.workers.glob("*.json")):
        if path.stem.isdigit() and psutil.pid_exists(int(path.stem)):
            found.append({"worker": int(path.stem), **json.loads(path.read_bytes())})
        else:
            path.unlink(missing_ok=True)
    return found


def _facts_path(workspace: Workspace, pid: int) -> Path:
    return workspace.workers / f"{pid}.json"


def _state(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino
