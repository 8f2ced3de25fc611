"""What a deadline allows, as measured."""

import pytest

from overfetch import Overloaded
from overfetch_serve.errors import TooMuch
from overfetch_serve.vendors.pace import KEPT, REMEMBERED_S, Budget, Pace

SIZES = [1_000] * 10


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_what_was_measured_says_how_many_are_allowed() -> None:
    pace = Pace(Clock())
    pace.require(SIZES, Budget.of(1, alone=True))  # nothing is known yet
    pace.learn(10_000, 1.0)
    assert pace.allowed(SIZES, 500) == 5
    with pytest.raises(TooMuch, match=r"10 texts of these lengths take longer than the 500 ms.*allow 5") as refused:
        pace.require(SIZES, Budget.of(500, alone=True))
    assert refused.value.allowed == 5


def test_one_slow_or_remembered_reading_does_not_count() -> None:
    pace = Pace(Clock())
    for seconds in (1.0, 1.0, 60.0, 0.001, 1.0):
        pace.learn(10_000, seconds)
    assert pace.allowed(SIZES, 500) == 5


def test_what_was_slow_refuses_nobody_for_ever() -> None:
    clock = Clock()
    pace = Pace(clock)
    pace.learn(10_000, 1_000.0)
    assert pace.allowed(SIZES, 500) == 0
    clock.now += REMEMBERED_S + 1
    assert pace.allowed(SIZES, 500) == len(SIZES)


def test_the_last_measurements_count() -> None:
    pace = Pace(Clock())
    for _ in range(KEPT):
        pace.learn(10_000, 10.0)
    for _ in range(KEPT):
        pace.learn(10_000, 1.0)
    assert pace.allowed(SIZES, 500) == 5


def test_beside_others_it_is_overload_and_nothing_is_learnt() -> None:
    pace = Pace(Clock())
    with pytest.raises(Overloaded, match="3 of 10 texts"):
        pace.settle(SIZES, 3, 9.0, Budget.of(500, alone=False))
    assert pace.seconds is None
    with pytest.raises(Overloaded, match="3 of 10 texts"):  # others came later
        pace.settle(SIZES, 3, 9.0, Budget.of(500, alone=True, shared=lambda: True))
    assert pace.seconds is None
    with pytest.raises(TooMuch, match="allow 3"):
        pace.settle(SIZES, 3, 0.5, Budget.of(500, alone=True))
    assert pace.seconds is not None
