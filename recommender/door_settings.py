"""What the operator may set of the service's door (`service:` in nextbest.yml). Nothing is let in or refused here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial

from recommender.yaml_document import Document

__all__ = ["DoorSettings", "door_settings"]


@dataclass(frozen=True)
class DoorSettings:
    """Who may call without a key, and how much is taken at once; all figures hold for each worker.

    `open_reads`: `/v1/recommend` answers without a key. `open_metrics`: so does `/metrics`. `open_docs`: so do
    `/docs` and `/openapi.json`. `requests_per_second` and `burst`: the token bucket of one key (2,000 lies above
    what a worker can answer, so that by default only a runaway caller meets it). `longest_wait_seconds`: how long
    an admitted request should wait for those before it; what would wait longer is answered 429 at once.
    `most_in_flight`: the bound of requests under way, whatever the waiting. `body_bytes_in_flight`: the bound of
    all bodies in memory together. `body_seconds`: the time a caller has to send its body; `request_seconds`: the
    time an answer may take before it is given up with 503. `deadline_seconds`: the time a recommendation should take; a
    record that is not on disk by then (or 0.2 s later) is done without, and the answer says so.
    `browser_origins`: the pages, such as those of `https://shop.example`, that may send events from browsers.
    `keep_journal_days`: how long events and decisions stay in the file that the service writes; then they are archived.
    `keep_raw_days`: how long messages are kept as they arrived, beside the events read from them.
    """

    open_reads: bool = False
    open_metrics: bool = False
    open_docs: bool = False
    requests_per_second: float = 2_000.0
    burst: float = 4_000.0
    longest_wait_seconds: float = 0.2
    most_in_flight: int = 256
    body_bytes_in_flight: int = 64 << 20
    body_seconds: float = 10.0
    request_seconds: float = 30.0
    deadline_seconds: float = 0.4
    keep_raw_days: float = 30.0
    keep_journal_days: float = 62.0
    browser_origins: tuple[str, ...] = ()


_ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:[0-9]{1,5})?")
_KEYS = tuple(DoorSettings.__dataclass_fields__)


def door_settings(document: Document, body: object) -> DoorSettings:
    """Read the file's `service` section. Raises ConfigurationError."""
    part, was = document.section("service", body or {}, _KEYS), DoorSettings()
    return DoorSettings(
        open_reads=part.flag("open_reads", was.open_reads),
        open_metrics=part.flag("open_metrics", was.open_metrics),
        open_docs=part.flag("open_docs", was.open_docs),
        requests_per_second=part.number("requests_per_second", was.requests_per_second, 0.1, 1e6),
        burst=part.number("burst", was.burst, 1.0, 1e6),
        longest_wait_seconds=part.number("longest_wait_seconds", was.longest_wait_seconds, 0.01, 30.0),
        most_in_flight=part.whole("most_in_flight", was.most_in_flight, 1, 10_000),
        body_bytes_in_flight=part.whole("body_bytes_in_flight", was.body_bytes_in_flight, 16 << 20, 1 << 32),
        body_seconds=part.number("body_seconds", was.body_seconds, 0.1, 300.0),
        request_seconds=part.number("request_seconds", was.request_seconds, 0.1, 300.0),
        keep_raw_days=part.number("keep_raw_days", was.keep_raw_days, 0.0, 36_500.0),
        keep_journal_days=part.number("keep_journal_days", was.keep_journal_days, 1.0, 36_500.0),
        deadline_seconds=part.number("deadline_seconds", was.deadline_seconds, 0.02, 30.0),
        browser_origins=part.rules("browser_origins", was.browser_origins, partial(_origin, document)),
    )


def _origin(document: Document, path: str, value: object) -> str:
    if not isinstance(value, str) or not _ORIGIN.fullmatch(value):
        expected = "a page's origin as browsers tell it, such as https://shop.example or http://localhost:8000"
        raise document.error(path, f"{value!r:.80}", expected, "Leave the path out, and name each origin; `*` is none.")
    return value
