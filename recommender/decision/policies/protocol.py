"""What every policy of single actions can do, and the one way in which any of them draws. No policy lives here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

__all__ = ["ActionPolicy", "choose", "draw", "normalised", "one_hot", "uniform_of", "with_floor"]

Matrix = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]
Seeds = npt.NDArray[np.uint64]


class ActionPolicy(Protocol):
    """A distribution over the same k actions for every context."""

    @property
    def kind(self) -> str: ...

    @property
    def n_actions(self) -> int: ...

    def probabilities(self, contexts: Matrix) -> Floats:
        """float64 (n, k): exact, each row sums to 1, and the same whatever other rows are in the batch."""
        ...

    def parameters(self) -> Mapping[str, Any]:
        """What `load` needs beside the files, as JSON."""
        ...

    def files(self) -> Mapping[str, bytes]:
        """Models by file name, never pickled."""
        ...


def choose(policy: ActionPolicy, contexts: Matrix, seeds: Seeds) -> tuple[Codes, Floats]:
    """An action for each context by its own seed, uint64 (n), and the exact probability that it had, float64 (n)."""
    return draw(policy.probabilities(contexts), seeds)


def draw(probabilities: Floats, seeds: Seeds) -> tuple[Codes, Floats]:
    """The same from float64 (n, k) probabilities."""
    cumulative = np.cumsum(probabilities, axis=1)
    # Scaled by the last sum, a draw below 1 never falls behind the last action; one without probability is never drawn.
    place = (uniform_of(seeds)[:, None] * cumulative[:, -1:] >= cumulative).sum(axis=1)
    return place.astype(np.int64), probabilities[np.arange(len(place)), place]


def uniform_of(seeds: Seeds) -> Floats:
    """float64 (n) in [0, 1): 53 bits of splitmix64 (Steele, Lea and Flood 2014) of each seed."""
    with np.errstate(over="ignore"):
        z = seeds.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return np.asarray((z >> np.uint64(11)).astype(np.float64) * 2.0**-53)


def one_hot(action: Codes, n_actions: int) -> Floats:
    """float64 (n, k): all probability on one action a row."""
    return np.asarray(action[:, None] == np.arange(n_actions), dtype=np.float64)


def with_floor(probabilities: Floats, floor: float) -> Floats:
    """(1 − floor) of a distribution and `floor` spread evenly: no action below floor / k."""
    return np.asarray((1.0 - floor) * probabilities + floor / probabilities.shape[1])


def normalised(weights: Floats) -> Floats:
    """Rows divided by their sums."""
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))
