"""The verbs about what came in: `dead-letters list` and `replay`, and `doctor`. The work is done elsewhere."""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from recommender.errors import InputError
from recommender.workspace import Workspace

__all__ = ["add_event_verbs"]

_SHOWN = 100  # characters of a message on a terminal
_REASONS = 20  # the most frequent ones


def add_event_verbs(verbs: Any) -> None:
    """Add the verbs to the command's sub-parsers."""
    letters = verbs.add_parser("dead-letters", help="messages that could not be read").add_subparsers(
        required=True, metavar="VERB"
    )
    listing = letters.add_parser("list", help="how many wait, by reason, and the oldest of them")
    listing.add_argument("--limit", type=int, default=20, help="so many messages (default 20)")
    listing.add_argument("--json", action="store_true")
    listing.set_defaults(action=_list)
    replay = letters.add_parser("replay", help="read them once more; what passes now is stored")
    replay.add_argument(
        "--from",
        dest="corrected",
        metavar="FILE.json",
        help="only these: `list --json`, messages corrected",
    )
    replay.add_argument("--json", action="store_true")
    replay.set_defaults(action=_replay)
    doctor = verbs.add_parser("doctor", help="why events do not count")
    doctor.add_argument("--json", action="store_true")
    doctor.set_defaults(action=_doctor)


def _list(workspace: Workspace, options: argparse.Namespace) -> None:
    from services.dead_letters import list_letters, waiting_reasons

    reasons = waiting_reasons(workspace)
    letters = [
        {
            "id": letter.letter_id,
            "received_at": datetime.fromtimestamp(letter.received_ms / 1000, UTC).isoformat(timespec="milliseconds"),
            "reason": letter.reason,
            "message": json.loads(letter.raw),
        }
        for letter in list_letters(workspace, max(options.limit, 0))
    ]
    if options.json:
        print(json.dumps({"waiting": sum(reasons.values()), "reasons": reasons, "letters": letters}, indent=2))
        return
    for reason, count in list(reasons.items())[:_REASONS]:
        print(f"{count:>9,}  {reason}")
    if len(reasons) > _REASONS:
        print(
            f"{sum(list(reasons.values())[_REASONS:]):>9,}  {len(reasons) - _REASONS:,} rarer reasons: --json has them"
        )
    for letter in letters:
        text = json.dumps(letter["message"], ensure_ascii=False)
        print(f"{letter['id']:>9}  {letter['received_at']}  {letter['reason']}  {text[:_SHOWN]}")
    print(f"{sum(reasons.values()):,} dead letters wait.", file=sys.stderr)


def _replay(workspace: Workspace, options: argparse.Namespace) -> int:
    from services.dead_letters import replay_letters

    report = replay_letters(workspace, _corrected(options.corrected) if options.corrected else None)
    failed = sum(report.failed.values())
    if options.json:
        told = {"stored": report.stored, "duplicates": report.duplicates, "failed": failed, "reasons": report.failed}
        print(json.dumps(told, indent=2))
    else:
        print(f"{report.stored:,} stored, {report.duplicates:,} known already, {failed:,} failed again.")
        for reason, count in sorted(report.failed.items(), key=lambda entry: -entry[1]):
            print(f"{count:>9,}  {reason}")
    return 0


def _doctor(workspace: Workspace, options: argparse.Namespace) -> None:
    from orchestration.doctor import diagnose

    report = diagnose(workspace)
    if options.json:
        print(json.dumps(report, indent=2, default=str))
        return
    for finding in report["findings"]:
        print(f"- {finding['sentence']}\n    {finding['remedy']}")
    print(f"{report['events']:,} events, {len(report['findings'])} findings.", file=sys.stderr)


def _corrected(file: str) -> dict[int, Any]:
    """Letter id → message, out of a file of the shape that `list --json` prints."""
    try:
        given = json.loads(Path(file).read_bytes())
        letters = given["letters"] if isinstance(given, dict) else given
        return {int(letter["id"]): letter["message"] for letter in letters}
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise InputError(
            f"{file} cannot be read as corrected letters ({type(problem).__name__}: {problem}).",
            'what `nextbest dead-letters list --json` prints: {"letters": [{"id": 1, "message": {...}}]}.',
            "save that output, correct its messages, and pass the file again.",
        ) from None
