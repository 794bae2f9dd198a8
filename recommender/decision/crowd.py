"""Slates for many people at one moment, by the path that serves one: only the scoring is done for all at once.

Each slate has the bits that a request of its own would have got: what a person is shown depends on nobody else.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recommender.decision.pipeline import Decision, DecisionRequest, decide
from recommender.decision.placements import Placement
from recommender.decision.pool import known_generators
from recommender.decision.protocols import Scored, Scorer
from recommender.retrieval.candidates import Candidates, UserBatch
from recommender.states import Contexts, UserStates, empty_state

__all__ = ["CrowdScorer", "Progress", "decide_crowd"]

_LOG = logging.getLogger(__name__)

PEOPLE_AT_A_TIME = 500  # about 300 candidates × 60 features × 4 bytes × 500 = 36 MB
_STATE_TIMES = ["as_of", "created_at"]  # a state's row says both as `as_of_ms`; made Python's own they take longest

Progress = Callable[[str, int, int], None]  # step, done, in all


class CrowdScorer(Scorer, Protocol):
    """A loaded bundle that scores many people at once, each with the bits of a batch of one."""

    def score_batch(
        self,
        batch: UserBatch,
        item_index: npt.NDArray[np.int64] | None = None,
        novel: bool = False,
        generators: Sequence[str] | None = None,
    ) -> tuple[Candidates, npt.NDArray[np.float32], npt.NDArray[np.float32]]: ...


def decide_crowd(
    requests: Sequence[DecisionRequest],
    users: UserStates,
    scorer: CrowdScorer,
    placements: Mapping[str, Placement],
    progress: Progress | None = None,
) -> Iterator[Decision]:
    """A decision for each request, in their order: all of one placement, and of people's own ids.

    `users`: stored states in any order; who has none is decided on as somebody unknown.
    """
    place = pc.index_in(pa.array([request.subject for request in requests], pa.string()), users.table["user_id"])
    rows = pc.fill_null(place, -1).to_numpy().astype(np.int64)
    for start in range(0, len(requests), PEOPLE_AT_A_TIME):
        part = slice(start, start + PEOPLE_AT_A_TIME)
        if progress:
            progress("slates", start, len(requests))
        yield from _decided(requests[part], rows[part], users, scorer, placements)
    if progress:
        progress("slates", len(requests), len(requests))


def _decided(
    requests: Sequence[DecisionRequest],
    rows: npt.NDArray[np.int64],
    users: UserStates,
    scorer: CrowdScorer,
    placements: Mapping[str, Placement],
) -> Iterator[Decision]:
    known = users.table.take(pa.array(rows[rows >= 0]))
    states = iter(known.drop_columns(_STATE_TIMES).to_pylist())
    scored = _scored(requests, rows, known, scorer, placements[requests[0].placement])
    for place, request in enumerate(requests):
        own = scorer if scored is None else _Prescored(scorer, scored[place])
        yield decide(request, next(states) if rows[place] >= 0 else None, (), own, placements)


def _scored(
    requests: Sequence[DecisionRequest],
    rows: npt.NDArray[np.int64],
    known: pa.Table,
    scorer: CrowdScorer,
    placement: Placement,
) -> list[Scored] | None:
    """What retrieval proposes to each, scored; None where there is none, or it failed and each is tried alone."""
    if placement.bought == "only":
        return None
    strangers = [empty_state(requests[row].subject) for row in np.flatnonzero(rows < 0).tolist()]
    together = pa.concat_tables([known, UserStates.from_rows(strangers).table]) if strangers else known
    back = np.argsort(np.argsort(rows < 0, kind="stable"), kind="stable")
    people = UserStates(together.take(pa.array(back)).combine_chunks())
    moments = [request.contexts() for request in requests]
    contexts = Contexts(
        np.concatenate([one.at_ms for one in moments]),
        [one.placement[0] for one in moments],
        [one.device[0] for one in moments],
        [one.channel[0] for one in moments],
        [one.context_item_ids[0] for one in moments],
    )
    batch = UserBatch.read(people, contexts, scorer.items)
    novel, generators = placement.bought == "never", known_generators(placement.generators, scorer)
    try:
        candidates, features, scores = scorer.score_batch(batch, None, novel, generators)
    except Exception:
        # As in `decide`: one bad state must not cost the others their slates.
        _LOG.exception("%d people could not be scored together, and are one by one", len(requests))
        return None
    names = candidates.generators
    return [
        Scored(
            candidates.item_index[low:high],
            scores[low:high],
            features[low:high],
            [names[source] for source in candidates.source[low:high].tolist()],
            names,
            candidates.retrieval_scores[low:high],
        )
        for low, high in zip(candidates.offsets[:-1].tolist(), candidates.offsets[1:].tolist(), strict=True)
    ]


class _Prescored:
    """Stands for the bundle in one person's decision, whose retrieved candidates were scored with others'."""

    __slots__ = ("_scored", "_scorer")

    def __init__(self, scorer: Scorer, scored: Scored) -> None:
        self._scorer, self._scored = scorer, scored

    def __getattr__(self, name: str) -> Any:
        return getattr(self._scorer, name)

    def score(
        self,
        user: UserStates,
        context: Contexts,
        item_index: npt.NDArray[np.int64] | None = None,
        novel: bool = False,
        generators: Sequence[str] | None = None,
    ) -> Scored:
        """See Scorer."""
        return self._scored if item_index is None else self._scorer.score(user, context, item_index, novel, generators)
