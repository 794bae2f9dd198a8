"""When a webhook call is tried again; two of slack_sdk's handlers, made safe. Nothing is sent from here."""

from __future__ import annotations

from slack_sdk.http_retry.builtin_handlers import RateLimitErrorRetryHandler, ServerErrorRetryHandler
from slack_sdk.http_retry.request import HttpRequest
from slack_sdk.http_retry.response import HttpResponse
from slack_sdk.http_retry.state import RetryState

__all__ = ["AnyServerErrorRetryHandler", "PatientRateLimitRetryHandler"]


class AnyServerErrorRetryHandler(ServerErrorRetryHandler):
    """The original tries again after 500 and 503 only; a gateway's 502 and 504 pass as well."""

    def _can_retry(
        self,
        *,
        state: RetryState,
        request: HttpRequest,
        response: HttpResponse | None = None,
        error: Exception | None = None,
    ) -> bool:
        return response is not None and response.status_code >= 500


class PatientRateLimitRetryHandler(RateLimitErrorRetryHandler):
    """The original sleeps as long as Retry-After says, an hour if need be, and fails on a date in it."""

    def __init__(self, max_retry_count: int, longest_wait_seconds: int) -> None:
        super().__init__(max_retry_count=max_retry_count)
        self.longest_wait_seconds = longest_wait_seconds

    def _can_retry(
        self,
        *,
        state: RetryState,
        request: HttpRequest,
        response: HttpResponse | None = None,
        error: Exception | None = None,
    ) -> bool:
        if response is None or response.status_code != 429:
            return False
        headers = {name.lower(): values for name, values in response.headers.items()}
        waits = headers.get("retry-after", ["1"])
        return bool(waits) and waits[0].isascii() and waits[0].isdigit() and int(waits[0]) <= self.longest_wait_seconds
