"""What an agent may give a tool: a form made of the collection's own filters, and the options that it becomes."""

from collections.abc import Iterator
from typing import Annotated, Any, NamedTuple

from pydantic import Field, create_model

from overfetch.filters import AnyOf, Condition, DateRange, FieldKind, FullText, NumberRange, parse_date
from overfetch.requests import Date, Query, SearchOptions
from overfetch.sites import Collection
from overfetch.types import Frozen

MOST_PASSAGES = 20
AS_SET = "by default as the collection is set"


class Arguments(Frozen):
    """What every tool takes."""

    query: Annotated[Query, Field(description="What to look for, in the user's own words.")]
    top_n: Annotated[int | None, Field(ge=1, le=MOST_PASSAGES, description=f"Passages to keep; {AS_SET}.")] = None
    rerank: Annotated[bool | None, Field(description=f"Let the second stage order what was found; {AS_SET}.")] = None
    literal: Annotated[bool, Field(description="Take the query as it is written: read nothing into it.")] = False


class NumberBounds(Frozen):
    """Inclusive bounds."""

    at_least: float | None = None
    at_most: float | None = None


class DateBounds(Frozen):
    """Inclusive bounds: days or moments, such as 2026-03-31 or 2026-03-31T10:00:00Z."""

    start: Date | None = None
    end: Date | None = None


class Kind(NamedTuple):
    """How a filter of one kind is given."""

    type: Any
    told: str


KINDS: dict[FieldKind, Kind] = {
    "keyword": Kind(Annotated[list[str], Field(fail_fast=True)], "any of these values, spelt exactly so"),
    "number": Kind(NumberBounds, "bounds of the number"),
    "date": Kind(DateBounds, "bounds of the date"),
    "text": Kind(str, "words that all occur in it"),
}


def form(collection: Collection) -> type[Arguments]:
    """The arguments of the collection's tools: what it can filter, and no more."""
    fields: dict[str, Any] = {}
    if collection.filters:
        fields["filters"] = _optional(_filters(collection), "What every passage must meet.")
    if collection.known_at:
        fields["as_of"] = _optional(Date, "Hide what became known after this date.")
    if collection.date:
        fields["near"] = _optional(Date, f"Keep what happened within {collection.near_days} days of this date.")
    return create_model("Arguments", __base__=Arguments, **fields)


def options_of(given: Arguments) -> SearchOptions:
    """All but the query. Raises SettingsError on a date that is none."""
    return {
        "top_n": given.top_n,
        "rerank": given.rerank,
        "literal": given.literal,
        "where": list(_conditions(getattr(given, "filters", None))),
        "as_of": getattr(given, "as_of", None),
        "near": getattr(given, "near", None),
    }


def _filters(collection: Collection) -> type[Frozen]:
    fields: dict[str, Any] = {
        name: _optional(KINDS[kind].type, KINDS[kind].told) for name, kind in collection.filters.items()
    }
    return create_model("Filters", __base__=Frozen, **fields)


def _optional(kind: Any, told: str) -> tuple[Any, Any]:
    return (kind | None, Field(None, description=told))


def _conditions(filters: Frozen | None) -> Iterator[Condition]:
    for field, given in filters or ():
        if isinstance(given, NumberBounds):
            yield NumberRange(field=field, at_least=given.at_least, at_most=given.at_most)
        elif isinstance(given, DateBounds):
            start = parse_date(given.start) if given.start else None
            yield DateRange(field=field, start=start, end=parse_date(given.end, end_of_day=True) if given.end else None)
        elif isinstance(given, str):
            yield FullText(field=field, words=given)
        elif given:
            yield AnyOf(field=field, values=tuple(given))
