"""The peers of the benchmark must leave the product's own pins alone."""

from __future__ import annotations

import re
from pathlib import Path

REQUIREMENTS = Path(__file__).resolve().parents[2] / "requirements"


def pins(name: str) -> dict[str, set[str]]:
    """Package → versions (one for each Python, where they differ)."""
    found: dict[str, set[str]] = {}
    for package, version in re.findall(r"^([a-z0-9_.-]+)==(\S+)", (REQUIREMENTS / name).read_text(), re.MULTILINE):
        found.setdefault(package, set()).add(version)
    return found


def test_what_both_need_has_one_version() -> None:
    product, bench = pins("lock.txt"), pins("bench.lock.txt")
    shared = set(product) & set(bench)
    assert len(shared) > 5
    assert {name: bench[name] for name in shared} == {name: product[name] for name in shared}


def test_only_the_peers_come_on_top() -> None:
    assert set(pins("bench.lock.txt")) - set(pins("lock.txt")) == {"rectools"}


def test_no_lock_names_an_index() -> None:
    assert "://" not in (REQUIREMENTS / "bench.lock.txt").read_text()
