"""What commands say: figures on stdout, sentences on stderr. What there is to say is not known here."""

from __future__ import annotations

import json
import sys
from typing import Any

__all__ = ["show", "tell"]


def tell(sentence: str) -> None:
    """A sentence for the person at the terminal, out of the way of figures."""
    print(sentence, file=sys.stderr)


def show(report: dict[str, Any], as_json: bool) -> None:
    """One JSON object on stdout, or the same figures as indented lines."""
    if as_json:
        print(json.dumps(report, indent=2, default=str))
    else:
        print("\n".join(_lines(report)))


def _lines(value: Any, depth: int = 0) -> list[str]:
    indent = "  " * depth
    if isinstance(value, dict):
        lines = []
        for key, inner in value.items():
            nested = isinstance(inner, dict | list) and inner
            lines += [f"{indent}{key}:", *_lines(inner, depth + 1)] if nested else [f"{indent}{key}: {_plain(inner)}"]
        return lines
    if isinstance(value, list):
        return [
            line
            for inner in value
            for line in (_lines(inner, depth) if isinstance(inner, dict) else [f"{indent}- {_plain(inner)}"])
        ]
    return [f"{indent}{_plain(value)}"]


def _plain(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
