"""How large an injected fault is: short in `make test`, whole in `make test-faults`. Nothing is broken here."""

from __future__ import annotations

import os
from typing import TypeVar

__all__ = ["is_whole", "size"]

_T = TypeVar("_T")


def is_whole() -> bool:
    """Whether the sizes of TARGETS are run (`NEXTBEST_FAULTS=whole`)."""
    return os.environ.get("NEXTBEST_FAULTS", "short") == "whole"


def size(short: _T, whole: _T) -> _T:
    """The size to run at: `@pytest.mark.parametrize("kills", [size(2, 100)])`, or called inside a test."""
    return whole if is_whole() else short
