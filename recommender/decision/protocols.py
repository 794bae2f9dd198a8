"""What a decision needs from elsewhere, as protocols: the services plug the bundle and the feature store in."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from recommender.retrieval.candidates import Scored, ToScore
from recommender.states import Contexts, ItemTable, UserStates

__all__ = ["FeatureSource", "Scored", "Scorer", "Scoring", "ToScore"]


Result = TypeVar("Result")
# What asks for scores on its way, once or twice, and is sent them: whoever drives several asks for all theirs at once.
Scoring = Generator[ToScore, Scored, Result]


class Scorer(Protocol):
    """A loaded bundle, as decisions see it."""

    @property
    def version(self) -> str: ...

    @property
    def feature_version(self) -> str: ...

    @property
    def items(self) -> ItemTable: ...

    @property
    def catalogue_seq(self) -> int:
        """Row of the journal's catalogue up to which later rows were laid over the items; 0: none were."""
        ...

    @property
    def generators(self) -> Sequence[str]:
        """Names of those that propose candidates."""
        ...

    def score(
        self,
        user: UserStates,
        context: Contexts,
        item_index: npt.NDArray[np.int64] | None = None,
        novel: bool = False,
        generators: Sequence[str] | None = None,
    ) -> Scored:
        """Retrieve (or take `item_index` as the candidates), assemble and score for a batch of one user.

        `novel`: leave the person's own history out of the retrieval, so that its place goes to others.
        `generators`: only these propose; all of them still give features.
        """
        ...

    def score_many(self, asked: Sequence[ToScore]) -> list[Scored]:
        """`score` for each of several users, to the bit, at less cost."""
        ...

    def similarity(self, item_index: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """How alike items are in content: float32 (n, n) from 0 to 1, 1 on the diagonal."""
        ...

    def popular(self, n: int) -> Scored:
        """The last tier: items by popularity without any user, always there."""
        ...


class FeatureSource(Protocol):
    """Where stored user states come from."""

    def user_state(self, user_id: str) -> Mapping[str, Any] | None:
        """The stored row (columns of USER_STATE_SCHEMA, times as `*_ms` or datetime), or None for an unknown user."""
        ...
