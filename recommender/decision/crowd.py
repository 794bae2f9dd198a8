"""Slates for many people at one moment, by the path that serves one: some dozens at a time are scored together.

Each slate has the bits that a request of its own would have got: what a person is shown depends on nobody else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recommender.decision.pipeline import Decision, DecisionRequest, deciding
from recommender.decision.placements import Placement
from recommender.decision.protocols import Scorer
from recommender.decision.scoring import decided_together
from recommender.states import UserStates

__all__ = ["Progress", "decide_crowd"]

TOGETHER = 50  # 2.0 to 2.6 ms a person; 2.3 to 3.5 with eight, 2.3 to 2.8 with 250
READ, TOLD = 1_000, 10_000  # states made Python's own at a time; people between two words of progress
_STATE_TIMES = ["as_of", "created_at"]  # a state's row says both as `as_of_ms`; made Python's own they take longest

Progress = Callable[[str, int, int], None]  # step, done, in all


def decide_crowd(
    requests: Sequence[DecisionRequest],
    users: UserStates,
    scorer: Scorer,
    placements: Mapping[str, Placement],
    progress: Progress | None = None,
) -> Iterator[Decision]:
    """A decision for each request, in their order, of people's own ids.

    `users`: stored states in any order; who has none is decided on as somebody unknown. Raises what deciding for one
    of them alone would raise.
    """
    subjects = pa.array([request.subject for request in requests], pa.string())
    rows = pc.fill_null(pc.index_in(subjects, users.table["user_id"]), -1).to_numpy().astype(np.int64)
    states = users.table.drop_columns(_STATE_TIMES)
    for start in range(0, len(requests), READ):
        if progress and start % TOLD == 0:
            progress("slates", start, len(requests))
        own = rows[start : start + READ]
        known = iter(states.take(pa.array(own[own >= 0])).to_pylist())
        found = [next(known) if row >= 0 else None for row in own.tolist()]
        for first in range(0, len(own), TOGETHER):
            part = slice(first, first + TOGETHER)
            pairs = zip(requests[start : start + READ][part], found[part], strict=True)
            for outcome in decided_together([deciding(*pair, (), scorer, placements) for pair in pairs], scorer):
                if isinstance(outcome, Exception):
                    raise outcome
                yield outcome
    if progress:
        progress("slates", len(requests), len(requests))
