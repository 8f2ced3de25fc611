"""Conditions in words, for people."""

from overfetch.filters import Condition, DateRange, FullText, NumberRange

SIDES = ("above", "at_least", "below", "at_most")


def told(condition: Condition) -> str:
    """What it asks for, without the field.

    >>> told(NumberRange(field="loss", at_least=1e6, below=2e6))
    'at least 1,000,000, below 2,000,000'
    """
    if isinstance(condition, DateRange):
        return " to ".join(f"{day:%Y-%m-%d}" if day else "" for day in (condition.start, condition.end)).strip()
    if isinstance(condition, NumberRange):
        bounds = {side.replace("_", " "): getattr(condition, side) for side in SIDES}
        return ", ".join(f"{side} {value:,.0f}" for side, value in bounds.items() if value is not None)
    return condition.words if isinstance(condition, FullText) else " or ".join(condition.values)
