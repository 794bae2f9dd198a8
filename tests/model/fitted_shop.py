"""The small shop as the tests of this room take it, and how quickly its ranker is fitted."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from recommender.cuts import CutInputs
from recommender.model.ranker import RankerConfig

RANKER = RankerConfig(pointwise_rounds=10, rounds=20, max_depth=4, min_child_weight=1.0)


@dataclass(frozen=True)
class Shop:
    """A shop of 63 days as of day 56: three past cuts, the holdout cut last, and the serving cut."""

    events: pa.Table
    past: list[CutInputs]
    now: CutInputs

    @property
    def holdout(self) -> CutInputs:
        return self.past[-1]
