"""When to train again: evidence turned into causes, and the ledger that gives each cause one run.

Nothing is started here: orchestration asks `due` and tells what happened. Time is always an argument.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

from monitoring.drift import DriftResult
from monitoring.locks import locked
from monitoring.performance import PerformanceFall
from recommender.errors import IntegrityError
from recommender.events import DAY_MS
from recommender.workspace import write_bytes_atomically

__all__ = [
    "Cause",
    "Evidence",
    "LedgerEntry",
    "Outcome",
    "RetrainConfig",
    "RetrainLedger",
    "RetrainRequest",
    "causes",
    "read_ledger",
    "update_ledger",
]

CauseKind = Literal["drift", "staleness", "performance"]
Outcome = Literal["promoted", "refused", "failed", "superseded"]
HOUR_MS = 3_600_000


@dataclass(frozen=True)
class RetrainConfig:
    """What counts as stale, and how long to rest between two retrains."""

    max_age_days: int = 7
    cool_down_hours: int = 12


@dataclass(frozen=True)
class Evidence:
    """What was known about one champion in one window. `drift` and `fall` are None where nobody looked.

    `window_id` names the window (usually its cut); times are milliseconds since 1970, UTC.
    """

    champion_version: str
    champion_as_of_ms: int
    window_id: str
    as_of_ms: int
    drift: DriftResult | None = None
    fall: PerformanceFall | None = None


@dataclass(frozen=True)
class Cause:
    """A reason to train again, with the sentence and the figures that justify it."""

    kind: CauseKind
    champion_version: str
    window_id: str
    sentence: str
    figures: Mapping[str, float] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Stable identity: the same finding about the same champion in the same window is one cause."""
        return f"{self.kind}:{self.champion_version}:{self.window_id}"


def causes(evidence: Evidence, config: RetrainConfig | None = None) -> list[Cause]:
    """Every reason that this window gives; a level, not an edge: the ledger makes edges of it.

    The window of staleness is how often the permitted age has passed, so that a champion that survives a
    refused retrain becomes a new cause one age later, and not in every window.
    """
    config = config or RetrainConfig()
    found = []
    version, window = evidence.champion_version, evidence.window_id
    if evidence.drift and evidence.drift.is_drifted:
        effects = {column.column: column.effect for column in evidence.drift.drifted}
        found.append(Cause("drift", version, window, evidence.drift.sentence(), effects))
    if evidence.fall and evidence.fall.has_fallen:
        found.append(Cause("performance", version, window, evidence.fall.sentence(), evidence.fall.figures()))
    age_days = (evidence.as_of_ms - evidence.champion_as_of_ms) / DAY_MS
    if age_days >= config.max_age_days:
        sentence = f"The champion knows nothing of the last {age_days:.1f} days; {config.max_age_days} are permitted."
        times = f"age{int(age_days // config.max_age_days)}"
        found.append(Cause("staleness", version, times, sentence, {"age_days": age_days}))
    return found


@dataclass(frozen=True)
class LedgerEntry:
    """A cause's life: noted, then requested by one run, then settled with an outcome."""

    cause: Cause
    noted_ms: int
    run_id: str | None = None
    requested_ms: int | None = None
    outcome: Outcome | None = None
    detail: str = ""

    @property
    def is_pending(self) -> bool:
        return self.run_id is None and self.outcome is None


@dataclass(frozen=True)
class RetrainRequest:
    """One run to start. `key` is the oldest cause's: Dagster's run_key, the same however often one asks."""

    key: str
    causes: tuple[Cause, ...]


