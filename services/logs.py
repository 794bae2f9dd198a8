"""The service's log: one JSON object a line on stdout. What is worth a line is decided elsewhere."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime

import orjson

__all__ = ["log_as_json"]


class _JsonLines(logging.Formatter):
    """Fields given as `extra={"fields": {...}}` stand beside the message."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {"at": at, "level": record.levelname.lower(), "from": record.name, "said": record.getMessage()}
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


def log_as_json() -> None:
    """Send everything to stdout as JSON lines: our own from INFO on, the frameworks' warnings."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_JsonLines())
    logging.getLogger().handlers = [handler]
    for name, level in (("nextbest", "INFO"), ("recommender", "INFO"), ("bentoml", "WARNING"), ("circus", "WARNING")):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [], True
        logger.setLevel(level)
