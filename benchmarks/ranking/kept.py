"""What peers gave the last time: taken as it is while their code, their libraries and the data are the same."""

from __future__ import annotations

import hashlib
import json
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from benchmarks.ranking.measuring import Measured

__all__ = ["fingerprint", "keep", "kept"]

HERE = Path(__file__).resolve().parent
CODE = (HERE / "datasets.py", HERE / "protocol.py", HERE / "measuring.py", *sorted((HERE / "peers").glob("*.py")))
LIBRARIES = ("numpy", "pandas", "scipy", "implicit", "rectools")


def fingerprint(folder: Path) -> str:
    """sha256 over what the figures of a peer follow from; the platform's follow from more, and are not kept."""
    digest = hashlib.sha256()
    for file in (*CODE, *sorted(folder.glob("*.parquet"))):
        digest.update(file.name.encode() + hashlib.sha256(file.read_bytes()).digest())
    for library in LIBRARIES:
        digest.update(f"{library} {_version(library)}".encode())
    return digest.hexdigest()


def keep(found: Measured, path: Path, made_from: str) -> None:
    """Write a system's figures, person by person."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = {kind: {name: one.tolist() for name, one in judged.items()} for kind, judged in found.values.items()}
    path.write_text(json.dumps({"made_from": made_from, **found.as_json(), "values": values}), encoding="utf-8")


def kept(path: Path, made_from: str) -> Measured | None:
    """What was kept, None when there is nothing or it was made from something else."""
    if not path.exists():
        return None
    plain = json.loads(path.read_text(encoding="utf-8"))
    if plain["made_from"] != made_from:
        return None
    values = {kind: {name: np.asarray(one) for name, one in found.items()} for kind, found in plain["values"].items()}
    measured = (plain["seconds"], plain["tuning_seconds"], plain["peak_mb"])
    return Measured(plain["system"], plain["parameters"], values, *measured)


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return "absent"
