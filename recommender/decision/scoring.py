"""Drives whatever asks for scores on its way: one alone, or several whose questions are answered together.

What is asked and what becomes of the answers is not known here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from recommender.decision.protocols import Scored, Scorer, Scoring, ToScore

__all__ = ["decided", "decided_together"]

Result = TypeVar("Result")


def decided(steps: Scoring[Result], scorer: Scorer) -> Result:
    """What `steps` come to; where the scorer fails they are told, and go on as they will. Raises what they raise."""
    return _Run(steps).to_the_end(scorer)


def decided_together(many: Sequence[Scoring[Result]], scorer: Scorer) -> list[Result | Exception]:
    """What each would come to alone, to the bit, or what it would raise; one that fails costs the others nothing."""
    runs: list[_Run[Result]] = [_Run(steps) for steps in many]
    while questions := [(run, run.question) for run in runs if run.question is not None]:
        try:
            answers = scorer.score_many([question for _, question in questions])
        except Exception:
            break  # whose fault it was shows when each is scored alone
        for (run, _), scored in zip(questions, answers, strict=True):
            run.go_on(scored)
    outcomes: list[Result | Exception] = []
    for run in runs:
        try:
            outcomes.append(run.to_the_end(scorer))
        except Exception as problem:
            outcomes.append(problem)
    return outcomes


class _Run(Generic[Result]):
    """Steps under way: the question they wait with, None once they ended."""

    def __init__(self, steps: Scoring[Result]) -> None:
        self._steps = steps
        self._result: list[Result] = []
        self._failure: Exception | None = None
        self.question: ToScore | None = None
        self._to(lambda: next(steps))

    def go_on(self, scored: Scored) -> None:
        """Answer the question."""
        self._to(lambda: self._steps.send(scored))

    def to_the_end(self, scorer: Scorer) -> Result:
        """Answer every question that is left, and give what the steps came to, or raise what they raised."""
        while (ask := self.question) is not None:
            try:
                scored = scorer.score(ask.user, ask.context, ask.item_index, ask.novel, ask.generators)
            except Exception as problem:
                failed = problem  # a name that outlives the clause
                self._to(lambda: self._steps.throw(failed))  # noqa: B023 (called at once)
            else:
                self.go_on(scored)
        if self._failure is not None:
            raise self._failure
        (result,) = self._result
        return result

    def _to(self, step: Callable[[], ToScore]) -> None:
        """To the next question, or the end."""
        self.question = None
        try:
            self.question = step()
        except StopIteration as end:
            self._result.append(end.value)
        except Exception as problem:
            self._failure = problem
