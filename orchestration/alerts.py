"""The workspace's Slack and its retrain ledger: where they are kept and which moment it is for them.

What messages say is in `monitoring.slack_messages`; what a cause is, in `monitoring.retraining`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from monitoring.retraining import Outcome, RetrainConfig, update_ledger
from monitoring.slack import Slack
from orchestration.settings import load_settings
from recommender.workspace import Workspace
from services.clock import Clock

__all__ = [
    "SLACK_CHANNEL_VARIABLE",
    "SLACK_TOKEN_VARIABLE",
    "SLACK_VARIABLE",
    "ledger_path",
    "now_ms",
    "retrain_config",
    "settle_retraining",
    "slack_of",
    "spend_failed_request",
    "take_pending_causes",
]

SLACK_VARIABLE = "NEXTBEST_SLACK_WEBHOOK"  # an incoming webhook: everything is told there
SLACK_TOKEN_VARIABLE = "NEXTBEST_SLACK_TOKEN"  # or a bot's token with a channel: failed runs only
SLACK_CHANNEL_VARIABLE = "NEXTBEST_SLACK_CHANNEL"


def slack_of(workspace: Workspace) -> Slack:
    """Slack by the webhook of the environment; without one every message answers that it is not configured."""
    return Slack(os.environ.get(SLACK_VARIABLE), workspace.monitoring / "slack_outbox.jsonl")


def ledger_path(workspace: Workspace) -> Path:
    return workspace.monitoring / "retrain_ledger.json"


def now_ms(workspace: Workspace) -> int:
    """The moment by the service's clock: a replayed past rests between retrains in its own time."""
    return Clock.from_settings(workspace.settings).now_ms()


def retrain_config(workspace: Workspace) -> RetrainConfig:
    """The defaults, with what the workspace's settings say otherwise."""
    return RetrainConfig(**load_settings(workspace).retrain)


def take_pending_causes(workspace: Workspace, run_id: str) -> list[str]:
    """A training run began, whoever asked for it: it answers every cause that is pending; their sentences."""
    ledger = update_ledger(ledger_path(workspace), lambda held: held.started(run_id, now_ms(workspace)))
    return [entry.cause.sentence for entry in ledger.of_run(run_id)]


def spend_failed_request(workspace: Workspace, run_key: str | None, run_id: str, error: str) -> None:
    """A requested run that died before it trained: its key never runs again, so its cause is spent here."""
    if run_key:
        update_ledger(
            ledger_path(workspace), lambda ledger: ledger.failed_early(run_key, run_id, now_ms(workspace), error)
        )


def settle_retraining(workspace: Workspace, run_id: str, outcome: Outcome, reasons: Sequence[str]) -> None:
    """What became of a training run, in the ledger."""
    update_ledger(ledger_path(workspace), lambda ledger: ledger.settled(run_id, outcome, " ".join(reasons)))
