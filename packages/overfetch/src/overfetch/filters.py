"""Typed filters: the same conditions give the same passages on every store.

Stores differ in how they read dates, split texts and compare types, and some read a field differently once it has
an index. So none of them sees raw metadata: `comparable` turns the fields that a site declares into one plain form
when a passage is made, conditions are turned into the same form, and stores only compare strings, numbers and dates.
"""

import math
import re
import unicodedata
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, ValidationError, model_validator

from overfetch.errors import SettingsError
from overfetch.types import Comparable, Frozen, MetadataValue

FieldKind = Literal["keyword", "number", "date", "text"]
Schema = Mapping[str, FieldKind]


def to_keyword(value: MetadataValue) -> str:
    """Text as it is, but for surrounding spaces and Unicode's composition; `true`, `false`; 2024.0 is 2024."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return repr(value).removesuffix(".0")
    return composed("NFC", str(value).strip())


def to_words(value: MetadataValue) -> list[str]:
    """The different words, sorted: runs of letters, marks and digits, without regard to case or width."""
    folded = composed("NFKC", composed("NFKC", to_keyword(value)).casefold())
    return sorted({*"".join(c if unicodedata.category(c)[0] in "LMN" else " " for c in folded).split()})


def composed(form: Literal["NFC", "NFKC"], text: str) -> str:
    """Unicode's form of the text; one without spaces is composed in pieces where it is very long."""
    pieces: list[str] = []
    start = 0
    while start < len(text):
        last = start + COMPOSED_AT_ONCE
        end = text.rfind(" ", start, last) + 1 if last < len(text) else 0
        pieces.append(unicodedata.normalize(form, text[start : end or last]))
        start = end or last
    return "".join(pieces)


def to_number(value: MetadataValue) -> float:
    """A finite number, also written as text. Raises SettingsError."""
    try:
        if isinstance(value, bool | list) or value is None:
            raise ValueError(value)
        number = float(value)
        if not math.isfinite(number):
            raise ValueError(value)
    except (ValueError, OverflowError) as error:
        raise SettingsError(f"{value!r} is no finite number") from error
    return number + 0.0  # never -0.0: an index on bytes would tell it from 0


def _as_utc(moment: datetime) -> datetime:
    """UTC is assumed where no zone is given."""
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


Number = Annotated[float, Field(allow_inf_nan=False)]
Moment = Annotated[datetime, AfterValidator(_as_utc)]
Keyword = Annotated[str, AfterValidator(to_keyword)]


def _with_booleans(values: tuple[str, ...]) -> tuple[str, ...]:
    """A boolean is stored as `true`; Python writes `True`, a spreadsheet `TRUE`: whichever is asked finds all."""
    each = (str, str.lower, str.capitalize, str.upper)
    return tuple(dict.fromkeys(f(v) for v in values for f in (each if v.lower() in ("true", "false") else each[:1])))


class AnyOf(Frozen):
    """The field equals one of the values, or contains it where it is a list. Case counts, but in `true` and `false`."""

    field: str
    values: Annotated[tuple[Keyword, ...], Field(min_length=1, fail_fast=True), AfterValidator(_with_booleans)]


class NumberRange(Frozen):
    """The number lies within the bounds: `at_least` and `at_most` belong to the range, `above` and `below` do not."""

    field: str
    at_least: Number | None = None
    at_most: Number | None = None
    above: Number | None = None
    below: Number | None = None


class DateRange(Frozen):
    """The date lies within inclusive bounds, in microseconds of UTC. A passage without the date never matches."""

    field: str
    start: Moment | None = None
    end: Moment | None = None


class KnownBy(DateRange):
    """What was known by then. As hidden as if it were not there: statistics that order the rest do not count it."""


class FullText(Frozen):
    """Every word occurs in the field, in any order and without regard to case; parts of words do not count."""

    field: str
    words: str

    @model_validator(mode="after")
    def _has_words(self) -> Self:
        if not self.terms:
            raise ValueError(f"there is no word in {self.words!r}")
        return self

    @property
    def terms(self) -> list[str]:
        """The words in the form that is stored."""
        return to_words(self.words)


Condition = AnyOf | NumberRange | DateRange | FullText
KINDS: dict[type[Condition], FieldKind] = {
    AnyOf: "keyword",
    NumberRange: "number",
    DateRange: "date",
    KnownBy: "date",
    FullText: "text",
}
OPERATORS = "FIELD=VALUE, FIELD=A|B of keywords, or FIELD and one of >= <= > < and VALUE"
DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
MOMENT = re.compile(DAY.pattern + r"[T ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-]\d{2}:?\d{2})?", re.ASCII)
# The first operator counts: a value may contain others.
OPERATOR = re.compile(r"(>=|<=|=|>|<)")
# Putting combining marks in order takes the square of their number.
COMPOSED_AT_ONCE = 1_000
TICK = timedelta(microseconds=1)
EARLIEST = datetime.min.replace(tzinfo=UTC)


def parse_date(text: str, *, end_of_day: bool = False) -> datetime:
    """An ISO date or date-time as UTC, cut to microseconds; a bare date means its first or last instant.

    Raises SettingsError. Only the common forms are read, so that a typing error is not taken for another date.
    """
    try:
        if DAY.fullmatch(text):
            moment = datetime.combine(date.fromisoformat(text), time.max if end_of_day else time.min)
        elif MOMENT.fullmatch(text):
            moment = datetime.fromisoformat(text)
        else:
            raise ValueError(text)
        return _as_utc(moment)
    except (ValueError, OverflowError) as error:
        raise SettingsError(f"bad date {text!r}: write YYYY-MM-DD or YYYY-MM-DDTHH:MM:SS, with Z or +HH:MM") from error


