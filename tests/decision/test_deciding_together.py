"""Several decisions whose scores are made together: each as if it were alone, and none the worse for another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from recommender.decision.protocols import Scored, Scoring, ToScore
from recommender.decision.scoring import decided, decided_together

BAD = 13


class Doubling:
    """Scores a candidate by twice its index, and fails on one of them; tells how it was asked."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def score(self, user: object, context: object, item_index: object, novel: bool, generators: object) -> Scored:
        index = np.asarray(item_index)
        if BAD in index:
            raise ValueError("bad luck")
        return Scored(index, 2.0 * index.astype(np.float32), np.zeros((len(index), 0), np.float32), [])

    def score_many(self, asked: Sequence[ToScore]) -> list[Scored]:
        self.asked.append(len(asked))
        return [self.score(one.user, one.context, one.item_index, one.novel, one.generators) for one in asked]


def total(*questions: int) -> Scoring[float]:
    """The sum of the scores of some items, asked for one after the other; a failed one counts −1."""
    found = 0.0
    for item in questions:
        try:
            scored = yield ToScore(None, None, np.array([item]))  # type: ignore[arg-type]  # nobody looks at them
        except ValueError:
            found -= 1
        else:
            found += float(scored.scores[0])
    return found


def refused() -> Scoring[float]:
    raise LookupError("a bad request")
    yield


def test_every_round_of_questions_is_asked_together() -> None:
    scorer = Doubling()
    found = decided_together([total(1), total(2, 3), total(), total(4, 5, 6)], scorer)  # type: ignore[arg-type]
    assert found == [2.0, 4.0 + 6.0, 0.0, 8.0 + 10.0 + 12.0]
    assert scorer.asked == [3, 2, 1]  # the third asks nothing, the first once, the second twice


def test_one_that_cannot_be_scored_costs_the_others_nothing() -> None:
    found = decided_together([total(1, 2), total(BAD, 3), total(4)], Doubling())  # type: ignore[arg-type]
    assert found == [2.0 + 4.0, -1 + 6.0, 8.0]


def test_what_one_raises_is_its_own() -> None:
    first, second, third = decided_together([total(1), refused(), total(2)], Doubling())  # type: ignore[arg-type]
    assert (first, third) == (2.0, 4.0)
    assert isinstance(second, LookupError)


def test_alone_it_comes_to_the_same() -> None:
    assert decided(total(1, BAD, 3), Doubling()) == 2.0 - 1 + 6.0  # type: ignore[arg-type]
    with pytest.raises(LookupError, match="a bad request"):
        decided(refused(), Doubling())  # type: ignore[arg-type]
