"""What generators produce and the ranker consumes: the generator protocol and the candidate batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from recommender.states import Contexts, UserStates

__all__ = ["CandidateGenerator", "Candidates"]


class CandidateGenerator(Protocol):
    """One family of retrieval, fitted at a cut.

    `scores` gives float32 (n_users, n_items): higher is better, 0 where the generator has nothing to
    say. Callers bound the batch, so the dense panel stays bounded too. `save`/`load` write plain
    arrays (npz, never pickle), the same bytes for the same fit.
    """

    name: str

    def scores(self, users: UserStates, contexts: Contexts) -> npt.NDArray[np.float32]: ...

    def arrays(self) -> Mapping[str, npt.NDArray[np.generic]]: ...

    def save(self, folder: Path) -> None: ...


@dataclass(frozen=True)
class Candidates:
    """Candidates of a batch of users, grouped by user row in ascending order.

    `offsets` int64 (n_users + 1); `item_index` int64 (n); `retrieval_scores` float32
    (n, n_generators), every generator's score for every candidate whoever proposed it; `source`
    int64 (n), position in `generators` of the first one that proposed it.
    """

    offsets: npt.NDArray[np.int64]
    item_index: npt.NDArray[np.int64]
    retrieval_scores: npt.NDArray[np.float32]
    source: npt.NDArray[np.int64]
    generators: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.item_index)

    @property
    def user_row(self) -> npt.NDArray[np.int64]:
        """Row of the user of each candidate."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))
