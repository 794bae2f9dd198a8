"""The verbs of `nextbest keys`: words to functions. Keys are made and kept in `services.keys`."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from orchestration.cli_output import show
from recommender.workspace import Workspace

__all__ = ["add_keys"]


def add_keys(verbs: Any) -> None:
    """Add the verbs to the command."""
    keys = verbs.add_parser("keys", help="keys of the service").add_subparsers(required=True, metavar="VERB")
    create = keys.add_parser("create", help="print a new key, once")
    create.add_argument("--role", required=True, choices=("write", "read", "admin"))
    create.add_argument("--expires-in", metavar="90d", help="s, m, h or d; without it the key works until revoked")
    create.set_defaults(action=_create)
    listing = keys.add_parser("list", help="prefix, role and dates of each key")
    listing.add_argument("--json", action="store_true")
    listing.set_defaults(action=lambda workspace, options: show(_report(workspace), options.json))
    rotate = keys.add_parser("rotate", help="print a key that takes an old one's place; both work for a while")
    rotate.add_argument("prefix")
    rotate.add_argument("--grace", default="24h", metavar="24h", help="how long the old one still works (24h)")
    rotate.set_defaults(action=_rotate)
    revoke = keys.add_parser("revoke", help="withdraw a key by its prefix")
    revoke.add_argument("prefix")
    revoke.set_defaults(action=_revoke)


def _create(workspace: Workspace, options: argparse.Namespace) -> None:
    from services.keys import create_key, parse_lifetime

    lifetime = parse_lifetime(options.expires_in) if options.expires_in else None
    print(create_key(workspace, options.role, lifetime))
    print("Keep it: it is stored hashed and cannot be shown again.", file=sys.stderr)


def _rotate(workspace: Workspace, options: argparse.Namespace) -> None:
    from services.keys import parse_lifetime, rotate_key

    print(rotate_key(workspace, options.prefix, parse_lifetime(options.grace)))
    print(f"Keep it. {options.prefix[:16]} works for {options.grace} longer.", file=sys.stderr)


def _revoke(workspace: Workspace, options: argparse.Namespace) -> None:
    from services.keys import revoke_key

    revoked = revoke_key(workspace, options.prefix)
    print(f"revoked {revoked.prefix}", file=sys.stderr)


def _report(workspace: Workspace) -> dict[str, Any]:
    from services.keys import list_keys

    return {"keys": list_keys(workspace)}
