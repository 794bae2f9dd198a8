"""The verb about people's own wish to be forgotten: `erase`. The work is done elsewhere."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from orchestration.cli_output import show
from recommender.errors import InputError
from recommender.workspace import Workspace

__all__ = ["add_erase_verb"]


def add_erase_verb(verbs: Any) -> None:
    """Add the verb to the command's sub-parsers."""
    erase = verbs.add_parser("erase", help="erase people everywhere, by user ids or anonymous ids")
    erase.add_argument("people", nargs="*", metavar="ID")
    erase.add_argument("--file", metavar="FILE", help="ids, one a line")
    erase.add_argument("--status", action="store_true", help="only tell how far each erasure is")
    erase.add_argument("--json", action="store_true")
    erase.set_defaults(action=_erase)


def _erase(workspace: Workspace, options: argparse.Namespace) -> int:
    from orchestration.erasures import status_told

    if options.status:
        show({"erasures": status_told(workspace)}, options.json)
        return 0
    people = [*options.people, *(_lines(Path(options.file)) if options.file else [])]
    if not people:
        raise InputError("nobody to erase.", "ids of people, or --file.", "write `nextbest erase ID`, or add --status.")
    return _carried_out(workspace, people, options.json)


def _carried_out(workspace: Workspace, people: list[str], as_json: bool) -> int:
    from orchestration.erasures import status_told
    from orchestration.progress import following
    from orchestration.resources import Ring
    from orchestration.runs import execute
    from services.erasure import ask_erasures

    asked = set(ask_erasures(workspace, people))
    print("No answer knows them any more. What is stored follows.", file=sys.stderr)
    with following("erase") as listen:
        outcome = execute(Ring(home=str(workspace.root)), "erase", listen)
    report: dict[str, Any] = {"succeeded": outcome.is_success, "seconds": round(outcome.seconds, 1)}
    report |= outcome.metadata.get("erasures", {})
    report["asked for"] = [one for one in status_told(workspace) if one["erasure_id"] in asked]
    show(report | ({"failures": outcome.failures} if outcome.failures else {}), as_json)
    return 0 if outcome.is_success else 1


def _lines(path: Path) -> list[str]:
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as problem:
        raise InputError(f"--file {path}: {problem}.", "a text of ids, one a line.", "name another file.") from None
