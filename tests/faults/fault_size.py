"""How large an injected fault is: short in `make test`, whole in `make test-faults`. Nothing is broken here."""

from __future__ import annotations

import os
from typing import TypeVar

import pytest

__all__ = ["is_whole", "size", "whole_only"]

_T = TypeVar("_T")


def is_whole() -> bool:
    """Whether the sizes of TARGETS are run (`NEXTBEST_FAULTS=whole`)."""
    return os.environ.get("NEXTBEST_FAULTS", "short") == "whole"


# For what is much like another fault and not worth the time of every `make test`.
whole_only = pytest.mark.skipif(not is_whole(), reason="broken at the whole sizes alone: make test-faults")


def size(short: _T, whole: _T) -> _T:
    """The size to run at: `@pytest.mark.parametrize("kills", [size(2, 100)])`, or called inside a test."""
    return whole if is_whole() else short
