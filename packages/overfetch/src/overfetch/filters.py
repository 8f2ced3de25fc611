"""Typed filters: the same conditions give the same passages on every store."""

import math
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from typing import Literal

from overfetch.errors import SettingsError
from overfetch.types import Frozen

FieldKind = Literal["keyword", "number", "date", "text"]
Schema = Mapping[str, FieldKind]


class AnyOf(Frozen):
    """The field equals one of the values (or contains it, where the field is a list)."""

    field: str
    values: tuple[str, ...]


class NumberRange(Frozen):
    """The number lies within inclusive bounds."""

    field: str
    at_least: float | None = None
    at_most: float | None = None


class DateRange(Frozen):
    """The date lies within inclusive bounds. A passage without the date never matches."""

    field: str
    start: datetime | None = None
    end: datetime | None = None


class FullText(Frozen):
    """Every word occurs in the field."""

    field: str
    words: str


Condition = AnyOf | NumberRange | DateRange | FullText
DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
MOMENT = re.compile(DAY.pattern + r"[T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?(Z|[+-]\d{2}:?\d{2})?)?", re.ASCII)
# The first operator counts: a value may contain others.
CONDITION = re.compile(r"\s*([^<>=]*[^<>=\s])\s*(>=|<=|=)\s*(\S|\S.*\S)\s*", re.DOTALL)


def parse_date(text: str, *, end_of_day: bool = False) -> datetime:
    """An ISO date or date-time as UTC; a bare date means its first or last instant. Raises SettingsError.

    Only the forms that every store reads: others would be stored and then never found by a date filter.
    """
    try:
        if DAY.fullmatch(text):
            moment = datetime.combine(date.fromisoformat(text), time.max if end_of_day else time.min)
        elif MOMENT.fullmatch(text):
            moment = datetime.fromisoformat(text)
        else:
            raise ValueError(text)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise SettingsError(f"bad date {text!r}: write YYYY-MM-DD or YYYY-MM-DDTHH:MM:SS, with Z or +HH:MM") from error


def parse_condition(text: str, schema: Schema) -> Condition:
    """One `FIELD=VALUE`, `FIELD=A|B`, `FIELD>=VALUE` or `FIELD<=VALUE`. Raises SettingsError.

    >>> parse_condition("sector=DeFi|Layer 1", {"sector": "keyword"})
    AnyOf(field='sector', values=('DeFi', 'Layer 1'))
    """
    parts = CONDITION.fullmatch(text)
    if parts is None:
        raise SettingsError(f"bad filter {text!r}: write FIELD=VALUE, FIELD=A|B, FIELD>=VALUE or FIELD<=VALUE")
    field, operator, value = parts.groups()
    if field not in schema:
        raise SettingsError(f"unknown filter field {field!r}; this collection has: {', '.join(schema) or 'none'}")
    return _condition(field, schema[field], operator, value)


def _condition(field: str, kind: FieldKind, operator: str, value: str) -> Condition:
    if kind == "date":
        start = parse_date(value) if operator != "<=" else None
        end = parse_date(value, end_of_day=True) if operator != ">=" else None
        return DateRange(field=field, start=start, end=end)
    if kind == "number":
        number = _number(field, value)
        at_least = number if operator != "<=" else None
        return NumberRange(field=field, at_least=at_least, at_most=number if operator != ">=" else None)
    if operator != "=":
        raise SettingsError(f"field {field!r} holds {kind} values: only FIELD=VALUE works on it")
    if kind == "text":
        return FullText(field=field, words=value)
    return AnyOf(field=field, values=tuple(part.strip() for part in value.split("|")))


def _number(field: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError as error:
        raise SettingsError(f"field {field!r} holds numbers, given {value!r}") from error
    if not math.isfinite(number):
        raise SettingsError(f"field {field!r} holds finite numbers, given {value!r}")
    return number
