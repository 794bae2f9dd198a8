"""Promoting, rolling back and refusing bundles: what the aliases come to mean, and the ledger of it. Nothing is loaded.

Three may ask: the pipeline after its gate, a person with `nextbest promote|rollback`, and a worker whose bundle
turned abnormal. All of them go through here, under one lock, and none overwrites what it has not seen.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from recommender.errors import GateError, InputError, IntegrityError, NoChampionError
from recommender.workspace import Workspace, write_bytes_atomically
from services.model_store import ALIASES, aliases, locked, rename, set_alias, versions
from services.verdicts import HAND, SERVICE, Verdict, forget_verdict, read_verdict, try_bundle, write_verdict

__all__ = ["canary_share", "gets_canary", "ledger", "promote", "refuse", "release_facts", "roll_back"]

_TOLD = 5  # entries of the ledger that people are shown


def promote(
    workspace: Workspace, name: str = "challenger", canary: float = 0.0, *, by: str = "hand", retry: bool = True
) -> dict[str, str]:
    """Make a version (or the one an alias names) champion, or give it to a share of the people first; the aliases.

    The bundle is tried first. `retry`: an earlier refusal is forgotten, as when a person asks for it by name.
    Raises GateError with the reason where the bundle is not sound, IntegrityError for an unknown version, InputError
    for a share outside 0 to 1.
    """
    if not 0.0 <= canary <= 1.0:
        raise InputError(f"a canary share of {canary:g}.", "a share from 0 to 1.", "pass for example --canary 0.1.")
    version = _known(workspace, name)
    if retry:
        forget_verdict(workspace, version)
    verdict = try_bundle(workspace, version)
    if not verdict.is_sound:
        note(workspace, "refused", version, by, verdict.reason)
        raise GateError(
            f"{version} is refused: {verdict.reason}",
            "a bundle that loads, scores its golden examples and was not refused in service.",
            "train another one, or `nextbest promote VERSION` to try this one again.",
            (verdict.reason,),
        )
    is_canary = canary > 0.0 and aliases(workspace).get("champion", version) != version
    if is_canary:
        write_bytes_atomically(workspace.canary, orjson.dumps({"version": version, "share": canary}))
        named = rename(workspace, lambda found: found | {"challenger": version})
    else:
        named = set_alias(workspace, "champion", version)
        workspace.canary.unlink(missing_ok=True)
    note(workspace, "canary" if is_canary else "champion", version, by, f"share {canary:g}" if is_canary else "")
    return named


def roll_back(workspace: Workspace, by: str = "hand") -> dict[str, str]:
    """Serve `previous` again and refuse the champion; the aliases. Raises NoChampionError without a way back."""
    named = aliases(workspace)
    if "previous" not in named:
        raise NoChampionError("no `previous` to go back to.", "an earlier champion.", "`nextbest promote VERSION`.")
    verdict = try_bundle(workspace, named["previous"])
    if not verdict.is_sound:
        raise IntegrityError(
            f"previous {verdict.version} is refused: {verdict.reason}", "a sound one.", "`nextbest promote VERSION`."
        )
    return refuse(workspace, named["champion"], "rolled back by hand.", by=by)


def refuse(workspace: Workspace, version: str, reason: str, back_to: str = "", by: str = "service") -> dict[str, str]:
    """Never load a version again unless a person promotes it, and take the aliases off it; what they are then.

    The champion becomes `back_to` (what the caller serves instead) or else `previous`; with neither it stays, since a
    poor bundle in service is better than none. Saying it twice, or from two workers at once, changes nothing more.
    """
    before = aliases(workspace)
    if _without(before, version, back_to) != before or before.get("champion") != version:
        _condemn(workspace, version, reason, by)  # first, so that no worker takes it up again in between
    found: dict[str, str] = {}

    def turned(named: dict[str, str]) -> dict[str, str]:
        found.update(named)  # as they are under the lock: of eight workers that refuse at once, one finds it champion
        return _without(named, version, back_to)

    named = rename(workspace, turned)
    if named != found:
        went = named["champion"] if found.get("champion") == version else ""
        note(workspace, "rolled back" if went else "refused", version, by, reason, **({"to": went} if went else {}))
    return named


def canary_share(workspace: Workspace) -> tuple[str, float]:
    """The version on trial and its share of the people; ("", 0) where there is none."""
    try:
        found = orjson.loads(workspace.canary.read_bytes())
        return str(found["version"]), float(found["share"])
    except (OSError, ValueError, KeyError, TypeError):
        return "", 0.0


def gets_canary(subject: str, version: str, share: float) -> bool:
    """Whether a person is of the canary's share: always the same answer, and other people for another version."""
    digest = hashlib.blake2b(f"{version}:{subject}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) < share * 2**64


def ledger(workspace: Workspace) -> list[dict[str, Any]]:
    """Every promotion, canary, refusal and rollback, oldest first."""
    try:
        lines = workspace.releases.read_bytes().splitlines()
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in lines if line.endswith(b"}")]


def release_facts(workspace: Workspace) -> dict[str, Any]:
    """What people may want to know: the canary, what was refused and why, the last changes."""
    version, share = canary_share(workspace)
    found = [verdict for one in versions(workspace) if (verdict := read_verdict(workspace, one)) is not None]
    return {
        "canary": {"version": version, "share": share} if version else "none",
        "refused": {verdict.version: verdict.reason for verdict in found if not verdict.is_sound} or "none",
        "last": ledger(workspace)[-_TOLD:],
    }


def note(workspace: Workspace, what: str, version: str, by: str, reason: str = "", **more: str) -> None:
    """Append a line to the ledger, synced."""
    at = datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="seconds")
    line: Mapping[str, str] = {"at": at, "what": what, "version": version, "by": by, "reason": reason, **more}
    with locked(workspace.releases), workspace.releases.open("ab") as handle:
        handle.write(orjson.dumps(line) + b"\n")
        handle.flush()
        os.fsync(handle.fileno())


def _without(named: dict[str, str], version: str, back_to: str) -> dict[str, str]:
    """The aliases without a version; a champion that has no successor stays."""
    kept = {alias: found for alias, found in named.items() if found != version}
    if named.get("champion") != version:
        return kept
    successor = back_to or kept.get("previous", "")
    if not successor:
        return dict(named)
    return {alias: found for alias, found in kept.items() if found != successor} | {"champion": successor}


def _condemn(workspace: Workspace, version: str, reason: str, by: str) -> None:
    """Keep the refusal; what a trial found stays, it says more than that it was found."""
    with locked(workspace.verdicts / f"{version}.condemned"):
        known = read_verdict(workspace, version)
        if by == "hand" or known is None or known.is_sound:
            write_verdict(workspace, Verdict(version, False, reason, HAND if by == "hand" else SERVICE))


def _known(workspace: Workspace, name: str) -> str:
    version = aliases(workspace).get(name, "") if name in ALIASES else name
    if not version:
        raise NoChampionError(f"no {name}.", "a version or an alias that is set.", "see `nextbest status`.")
    if version not in versions(workspace):
        raise IntegrityError(
            f"version {version!r:.80} is not in the model store.", "a published one.", "see `nextbest status`."
        )
    return version