def to_stored_date(value: MetadataValue) -> str:
    """One form for all stores, which also sorts as text. Raises SettingsError."""
    return store_date(parse_date(str(value)))


def store_date(moment: datetime) -> str:
    """As stores keep moments: UTC, to the microsecond."""
    return f"{moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


ONE_BY_ONE: dict[FieldKind, Callable[[MetadataValue], str | float]] = {
    "keyword": to_keyword,
    "number": to_number,
    "date": to_stored_date,
}


def comparable(metadata: Mapping[str, MetadataValue], schema: Schema) -> dict[str, Comparable]:
    """What stores compare of each declared field that has a value. Raises SettingsError naming the field."""
    return {field: values for field, kind in schema.items() if (values := _values(field, metadata.get(field), kind))}


def _values(field: str, value: MetadataValue, kind: FieldKind) -> Comparable:
    items = value if isinstance(value, list) else [] if value is None else [value]
    if kind == "text":
        return to_words(" ".join(map(to_keyword, items)))
    try:
        return [ONE_BY_ONE[kind](item) for item in items]
    except SettingsError as error:
        raise SettingsError(f"field {field!r}: {error}") from error


def parse_condition(text: str, schema: Schema) -> Condition:
    """One `FIELD=VALUE`, `FIELD=A|B`, or `FIELD` and one of `>=`, `<=`, `>`, `<` and `VALUE`. Raises SettingsError.

    >>> parse_condition("sector=DeFi|Layer 1", {"sector": "keyword"})
    AnyOf(field='sector', values=('DeFi', 'Layer 1'))
    """
    field, operator, value = map(str.strip, (*OPERATOR.split(text, maxsplit=1), "", "")[:3])
    if not (field and value):
        raise SettingsError(f"bad filter {text!r}: write {OPERATORS}")
    if field.endswith("!") and field not in schema:
        raise SettingsError(f"bad filter {text!r}: what a field does not equal cannot be asked for; write {OPERATORS}")
    _require_declared(field, schema)
    kind = schema[field]
    if kind == "date":
        return _date_range(field, operator, value)
    if kind == "number":
        return _number_range(field, operator, value)
    if operator != "=":
        raise SettingsError(f"field {field!r} holds {kind} values: only FIELD=VALUE works on it")
    return _match(field, kind, value)


def require_filterable(condition: Condition, schema: Schema) -> Condition:
    """The condition, if the site declares its field and of that kind. Raises SettingsError.

    A store would answer any other with nothing, which looks like an answer.
    """
    _require_declared(condition.field, schema)
    kind = schema[condition.field]
    if KINDS[type(condition)] != kind:
        raise SettingsError(f"field {condition.field!r} holds {kind} values, given {type(condition).__name__}")
    return condition


def _require_declared(field: str, schema: Schema) -> None:
    if field not in schema:
        raise SettingsError(f"unknown filter field {field!r}; this collection has: {', '.join(schema) or 'none'}")


def _match(field: str, kind: FieldKind, value: str) -> Condition:
    try:
        if kind == "text":
            return FullText(field=field, words=value)
        return AnyOf(field=field, values=tuple(filter(None, map(str.strip, value.split("|")))))
    except ValidationError as error:
        raise SettingsError(f"bad filter {field}={value}: there is nothing to look for in {value!r}") from error


def _date_range(field: str, operator: str, value: str) -> DateRange:
    """Bounds are inclusive, so what is after or before begins a microsecond off; a bare date is its whole day."""
    first, last = parse_date(value), parse_date(value, end_of_day=True)
    try:
        match operator:
            case "=":
                return DateRange(field=field, start=first, end=last)
            case ">=":
                return DateRange(field=field, start=first)
            case ">":
                return DateRange(field=field, start=last + TICK)
            case "<=":
                return DateRange(field=field, end=last)
            case _:
                return DateRange(field=field, end=first - TICK)
    except OverflowError as error:
        raise SettingsError(f"bad filter {field}{operator}{value}: nothing lies beyond the calendar") from error


def _number_range(field: str, operator: str, value: str) -> NumberRange:
    try:
        number = to_number(value)
    except SettingsError as error:
        raise SettingsError(f"field {field!r} holds finite numbers, given {value!r}; write one") from error
    bounds = {"=": ("at_least", "at_most"), ">=": ("at_least",), "<=": ("at_most",), ">": ("above",), "<": ("below",)}
    return NumberRange.model_validate({"field": field, **dict.fromkeys(bounds[operator], number)})


def spell_condition(condition: Condition) -> str:
    """The condition as `parse_condition` reads it; both ends of a range after one another.

    >>> spell_condition(AnyOf(field="sector", values=("DeFi", "Layer 1")))
    'sector=DeFi|Layer 1'
    >>> spell_condition(NumberRange(field="year", at_least=2020, below=2022))
    'year>=2020 year<2022'
    """
    field = condition.field
    if isinstance(condition, AnyOf):
        return f"{field}={'|'.join(condition.values)}"
    if isinstance(condition, FullText):
        return f"{field}={condition.words}"
    if isinstance(condition, DateRange):
        bounds = [
            (">=", condition.start and condition.start.isoformat()),
            ("<=", condition.end and condition.end.isoformat()),
        ]
    else:
        numbers = [
            (">=", condition.at_least),
            (">", condition.above),
            ("<=", condition.at_most),
            ("<", condition.below),
        ]
        bounds = [(sign, None if number is None else f"{number:g}") for sign, number in numbers]
    return " ".join(f"{field}{sign}{bound}" for sign, bound in bounds if bound is not None)
