"""A fitted policy as a folder: JSON and models, hashes in a manifest, nothing pickled; verified when read."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from recommender.decision.logged.contexts import ContextEncoder
from recommender.decision.policies.linear import LinearBandit
from recommender.decision.policies.personal import Personal
from recommender.decision.policies.protocol import ActionPolicy, Floats
from recommender.decision.policies.simple import Fixed, Uniform
from recommender.decision.policies.valued import BootstrappedThompson, EpsilonGreedy, Softmax
from recommender.decision.policies.vowpal import Vowpal
from recommender.errors import InputError, IntegrityError
from recommender.workspace import replace_folder, write_bytes_atomically

__all__ = ["PolicyFolder", "demand_replaceable", "load_policy", "save_policy"]

FORMAT = 1
MANIFEST, POLICY = "manifest.json", "policy.json"


@dataclass(frozen=True)
class PolicyFolder:
    """A policy with what it needs to read contexts: `actions` names its columns, `facts` says what it was fitted on and
    what was found (the reward, the columns, the proof, a sentence)."""

    policy: ActionPolicy
    actions: tuple[str, ...]
    action_type: str
    encoder: ContextEncoder
    facts: Mapping[str, Any]

    def probabilities(self, contexts: pa.Table) -> tuple[Floats, tuple[str, ...]]:
        """float64 (n, k) for a table with the features of the log, and what about it was not as in the log."""
        matrix, said = self.encoder.transform(contexts)
        return self.policy.probabilities(matrix), said


def save_policy(found: PolicyFolder, folder: Path) -> str:
    """Write aside, then swap in; returns the version: sixteen hex digits over every byte."""
    demand_replaceable(folder)
    content = {
        "format": FORMAT,
        "kind": found.policy.kind,
        "actions": list(found.actions),
        "action_type": found.action_type,
        "columns": found.encoder.as_json(),
        "parameters": dict(found.policy.parameters()),
        **found.facts,
    }
    files = {POLICY: json.dumps(content, indent=1, sort_keys=True, allow_nan=False).encode(), **found.policy.files()}
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in sorted(files.items())}
    manifest = {"format": FORMAT, "files": hashes, "version": _version(hashes)}
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        for name, data in files.items():
            write_bytes_atomically(aside / name, data)
        write_bytes_atomically(aside / MANIFEST, json.dumps(manifest, indent=1, sort_keys=True).encode())
        aside.chmod(0o755)
        replace_folder(aside, folder)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    return _version(hashes)


def demand_replaceable(folder: Path) -> None:
    """InputError where something else than a policy lies already: swapping would delete it."""
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir()) and not (folder / MANIFEST).is_file()):
        raise InputError(
            f"{folder}, which exists and is no policy.",
            "a new or an empty folder, or an earlier policy to be replaced.",
            "Name another folder.",
        )


def load_policy(folder: Path) -> PolicyFolder:
    """Read a folder whose every byte is what was written; raises IntegrityError."""
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
        files = {name: (folder / name).read_bytes() for name in manifest["files"]}
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise _broken(folder, f"files that cannot be read ({problem})") from problem
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in sorted(files.items())}
    changed = [name for name, digest in hashes.items() if digest != manifest["files"][name]]
    if changed or manifest.get("version") != _version(hashes):
        raise _broken(folder, f"other bytes than were written in {', '.join(changed) or MANIFEST}")
    content = json.loads(files[POLICY])
    if content["format"] != FORMAT:
        raise _broken(folder, f"format {content['format']}, this code reads {FORMAT}")
    kept = ("format", "kind", "actions", "action_type", "columns", "parameters")
    return PolicyFolder(
        _policy(content["kind"], content["parameters"], files),
        tuple(content["actions"]),
        content["action_type"],
        ContextEncoder.from_json(content["columns"]),
        {name: value for name, value in content.items() if name not in kept},
    )


def _policy(kind: str, own: Mapping[str, Any], files: Mapping[str, bytes]) -> ActionPolicy:
    if kind == "uniform":
        return Uniform(**own)
    if kind == "fixed":
        return Fixed(**own)
    if kind in ("linucb", "lints", "treets"):
        return LinearBandit.load(own, files)
    kinds = {"personal": Personal, "epsilon_greedy": EpsilonGreedy, "softmax": Softmax, "vowpal": Vowpal}
    loaded: ActionPolicy = (kinds | {"thompson": BootstrappedThompson})[kind].load(own, files)  # type: ignore[attr-defined]
    return loaded


def _version(hashes: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(hashes, sort_keys=True).encode()).hexdigest()[:16]


def _broken(folder: Path, problem: str) -> IntegrityError:
    return IntegrityError(
        f"a policy in {folder} with {problem}.",
        "the files exactly as `nextbest policy fit` wrote them.",
        "Fit the policy again, or copy the whole folder again.",
    )
