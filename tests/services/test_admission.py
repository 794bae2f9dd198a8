"""Letting in: by the time a request would wait, by the memory its body takes, by the rate of its key."""

from __future__ import annotations

import pytest

from recommender.door_settings import DoorSettings
from services.admission import Admission, Memory, RateLimits
from services.wire import Refusal


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def answer(admission: Admission, clock: Clock, settings: DoorSettings, times: int, seconds: float) -> None:
    """So many requests one after the other, each taking so many seconds."""
    for _ in range(times):
        with admission.turn(settings):
            clock.now += seconds


def admitted(admission: Admission, settings: DoorSettings) -> int:
    """How many more are let in at this moment."""
    count = 0
    while not admission.is_full(settings):
        admission.began()
        count += 1
    return count


@pytest.mark.parametrize(("seconds", "expected"), [(0.004, 0.2 / 0.004 + 1), (0.01, 0.2 / 0.01 + 1)])
def test_as_many_are_let_in_as_are_answered_within_the_longest_wait(clock: Clock, seconds: float, expected: float):
    settings = DoorSettings(longest_wait_seconds=0.2)
    admission = Admission(clock)
    answer(admission, clock, settings, 400, seconds)
    assert abs(admitted(admission, settings) - expected) <= 1
    with pytest.raises(Refusal) as refused:
        admission.turn(settings)
    assert (refused.value.status, refused.value.headers) == (429, {"retry-after": "1"})


def test_a_few_are_always_let_in_and_a_stall_is_forgotten(clock: Clock):
    settings = DoorSettings(longest_wait_seconds=0.2)
    admission = Admission(clock)
    answer(admission, clock, settings, 20, 5.0)
    assert admitted(admission, settings) == 8
    for _ in range(8):
        admission.ended(clock.now)
    answer(admission, clock, settings, 1_000, 0.004)
    assert admitted(admission, settings) > 40


def test_answers_that_come_in_bursts_are_averaged_over_time(clock: Clock):
    """Twenty at once every 0.2 s are one every 0.01 s, also at the moment after a burst."""
    settings = DoorSettings(longest_wait_seconds=0.2)
    admission = Admission(clock)
    for _ in range(20):
        began = [admission.began() for _ in range(20)]
        clock.now += 0.2
        for one in began:
            admission.ended(one)
    assert abs(admitted(admission, settings) - (0.2 / (0.2 / 20) + 1)) <= 1


def test_an_idle_hour_does_not_count_as_a_slow_answer(clock: Clock):
    settings = DoorSettings(longest_wait_seconds=0.2)
    admission = Admission(clock)
    answer(admission, clock, settings, 400, 0.004)
    clock.now += 3_600
    answer(admission, clock, settings, 1, 0.004)
    assert admitted(admission, settings) > 40


def test_the_bound_holds_however_quick_the_answers_are(clock: Clock):
    settings = DoorSettings(most_in_flight=30)
    assert admitted(Admission(clock), settings) == 30


def test_a_request_that_fails_gives_its_place_back(clock: Clock):
    settings, admission = DoorSettings(), Admission(clock)
    with pytest.raises(ZeroDivisionError), admission.turn(settings):
        _ = 1 / 0
    assert admission.in_flight == 0


def test_bodies_together_fill_the_memory_set_aside_and_no_more():
    settings, memory = DoorSettings(body_bytes_in_flight=3_000_000), Memory()
    memory.take(2_000_000, settings)
    with pytest.raises(Refusal, match="memory"):
        memory.take(1_500_000, settings)
    memory.take(1_000_000, settings)
    assert memory.held == 3_000_000
    eighth = Memory(0.125)
    eighth.take(375_000, settings)
    with pytest.raises(Refusal, match="memory"):
        eighth.take(1, settings)


def test_a_key_may_send_a_burst_and_then_its_rate(clock: Clock):
    settings, limits = DoorSettings(requests_per_second=2.0, burst=3.0), RateLimits(clock)
    for _ in range(3):
        limits.spend("one", settings)
    with pytest.raises(Refusal) as refused:
        limits.spend("one", settings)
    assert (refused.value.status, refused.value.headers) == (429, {"retry-after": "1"})
    limits.spend("another", settings)  # each key has its own
    clock.now += 1.0
    for _ in range(2):
        limits.spend("one", settings)
    with pytest.raises(Refusal, match="2 requests a second"):
        limits.spend("one", settings)


def test_a_slow_rate_says_when_to_come_back(clock: Clock):
    settings, limits = DoorSettings(requests_per_second=0.1, burst=1.0), RateLimits(clock)
    limits.spend("one", settings)
    with pytest.raises(Refusal) as refused:
        limits.spend("one", settings)
    assert refused.value.headers["retry-after"] == str(round(1 / 0.1))
