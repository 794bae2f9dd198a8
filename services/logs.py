"""The service's log: one JSON object a line on stdout. What is worth a line is decided elsewhere."""

from __future__ import annotations

import logging
import sqlite3
import sys
import traceback
from contextvars import ContextVar
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

import orjson

__all__ = ["REQUEST_ID", "JsonLines", "log_as_json"]

# The request that is being answered; "" outside of one.
REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")


class JsonLines(logging.Formatter):
    """Fields given as `extra={"fields": {...}}` stand beside the message."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {"at": at, "level": record.levelname.lower(), "from": record.name, "said": record.getMessage()}
        if request_id := REQUEST_ID.get():
            line["request_id"] = request_id
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["trace"] = _private_trace(record.exc_info) if request_id else self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


def _private_trace(found: Any) -> str:
    """Where a request failed and of what kind, without what the exception says: that may quote the person's data."""
    kind: type[BaseException] | None
    trace: TracebackType | None
    kind, error, trace = found
    said = f": {error}" if isinstance(error, sqlite3.Error) else ""  # names tables and columns, never values
    frames = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(trace)]
    return "\n".join([*frames, f"{kind.__name__ if kind else 'nothing'}{said}"])


def log_as_json() -> None:
    """Send everything to stdout as JSON lines: our own from INFO on, the frameworks' warnings."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonLines())
    logging.getLogger().handlers = [handler]
    for name, level in (("nextbest", "INFO"), ("recommender", "INFO"), ("bentoml", "WARNING"), ("circus", "WARNING")):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [], True
        logger.setLevel(level)
