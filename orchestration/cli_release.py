"""The verbs that change which bundle is served: `promote` and `rollback`. The work is done in `services.release`."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from recommender.workspace import Workspace

__all__ = ["add_release_verbs"]


def add_release_verbs(verbs: Any) -> None:
    """Add the verbs to the command's sub-parsers."""
    promote = verbs.add_parser("promote", help="make a bundle champion, or give it to a share of the people first")
    promote.add_argument("bundle", nargs="?", default="challenger", help="a version, or `challenger` (the default)")
    promote.add_argument("--canary", type=float, default=0.0, metavar="SHARE", help="of the people, such as 0.1")
    promote.set_defaults(action=_promote)
    rollback = verbs.add_parser("rollback", help="serve the champion before this one, and refuse this one")
    rollback.set_defaults(action=_rollback)


def _promote(workspace: Workspace, options: argparse.Namespace) -> None:
    from services.release import promote

    named = promote(workspace, options.bundle, options.canary)
    _tell(named, f"for {options.canary:g} of the people" if options.canary else "for everybody")


def _rollback(workspace: Workspace, options: argparse.Namespace) -> None:
    from services.release import roll_back

    _tell(roll_back(workspace), "for everybody")


def _tell(named: dict[str, str], who: str) -> None:
    told = ", ".join(f"{alias} {version}" for alias, version in sorted(named.items()))
    print(f"{told}; {who}. A running service follows within a second.", file=sys.stderr)
