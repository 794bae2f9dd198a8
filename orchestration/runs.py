"""Running jobs of the ring in this process, with progress a person can follow and an outcome a program can read."""

from __future__ import annotations

import contextlib
import os
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import dagster as dg
from dagster import DagsterEventType

from orchestration.instance import open_instance
from orchestration.resources import Ring
from recommender.errors import NextbestError

__all__ = ["RunOutcome", "StepNews", "execute", "sentence_of"]

_STOPPED_BY_CHECKS = "DagsterAssetCheckFailedError"


@dataclass(frozen=True)
class StepNews:
    """One thing that happened in a run: a step began, ended or failed, an asset was made, a check was read."""

    kind: str  # plan (name: how many steps) | start | success | failure | asset | check | log
    name: str
    text: str = ""


@dataclass
class RunOutcome:
    """What became of a run; `metadata` holds each asset's figures by asset name."""

    run_id: str
    is_success: bool
    seconds: float
    metadata: dict[str, dict[str, Any]] = field(default_factory=dict)
    failed_checks: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


def execute(
    ring: Ring,
    job_name: str,
    on_news: Callable[[StepNews], None] = lambda news: None,
    tags: Mapping[str, str] | None = None,
    agent: str | None = None,
) -> RunOutcome:
    """Run a job of the assembler's definitions to its end. Failures are reported in the outcome, not raised.

    The job `agents` needs the name of an `agent`; `Ring.at` is the moment at which it works.
    """
    from orchestration.definitions import build_definitions

    os.environ.update(ring.environment())
    ring.workspace.logs.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    definitions = build_definitions(ring.workspace, {"ring": ring})
    job = definitions.resolve_job_def(job_name)
    run_id = str(uuid.uuid4())
    on_news(StepNews("plan", str(len(job.nodes))))
    with open_instance(ring.workspace) as instance:
        follower = _Follower(instance, run_id, on_news)
        follower.start()
        try:
            # dbt's chatter goes to a log: stdout is for the figures that a command was asked for.
            with (ring.workspace.logs / "dbt.log").open("a") as chatter, contextlib.redirect_stdout(chatter):
                if agent is not None:
                    instance.add_dynamic_partitions("agents", [agent])
                job.execute_in_process(
                    instance=instance,
                    partition_key=agent,
                    run_id=run_id,
                    raise_on_error=False,
                    tags=dict(tags or {}),
                    run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
                )
        finally:
            follower.finish()
        run = instance.get_run_by_id(run_id)
    outcome = follower.outcome
    outcome.is_success = bool(run and run.is_success)
    outcome.seconds = time.monotonic() - started
    return outcome


class _Follower(threading.Thread):
    """Reads the event log of a run while it grows: the one source of progress for in-process and daemon runs alike."""

    def __init__(self, instance: dg.DagsterInstance, run_id: str, on_news: Callable[[StepNews], None]) -> None:
        super().__init__(daemon=True)
        self._instance, self._run_id, self._on_news = instance, run_id, on_news
        self._cursor: str | None = None
        self._ended = threading.Event()
        self.outcome = RunOutcome(run_id, False, 0.0)

    def run(self) -> None:
        while not self._ended.wait(0.3):
            self._read()

    def finish(self) -> None:
        """Stop following, after everything that was logged has been read."""
        self._ended.set()
        self.join()
        self._read()

    def _read(self) -> None:
        while True:
            page = self._instance.get_records_for_run(self._run_id, cursor=self._cursor, limit=200)
            for record in page.records:
                self._take(record.event_log_entry)
            self._cursor = page.cursor
            if not page.has_more:
                return

    def _take(self, entry: Any) -> None:
        event = entry.dagster_event
        if event is None:
            self._on_news(StepNews("log", entry.step_key or "", entry.user_message))
        elif event.event_type == DagsterEventType.STEP_START:
            self._on_news(StepNews("start", event.step_key))
        elif event.event_type == DagsterEventType.STEP_SUCCESS:
            self._on_news(StepNews("success", event.step_key))
        elif event.event_type == DagsterEventType.STEP_FAILURE:
            text = sentence_of(event.event_specific_data.error)
            self.outcome.failures.append(f"{event.step_key}: {text}")
            self._on_news(StepNews("failure", event.step_key, text))
        elif event.event_type == DagsterEventType.ASSET_MATERIALIZATION:
            made = event.event_specific_data.materialization
            name = made.asset_key.path[-1]
            self.outcome.metadata[name] = {key: value.value for key, value in made.metadata.items()}
            self._on_news(StepNews("asset", name))
        elif event.event_type == DagsterEventType.ASSET_CHECK_EVALUATION:
            self._take_check(event.event_specific_data)

    def _take_check(self, check: Any) -> None:
        name = f"{check.asset_key.path[-1]}.{check.check_name}"
        if not check.passed:
            self.outcome.failed_checks.append(f"{name}: {check.description or 'failed'}")
        self._on_news(StepNews("check", name, "passed" if check.passed else "FAILED"))


def sentence_of(error: Any) -> str:
    """The innermost cause: our own errors already are sentences."""
    while error.cause is not None:
        error = error.cause
    text = " ".join(str(error.message).split())
    if _STOPPED_BY_CHECKS in text:
        return "stopped by its checks"  # which say themselves what they found
    ours = {cls.__name__ for cls in _all_subclasses(NextbestError)}
    name, _, rest = text.partition(": ")
    return rest if name.rsplit(".", 1)[-1] in ours else text


def _all_subclasses(cls: type) -> set[type]:
    return {cls}.union(*(_all_subclasses(child) for child in cls.__subclasses__()))
