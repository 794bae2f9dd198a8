"""Who is in which arm: a hash of a salt and the person's id, the same for ever. No outcome is read here.

The hash can be repeated in any warehouse: the first thirteen hex digits of md5(salt || ':' || user_id), read as a
number, over 16^13. (Thirteen, because 52 bits fit a double exactly.)
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from recommender.errors import InputError

__all__ = ["assign", "uniforms"]

_BITS = 52


def uniforms(salt: str, user_ids: Sequence[str]) -> npt.NDArray[np.float64]:
    """float64 (n) in [0, 1): where each person stands on the line that arms divide. A million take a second."""
    start = hashlib.md5(f"{salt}:".encode(), usedforsecurity=False)
    digests = bytearray()
    for user_id in user_ids:
        own = start.copy()
        own.update(user_id.encode())
        digests += own.digest()[:8]
    return (np.frombuffer(bytes(digests), ">u8") >> np.uint64(64 - _BITS)).astype(np.float64) / 2.0**_BITS


def assign(salt: str, user_ids: Sequence[str], shares: Mapping[str, float]) -> npt.NDArray[np.int64]:
    """int64 (n): which of `shares`, in their order, each person belongs to.

    Shares are proportions that sum up to 1. An arm that grows at the expense of the last one keeps its people.
    """
    sizes = np.fromiter(shares.values(), np.float64, len(shares))
    if not len(sizes) or (sizes < 0).any() or abs(sizes.sum() - 1.0) > 1e-9:
        raise InputError(f"shares {dict(shares)}.", "proportions of 0 or more that sum up to 1.", "Correct them.")
    edges = np.cumsum(sizes)[:-1]
    return np.searchsorted(edges, uniforms(salt, user_ids), side="right").astype(np.int64)
