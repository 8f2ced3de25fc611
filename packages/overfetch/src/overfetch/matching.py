"""What conditions mean, one passage at a time: the fake store filters so, and the real ones are held to it."""

import operator
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from overfetch.filters import EARLIEST, AnyOf, Condition, DateRange, FullText, NumberRange, store_date
from overfetch.types import Comparable, Passage

LATEST = datetime.max.replace(tzinfo=UTC)


def matches(passage: Passage, conditions: Sequence[Condition]) -> bool:
    """Whether it meets all conditions, as the engines decide it."""
    return all(_holds(condition, passage.filters.get(condition.field, [])) for condition in conditions)


def _holds(condition: Condition, values: Comparable) -> bool:
    match condition:
        case AnyOf():
            return not set(condition.values).isdisjoint(values)
        case FullText():
            return set(condition.terms) <= set(values)
        case NumberRange():
            return any(_within(condition, float(value)) for value in values)
        case DateRange():
            start, end = store_date(condition.start or EARLIEST), store_date(condition.end or LATEST)
            return any(start <= str(value) <= end for value in values)


def _within(condition: NumberRange, number: float) -> bool:
    bounds: list[tuple[Callable[[float, float], bool], float | None]] = [
        (operator.ge, condition.at_least),
        (operator.le, condition.at_most),
        (operator.gt, condition.above),
        (operator.lt, condition.below),
    ]
    return all(bound is None or compare(number, bound) for compare, bound in bounds)
