"""What is asked of a collection: one form for Python, the command line and services. Frozen, bounded, typed."""

import re
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Self, Unpack, cast

from pydantic import BeforeValidator, Field, ValidationError

from overfetch.errors import SettingsError
from overfetch.filters import Condition, DateRange, parse_condition, parse_date, require_filterable
from overfetch.settings import SettingsOptions, SettingsOverrides, explain, require_list
from overfetch.sites import Collection
from overfetch.types import AsOf, Turn
from overfetch.understanding import Understood, literally

LONGEST_QUERY = 32_768  # characters: more than any model here reads of a query
LONGEST_DATE = 64
SURROGATE = re.compile("[\ud800-\udfff]")  # what Python makes of bytes that are not UTF-8
MOST_CONDITIONS, MOST_PARTS, MOST_TURNS = 100, 32, 1_000
LISTS = {"where": "conditions", "history": "turns", "parts": "texts"}


def _as_turn(given: Any) -> Any:
    return Turn(question=given) if isinstance(given, str) else given


Query = Annotated[str, Field(max_length=LONGEST_QUERY)]
Date = Annotated[str, Field(max_length=LONGEST_DATE)]
# The first that is wrong is enough: explaining each of very many takes very long.
Where = Annotated[tuple[Query | Condition, ...], Field(max_length=MOST_CONDITIONS, fail_fast=True)]
EarlierTurn = Annotated[Turn, BeforeValidator(_as_turn)]


class SearchOptions(SettingsOptions, total=False):
    """Keywords of a search. `where` takes conditions or texts such as `sector=DeFi`; `as_of` hides what became known
    later; `near` keeps what happened within the collection's `near_days` of a date; `literal` reads nothing into the
    question; `include_candidates` returns all `top_k` beside those kept; the rest are of RetrievalSettings.
    """

    where: Sequence[str | Condition]
    as_of: str | None
    near: str | None
    literal: bool
    include_candidates: bool


class AskOptions(SearchOptions, total=False):
    """Keywords of a question. `collection` is by default the site's `ask`; `history` are the earlier turns of a chat,
    oldest first, or their questions; each of the `parts` (a card, a transit) is retrieved on its own.
    """

    collection: str | None
    history: Sequence[Turn | str]
    parts: Sequence[str]


class _Bounded(SettingsOverrides):
    where: Where = ()
    as_of: Date | None = None
    near: Date | None = None
    literal: bool = False
    include_candidates: bool = False

    @classmethod
    def _checked(cls, **given: Any) -> Self:
        for name in given.keys() & LISTS.keys():
            require_list(name, given[name], LISTS[name])
        for name, value in given.items():
            for text in [value] if isinstance(value, str) else value if isinstance(value, list | tuple) else ():
                _require_unicode(name, text)
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            raise SettingsError(explain(error)) from error

    @property
    def overrides(self) -> SettingsOptions:
        """The settings that it changes."""
        return cast(SettingsOptions, self.model_dump(include=set(SettingsOverrides.model_fields)))


class SearchRequest(_Bounded):
    """One query, with what it sets in place of the collection's own settings.

    Where it is one part of a `question`, the second stage reads both.
    """

    query: Query
    question: Query | None = None

    @classmethod
    def of(cls, query: str, **options: Unpack[SearchOptions]) -> Self:
        """Raises SettingsError naming what is not allowed."""
        return cls._checked(query=query, **options)

    def known_by(self, collection: Collection) -> AsOf | None:
        """The bound on what was known. Raises SettingsError where the collection has no such date."""
        if self.as_of is None:
            return None
        field = _date_field(collection, collection.known_at, "as_of", self.as_of)
        return AsOf(field=field, moment=parse_date(self.as_of, end_of_day=True))

    def understood(self, collection: Collection) -> Understood:
        """The query as the collection reads it on the day that it is asked, or as it is written. Raises SiteError."""
        known = self.known_by(collection)
        return (literally if self.literal else collection.understood)(
            self.query, known.moment.date() if known else datetime.now(UTC).date()
        )

    def reading(self, understood: Understood) -> str:
        """What the second stage reads beside each passage."""
        return understood.text if self.question is None else f"{understood.text}: {self.question}"

    def conditions(self, collection: Collection) -> Iterator[Condition]:
        """What every passage must meet, but for `as_of`. Raises SettingsError naming what may be filtered."""
        schema = collection.filters
        for given in self.where:
            yield parse_condition(given, schema) if isinstance(given, str) else require_filterable(given, schema)
        if self.near is not None:
            field = _date_field(collection, collection.date, "near", self.near)
            yield _around(field, self.near, timedelta(days=collection.near_days))


class AskRequest(_Bounded):
    """A question, with the chat before it and the parts that it consists of."""

    question: Query
    collection: str | None = None
    history: Annotated[tuple[EarlierTurn, ...], Field(max_length=MOST_TURNS, fail_fast=True)] = ()
    parts: Annotated[tuple[Query, ...], Field(max_length=MOST_PARTS, fail_fast=True)] = ()

    @classmethod
    def of(cls, question: str, **options: Unpack[AskOptions]) -> Self:
        """Raises SettingsError naming what is not allowed."""
        return cls._checked(question=question, **options)

    @property
    def own_deadline_ms(self) -> float | None:
        """Given by whoever asks: it bounds the writing too. What a service or a collection sets is the search's."""
        return self.deadline_ms if "deadline_ms" in self.model_fields_set else None

    def counted_from(self, began: float) -> float:
        """When it was asked, if it `began` to be read then, both as `time.monotonic()`: where the deadline is not its
        own, what a model takes to rewrite the question is not the search's time.
        """
        return time.monotonic() if self.own_deadline_ms is None else began

    def answer_by(self, asked_at: float) -> float | None:
        """Until when a language model may write, as `asked_at` by `time.monotonic()`: a tenth is kept for quoting."""
        return None if self.own_deadline_ms is None else asked_at + 0.9 * self.own_deadline_ms / 1000

    def require_words(self) -> None:
        """Raises SettingsError where the question or a part of it is empty."""
        if not self.question.strip():
            raise SettingsError(f"the question is empty (given {self.question!r}); write what to ask")
        for part in self.parts:
            if not part.strip():
                raise SettingsError(f"a part of the question is empty (given {part!r})")

    def searching(self, query: str, question: str | None = None) -> SearchRequest:
        """The search for one part of the `question`, or for the whole: what it says was checked already."""
        shared = {name: getattr(self, name) for name in _Bounded.model_fields}
        return SearchRequest.model_construct(query=query, question=question, **shared)


def _require_unicode(name: str, given: Any) -> None:
    if isinstance(given, str) and SURROGATE.search(given):
        raise SettingsError(f"{name}: {given!r} is no valid text; is it UTF-8?")


def _date_field(collection: Collection, field: str | None, option: str, given: str) -> str:
    if field is None:
        raise SettingsError(f"collection {collection.name!r} has no such date: {option} ({given!r}) cannot be honoured")
    return field


def _around(field: str, near: str, days: timedelta) -> DateRange:
    first, last = parse_date(near), parse_date(near, end_of_day=True)
    try:
        return DateRange(field=field, start=first - days, end=last + days)
    except OverflowError as error:
        raise SettingsError(f"bad date {near!r}: nothing lies near the ends of the calendar") from error