@dataclass(frozen=True)
class RetrainLedger:
    """Which causes were noted, requested and settled, and which levels are high. A value: changes return a new one.

    A cause is noted when its level rises, never while it stays high. A new champion starts from low
    levels, and causes against its predecessor that no run took are superseded.
    """

    champion_version: str | None = None
    retired: tuple[str, ...] = ()  # champions before this one
    latest_ms: int = 0  # cut of the newest evidence
    windows: tuple[str, ...] = ()  # noted about this champion
    high: Mapping[str, str] = field(default_factory=dict)  # kind → window in which it rose
    entries: tuple[LedgerEntry, ...] = ()

    def note(self, evidence: Evidence, config: RetrainConfig | None = None) -> RetrainLedger:
        """Take in one window. Again, late or out of order does no harm: a late window can raise, never lower.

        A window that is told again after newer ones is passed over: its level may be over since.
        """
        if not self._concerns_champion(evidence):
            return self
        ledger = self._under(evidence.champion_version)
        is_late, is_known = evidence.as_of_ms < ledger.latest_ms, evidence.window_id in ledger.windows
        if is_late and is_known:
            return self
        high, entries = dict(ledger.high), list(ledger.entries)
        if not is_late:
            for kind in _lowered(evidence):
                high.pop(kind, None)
        known = {entry.cause.key for entry in entries}
        for cause in causes(evidence, config):
            rises = cause.kind not in high or (cause.kind == "staleness" and high[cause.kind] != cause.window_id)
            if rises and cause.key not in known:
                high[cause.kind] = cause.window_id
                entries.append(LedgerEntry(cause, evidence.as_of_ms))
        return replace(
            ledger,
            latest_ms=max(ledger.latest_ms, evidence.as_of_ms),
            windows=ledger.windows if is_known else (*ledger.windows, evidence.window_id),
            high=high,
            entries=tuple(entries),
        )

    def due(self, now_ms: int, config: RetrainConfig | None = None) -> RetrainRequest | None:
        """The run to start now, for all pending causes together; None when there is none or the rest is not over.

        Asking changes nothing: until `started` is told, the answer keeps its key. A crash between asking
        and starting loses no cause, and Dagster's run_key stops the second run.
        """
        pending = [entry.cause for entry in self.entries if entry.is_pending]
        rested_ms = (config or RetrainConfig()).cool_down_hours * HOUR_MS
        requested = [entry.requested_ms for entry in self.entries if entry.requested_ms is not None]
        if not pending or (requested and now_ms - max(requested) < rested_ms):
            return None
        return RetrainRequest(pending[0].key, tuple(pending))

    def started(self, run_id: str, now_ms: int) -> RetrainLedger:
        """A training run began: it answers every cause that is pending by now."""
        entries = (replace(e, run_id=run_id, requested_ms=now_ms) if e.is_pending else e for e in self.entries)
        return replace(self, entries=tuple(entries))

    def settled(self, run_id: str, outcome: Outcome, detail: str = "") -> RetrainLedger:
        """What became of the run. The cause is spent either way: only a new rise, or more age, trains again."""
        entries = (replace(e, outcome=outcome, detail=detail) if e.run_id == run_id else e for e in self.entries)
        return replace(self, entries=tuple(entries))

    def failed_early(self, key: str, run_id: str, now_ms: int, detail: str = "") -> RetrainLedger:
        """A requested run ended before it could tell that it started: the cause that gave it its key is spent.

        Dagster never starts a known run_key again, so a cause left pending under it would block all others
        for ever. They stay pending and get a run of their own after the rest. Without effect after `started`.
        """
        entries = (
            replace(e, run_id=run_id, requested_ms=now_ms, outcome="failed", detail=detail)
            if e.is_pending and e.cause.key == key
            else e
            for e in self.entries
        )
        return replace(self, entries=tuple(entries))

    def of_run(self, run_id: str) -> tuple[LedgerEntry, ...]:
        """The causes that a run answers."""
        return tuple(entry for entry in self.entries if entry.run_id == run_id)

    def _concerns_champion(self, evidence: Evidence) -> bool:
        """False for windows of champions that were replaced, unless the champion was rolled back since."""
        if evidence.champion_version == self.champion_version:
            return True
        is_new = evidence.champion_version not in self.retired
        return evidence.as_of_ms > self.latest_ms or (is_new and evidence.as_of_ms == self.latest_ms)

    def _under(self, champion_version: str) -> RetrainLedger:
        """This ledger with that champion in charge."""
        if champion_version == self.champion_version:
            return self
        detail = f"{champion_version} became champion before a run began."
        entries = (replace(e, outcome="superseded", detail=detail) if e.is_pending else e for e in self.entries)
        retired = (*self.retired, self.champion_version) if self.champion_version else self.retired
        return replace(
            self, champion_version=champion_version, retired=retired, windows=(), high={}, entries=tuple(entries)
        )


def read_ledger(path: Path) -> RetrainLedger:
    """The ledger as stored; an empty one when there is none. Raises IntegrityError when the file is something else."""
    if not path.exists():
        return RetrainLedger()
    try:
        stored = json.loads(path.read_bytes())
        entries = tuple(LedgerEntry(**{**entry, "cause": Cause(**entry["cause"])}) for entry in stored["entries"])
        lists = {name: tuple(stored[name]) for name in ("retired", "windows")}
        return RetrainLedger(**{**stored, **lists, "entries": entries})
    except (KeyError, TypeError, ValueError) as error:
        raise IntegrityError(
            f"{path}, which does not hold a retrain ledger ({error}).",
            "the JSON file that nextbest wrote there.",
            "move the file away; a new ledger begins, and causes may be answered once more.",
        ) from error


def update_ledger(path: Path, change: Callable[[RetrainLedger], RetrainLedger]) -> RetrainLedger:
    """Read, change, write, with other processes waiting: the sensor and the runs both write here."""
    with locked(path):
        changed = change(read_ledger(path))
        write_bytes_atomically(path, json.dumps(asdict(changed), indent=1).encode())
    return changed


def _lowered(evidence: Evidence) -> list[CauseKind]:
    """Levels that this window proves low; too little data proves nothing."""
    lowered: list[CauseKind] = []
    if evidence.drift and evidence.drift.verdict == "no drift":
        lowered.append("drift")
    if evidence.fall and evidence.fall.verdict == "held":
        lowered.append("performance")
    return lowered
