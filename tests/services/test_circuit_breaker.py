"""The circuit breaker: when it opens, who may try while it is open, and what closes it."""

from __future__ import annotations

from services.circuit_breaker import BreakerConfig, CircuitBreaker


class Hands:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.at = 100.0

    def __call__(self) -> float:
        return self.at


def a_breaker(**config: float) -> tuple[CircuitBreaker, Hands]:
    hands = Hands()
    return CircuitBreaker(BreakerConfig(**config), hands), hands  # type: ignore[arg-type]


def test_it_opens_after_three_failures_in_a_row_and_not_before():
    breaker, _ = a_breaker(failures=3, pause_seconds=0.5)
    assert [breaker.failed(), breaker.failed()] == [0.0, 0.0]
    breaker.succeeded()
    assert [breaker.failed(), breaker.failed(), breaker.state] == [0.0, 0.0, "closed"]
    assert breaker.failed() == 0.5
    assert (breaker.state, breaker.allows(), breaker.opened) == ("open", False, 1)


def test_after_the_pause_one_may_try_and_its_success_lets_everybody_in():
    breaker, hands = a_breaker(failures=1, pause_seconds=0.5)
    breaker.failed()
    hands.at += 0.5
    assert breaker.state == "half-open"
    assert [breaker.allows(), breaker.allows()] == [True, False]
    breaker.succeeded()
    assert [breaker.allows(), breaker.allows(), breaker.state] == [True, True, "closed"]


def test_each_trial_that_fails_doubles_the_pause_up_to_its_bound():
    breaker, hands = a_breaker(failures=1, pause_seconds=0.5, longest_pause_seconds=1.5)
    pauses = [breaker.failed()]
    for _ in range(3):
        hands.at += pauses[-1]
        assert breaker.allows()
        pauses.append(breaker.failed())
    assert pauses == [0.5, 1.0, 1.5, 1.5]


def test_those_under_way_when_it_opened_prolong_nothing():
    breaker, hands = a_breaker(failures=1, pause_seconds=0.5)
    breaker.failed()
    hands.at += 0.4
    assert [breaker.failed(), breaker.failed()] == [0.0, 0.0]
    hands.at += 0.1
    assert breaker.allows()
