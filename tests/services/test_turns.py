"""Requests that wait at the same moment: decided together, a few at a time, and nobody is answered for another."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, cast

import pytest

from recommender.decision.record import Decision
from services.lineup import Asked, Lineup
from services.turns import MOST, Turns

FIRST, SECOND = cast(Lineup, "first line-up"), cast(Lineup, "second line-up")


def asked(name: str) -> Asked:
    return Asked(name, f"decision of {name}", cast(Any, None), cast(Any, None), False)


class Together:
    """Answers each request with its own name, those called bad with an error, and notes who was decided with whom."""

    def __init__(self) -> None:
        self.turns: list[tuple[Lineup, list[str]]] = []

    def __call__(self, lineup: Lineup, together: Sequence[Asked]) -> list[Decision | Exception]:
        names = [one.subject for one in together]
        self.turns.append((lineup, names))
        if "worst" in names:
            raise OSError("nothing works")
        return [ValueError(name) if name == "bad" else cast(Decision, name) for name in names]


async def gathered(*waiting: Coroutine[Any, Any, Any]) -> list[Any]:
    return await asyncio.gather(*waiting, return_exceptions=True)


def test_who_asks_in_one_pass_of_the_loop_is_decided_together() -> None:
    together = Together()
    turns = Turns(together)

    async def ask() -> list[Any]:
        return await gathered(*(turns.taken(FIRST, asked(name)) for name in "abc"))

    assert asyncio.run(ask()) == ["a", "b", "c"]
    assert together.turns == [(FIRST, ["a", "b", "c"])]


def test_who_was_read_while_the_first_one_was_being_parsed_joins_its_turn() -> None:
    """A pass of the loop reads what came on connections, the next one parses it: the turn begins after that."""
    together = Together()
    turns = Turns(together)

    async def later() -> Any:
        await asyncio.sleep(0)
        return await turns.taken(FIRST, asked("later"))

    assert asyncio.run(gathered(later(), turns.taken(FIRST, asked("first")))) == ["later", "first"]
    assert together.turns == [(FIRST, ["first", "later"])]


def test_answers_leave_before_the_next_turn_begins() -> None:
    together = Together()
    turns = Turns(together)
    left: list[int] = []  # at each answer, how many turns had been decided

    async def ask(name: str) -> None:
        await turns.taken(FIRST, asked(name))
        left.append(len(together.turns))

    asyncio.run(gathered(*(ask(str(place)) for place in range(2 * MOST))))
    assert left == [1] * MOST + [2] * MOST


def test_many_are_decided_a_few_at_a_time_in_their_order() -> None:
    together = Together()
    turns = Turns(together)
    names = [str(place) for place in range(2 * MOST + 3)]

    async def ask() -> list[Any]:
        return await gathered(*(turns.taken(FIRST, asked(name)) for name in names))

    assert asyncio.run(ask()) == names
    assert [len(group) for _, group in together.turns] == [MOST, MOST, 3]


def test_those_of_another_line_up_have_a_turn_of_their_own() -> None:
    together = Together()
    turns = Turns(together)

    async def ask() -> list[Any]:
        return await gathered(turns.taken(FIRST, asked("a")), turns.taken(SECOND, asked("b")))

    assert asyncio.run(ask()) == ["a", "b"]
    assert together.turns == [(FIRST, ["a"]), (SECOND, ["b"])]


def test_an_error_is_its_own_and_one_of_all_reaches_all() -> None:
    turns = Turns(Together())

    async def ask(*names: str) -> list[Any]:
        return await gathered(*(turns.taken(FIRST, asked(name)) for name in names))

    first, second = asyncio.run(ask("a", "bad"))
    assert first == "a"
    assert isinstance(second, ValueError)
    assert [type(found) for found in asyncio.run(ask("a", "worst"))] == [OSError, OSError]


def test_nothing_is_decided_for_a_caller_that_went_away() -> None:
    together = Together()
    turns = Turns(together)

    async def ask() -> Any:
        gone, stays = (asyncio.ensure_future(turns.taken(FIRST, asked(name))) for name in ("gone", "stays"))
        asyncio.get_running_loop().call_soon(gone.cancel)  # after both asked, before their turn
        with pytest.raises(asyncio.CancelledError):
            await gone
        return await stays

    assert asyncio.run(ask()) == "stays"
    assert together.turns == [(FIRST, ["stays"])]
