"""The manifest of a bundle: what it holds, byte for byte, and where it came from. No model is loaded here."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from recommender.errors import IntegrityError
from recommender.workspace import write_bytes_atomically

__all__ = [
    "MANIFEST_NAME",
    "BundleFacts",
    "Manifest",
    "broken_bundle",
    "describe_files",
    "read_manifest",
    "verify_files",
    "version_of",
]

MANIFEST_NAME = "manifest.json"
FORMAT = 1


@dataclass(frozen=True)
class BundleFacts:
    """Where a bundle came from. `data_fingerprint` hashes the data it was trained on, `commit` and
    `code_version` name the code, `metrics` is the evidence it was promoted by (JSON-able), `training` counts rows,
    `rehearsed_until_ms` is the end of the last label its rehearsal has seen (the holdout cut), `trial_until_ms` that
    of its trial (an earlier cut, from which later ones are judged), `objective` what its labels were graded for,
    `tuning` the ranker's parameters and, in words, where they come from."""

    as_of_ms: int
    rehearsed_until_ms: int = 0
    trial_until_ms: int = 0
    data_fingerprint: str = ""
    commit: str = ""
    code_version: str = ""
    metrics: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    objective: Mapping[str, Any] = field(default_factory=dict)
    tuning: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Manifest:
    """Everything but the version is hashed into the version; nothing of the wall clock enters."""

    version: str
    as_of_ms: int
    rehearsed_until_ms: int
    data_fingerprint: str
    commit: str
    code_version: str
    metrics: Mapping[str, Any]
    training: Mapping[str, Any]
    feature_names: tuple[str, ...]
    feature_version: str
    generators: tuple[str, ...]
    retriever: Mapping[str, Any]
    ranker: Mapping[str, Any]
    files: Mapping[str, Mapping[str, Any]]  # name → sha256, bytes
    format: int = FORMAT
    trial_until_ms: int = 0
    objective: Mapping[str, Any] = field(default_factory=dict)
    tuning: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def write(self, folder: Path) -> None:
        text = json.dumps(self.as_json(), indent=1, sort_keys=True, allow_nan=False)
        write_bytes_atomically(folder / MANIFEST_NAME, text.encode())


def describe_files(folder: Path, names: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """sha256 and size of each file."""
    found = {}
    for name in sorted(names):
        data = (folder / name).read_bytes()
        found[name] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    return found


def version_of(content: Mapping[str, Any]) -> str:
    """Sixteen hex digits over a manifest's content, its version left out."""
    kept = {key: value for key, value in content.items() if key != "version"}
    return hashlib.sha256(json.dumps(kept, sort_keys=True, allow_nan=False).encode()).hexdigest()[:16]


def read_manifest(folder: Path) -> Manifest:
    """The manifest, itself proven by its version; raises IntegrityError."""
    try:
        content = json.loads((folder / MANIFEST_NAME).read_bytes())
        lists = {name: tuple(content[name]) for name in ("feature_names", "generators")}
        manifest = Manifest(**{**content, **lists})
    except (OSError, ValueError, TypeError, KeyError) as problem:
        raise broken_bundle(folder, f"a manifest that cannot be read ({problem})") from problem
    if manifest.format != FORMAT:
        raise broken_bundle(folder, f"bundle format {manifest.format}, this code reads {FORMAT}")
    if version_of(content) != manifest.version:
        raise broken_bundle(folder, "a manifest that does not add up to its own version")
    return manifest


def verify_files(folder: Path, manifest: Manifest) -> None:
    """Compare every file with the manifest's hash before any of them is parsed; raises IntegrityError."""
    for name, expected in manifest.files.items():
        try:
            data = (folder / name).read_bytes()
        except OSError as problem:
            raise broken_bundle(folder, f"{name} cannot be read ({problem.strerror})") from problem
        if hashlib.sha256(data).hexdigest() != expected["sha256"]:
            raise broken_bundle(
                folder, f"{name} of {len(data)} bytes with another hash than the {expected['bytes']} written"
            )


def broken_bundle(folder: Path, problem: str) -> IntegrityError:
    """The error of a bundle that must not be served."""
    return IntegrityError(
        f"a bundle in {folder} with {problem}.",
        "the files exactly as build_bundle wrote them.",
        "Serve another version (`nextbest status` lists them), or run `nextbest run` to build it again.",
    )
