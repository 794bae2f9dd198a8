"""Sending to Slack through an incoming webhook, never disturbing the sender; what is said is in `slack_messages`."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from monitoring.locks import locked
from monitoring.slack_messages import Message
from monitoring.slack_outbox import Outbox

if TYPE_CHECKING:
    from slack_sdk.http_retry.handler import RetryHandler
    from slack_sdk.webhook import WebhookClient

__all__ = ["SendResult", "Slack", "SlackConfig"]

_NEVER_FIT = 400  # Slack's answer to a body that it will not understand tomorrow either


@dataclass(frozen=True)
class SlackConfig:
    """How long a message may take: at most (retries + 1) timeouts and the waits between them."""

    timeout_seconds: int = 3
    retries: int = 2
    wait_seconds: float = 0.5  # before a retry, unless Slack names a time
    # A longer Retry-After is not waited for: the message goes to the outbox instead.
    longest_wait_seconds: int = 5
    outbox_limit: int = 200
    flush_at_most: int = 20  # waiting messages sent before one new message


@dataclass(frozen=True)
class SendResult:
    """Did Slack take it, and if not, why and what became of it. Never holds the address."""

    delivered: bool
    detail: str


class Slack:
    """A webhook that may be absent, slow, wrong or down. The address is a secret: it is shown nowhere."""

    def __init__(self, webhook_url: str | None, outbox: Path | None = None, config: SlackConfig | None = None) -> None:
        """`outbox` keeps what could not be delivered (JSON lines, usually in `workspace.monitoring`)."""
        self._url = webhook_url or None
        self._config = config or SlackConfig()
        self._outbox = Outbox(outbox, self._config.outbox_limit) if outbox else None

    def __repr__(self) -> str:
        return f"Slack(configured={self._url is not None})"

    def send(self, message: Message) -> SendResult:
        """Send what waits in the outbox, then this. Never raises; a failed message is kept for the next call."""
        if self._url is None:
            return SendResult(False, "Slack is not configured: no webhook address was given.")
        try:
            return self._send(message)
        except Exception as error:  # a full disk must not end a training run either
            return SendResult(False, f"Not sent: {self._told(error)}")

    def _send(self, message: Message) -> SendResult:
        body = message.body()
        blocked = self._flush()
        if blocked is None:
            status, detail = self._post(body)
            if status == 200:
                return SendResult(True, detail)
            if status == _NEVER_FIT:
                return SendResult(False, f"Slack refused the message for good: {detail}")
            blocked = detail
        if self._outbox is None:
            return SendResult(False, f"{blocked} The message is lost: there is no outbox.")
        self._outbox.keep(body)
        return SendResult(False, f"{blocked} The message waits in the outbox.")

    def _flush(self) -> str | None:
        """Deliver the outbox, oldest first; the reason when Slack still does not take them."""
        if self._outbox is None or not (waiting := self._outbox.waiting()):
            return None
        with locked(self._outbox.path.with_suffix(".flush"), wait=False) as is_mine:
            if not is_mine:  # another process is at it: do not send the same messages twice
                return None
            for body in waiting[: self._config.flush_at_most]:
                status, detail = self._post(body)
                if status not in (200, _NEVER_FIT):
                    return detail
                self._outbox.settle(body)
        return None

    def _post(self, body: dict[str, object]) -> tuple[int, str]:
        """Status (0 without an answer) and what to tell. Success is 200 with the word "ok": a proxy's page is not."""
        try:
            answer = self._client().send_dict(body)
        except Exception as error:
            return 0, f"Slack did not answer: {self._told(error)}"
        if answer.status_code == 200 and answer.body.strip() == "ok":
            return 200, "Delivered."
        status = answer.status_code if answer.status_code != 200 else 0
        return status, f"Slack answered {answer.status_code}: {self._hidden(answer.body)[:200]}"

    def _client(self) -> WebhookClient:
        from slack_sdk.webhook import WebhookClient

        assert self._url is not None
        client = WebhookClient(
            self._url, timeout=self._config.timeout_seconds, logger=_silent(), retry_handlers=_retries(self._config)
        )
        client.proxy = None  # the client's own reading of HTTPS_PROXY ignores NO_PROXY; urllib's honours both
        return client

    def _told(self, error: Exception) -> str:
        return f"{type(error).__name__}: {self._hidden(str(error))[:200]}"

    def _hidden(self, text: str) -> str:
        """The text without the address or its secret path."""
        assert self._url is not None
        secret_path = self._url.partition("://")[2].partition("/")[2]
        for secret in filter(None, (self._url, secret_path)):
            text = text.replace(secret, "<webhook>")
        return text


def _silent() -> logging.Logger:
    """slack_sdk writes the full address to its logger at INFO before every retry, so it gets one that is mute."""
    logger = logging.Logger("nextbest.slack", level=logging.CRITICAL + 1)
    logger.addHandler(logging.NullHandler())
    return logger


def _retries(config: SlackConfig) -> list[RetryHandler]:
    """Fresh handlers for lost connections, 5xx, and 429 with a Retry-After that is short enough."""
    from slack_sdk.http_retry.builtin_handlers import ConnectionErrorRetryHandler
    from slack_sdk.http_retry.builtin_interval_calculators import FixedValueRetryIntervalCalculator

    from monitoring.slack_retries import AnyServerErrorRetryHandler, PatientRateLimitRetryHandler

    wait = FixedValueRetryIntervalCalculator(config.wait_seconds)
    return [
        ConnectionErrorRetryHandler(max_retry_count=config.retries, interval_calculator=wait),
        AnyServerErrorRetryHandler(max_retry_count=config.retries, interval_calculator=wait),
        PatientRateLimitRetryHandler(config.retries, config.longest_wait_seconds),
    ]
