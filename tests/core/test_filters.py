"""Filters from text to typed conditions, and dates to instants."""

import contextlib
import re
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from small_site import opened_site, small_site

from overfetch.corpus import FieldMap
from overfetch.engine import Engine
from overfetch.errors import SettingsError
from overfetch.filters import (
    TICK,
    AnyOf,
    Condition,
    DateRange,
    FieldKind,
    FullText,
    NumberRange,
    parse_condition,
    parse_date,
    to_keyword,
)
from overfetch.judged import JudgedQuery, date_bounds
from overfetch.sites import load_site
from overfetch.testing import FakeEmbedder, FakeReranker, FakeStore

SCHEMA: dict[str, FieldKind] = {"sector": "keyword", "price": "number", "date": "date", "notes": "text"}
DAY_START = datetime(2026, 1, 31, tzinfo=UTC)
DAY_END = datetime(2026, 1, 31, 23, 59, 59, 999999, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("sector=DeFi", AnyOf(field="sector", values=("DeFi",))),
        ("sector=DeFi|Layer 1", AnyOf(field="sector", values=("DeFi", "Layer 1"))),
        (" sector = DeFi | Layer 1 ", AnyOf(field="sector", values=("DeFi", "Layer 1"))),
        ("sector=a=b", AnyOf(field="sector", values=("a=b",))),
        ("sector=grows >= 5%", AnyOf(field="sector", values=("grows >= 5%",))),
        ("price=3", NumberRange(field="price", at_least=3, at_most=3)),
        ("price>=-2.5", NumberRange(field="price", at_least=-2.5)),
        ("price<=0", NumberRange(field="price", at_most=0)),
        ("price>5", NumberRange(field="price", above=5)),
        ("price < 5", NumberRange(field="price", below=5)),
        ("date=2026-01-31", DateRange(field="date", start=DAY_START, end=DAY_END)),
        ("date>=2026-01-31", DateRange(field="date", start=DAY_START)),
        ("date<=2026-01-31", DateRange(field="date", end=DAY_END)),
        ("date<2026-01-31", DateRange(field="date", end=DAY_START - TICK)),
        ("date>2026-01-31", DateRange(field="date", start=DAY_END + TICK)),
        ("date>2026-01-31T00:00:00Z", DateRange(field="date", start=DAY_START + TICK)),
        ("notes=buy back", FullText(field="notes", words="buy back")),
    ],
)
def test_every_kind_and_operator(text: str, condition: Condition) -> None:
    assert parse_condition(text, SCHEMA) == condition


@pytest.mark.parametrize("text", ["", "sector", "=DeFi", "sector=", "sector= ", "price>", ">=", " = "])
def test_a_filter_without_all_three_parts_shows_the_form(text: str) -> None:
    with pytest.raises(
        SettingsError, match=r"bad filter .*write FIELD=VALUE, FIELD=A\|B of keywords, or FIELD and one of"
    ):
        parse_condition(text, SCHEMA)


@pytest.mark.parametrize(
    "text",
    [" " * 30_000, "sector" + " " * 30_000, "sector=a" + " " * 30_000 + "b", "notes=a" + "\u0301\u0323" * 15_000],
)
def test_no_filter_takes_more_than_its_length_allows(text: str) -> None:
    """Spaces took the square of their number, and so do combining marks that are put in order at once."""
    began = time.process_time()
    with contextlib.suppress(SettingsError):
        parse_condition(text, SCHEMA)
    assert time.process_time() - began < 0.5


def test_long_text_is_composed_in_pieces() -> None:
    words = ["cafe\u0301"] * 1_000
    assert to_keyword(" ".join(words)) == " ".join(["caf\u00e9"] * 1_000)


@pytest.mark.parametrize("text", ["sector=|", "sector= | ", "notes=?!", "notes=🙂"])
def test_a_filter_without_anything_to_look_for_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="there is nothing to look for in"):
        parse_condition(text, SCHEMA)


@pytest.mark.parametrize("text", ["date>9999-12-31", "date<0001-01-01"])
def test_beyond_the_calendar_lies_nothing(text: str) -> None:
    with pytest.raises(SettingsError, match=f"bad filter {text}: nothing lies beyond the calendar"):
        parse_condition(text, SCHEMA)


def test_built_conditions_are_checked_when_made() -> None:
    with pytest.raises(ValidationError):
        AnyOf(field="sector", values=())
    with pytest.raises(ValidationError, match="there is no word in '…'"):
        FullText(field="notes", words="…")
    with pytest.raises(ValidationError):
        NumberRange(field="price", at_least=float("nan"))
    assert DateRange(field="date", start=datetime(2026, 1, 31)).start == DAY_START  # UTC where no zone is given


@pytest.mark.parametrize("asked", ["true", "True", "TRUE"])
@pytest.mark.parametrize("stored", [True, "true", "True", "TRUE"])
def test_a_boolean_is_found_however_it_is_spelt(asked: str, stored: bool | str, tmp_path: Path) -> None:
    records: list[dict[str, Any]] = [
        {"_id": "yes", "text": "a", "final": stored},
        {"_id": "no", "text": "a", "final": False},
    ]
    fields: dict[str, Any] = {"fields": FieldMap(metadata=("final",)), "filters": {"final": "keyword"}}
    engine = opened_site(small_site(tmp_path, records, **fields))
    engine.index("pages")
    hits = engine.search("pages", "a", where=[f"final={asked}"]).hits
    assert [hit.passage.document_id for hit in hits] == ["yes"]
    assert AnyOf(field="final", values=("Trueish",)).values == ("Trueish",)


def test_an_unknown_field_names_the_known_ones() -> None:
    with pytest.raises(SettingsError, match=r"unknown filter field 'sectr'.*: sector, price, date, notes"):
        parse_condition("sectr=DeFi", SCHEMA)
    with pytest.raises(SettingsError, match="this collection has: none"):
        parse_condition("sector=DeFi", {})


def test_there_is_no_negation_and_it_is_said() -> None:
    with pytest.raises(SettingsError, match=r"'sector!=DeFi': what a field does not equal cannot be .*write FIELD="):
        parse_condition("sector!=DeFi", SCHEMA)


@pytest.mark.parametrize("value", ["1|4", "lots", "1,5", "nan", "inf", "0x10", "2026-01-31"])
def test_a_bad_number_is_shown(value: str) -> None:
    with pytest.raises(SettingsError, match=f"field 'price' holds .*given '{re.escape(value)}'; write one"):
        parse_condition(f"price>={value}", SCHEMA)


@pytest.mark.parametrize("field", ["sector", "notes"])
@pytest.mark.parametrize("operator", [">=", "<=", ">", "<"])
def test_bounds_work_on_numbers_and_dates_only(field: str, operator: str) -> None:
    with pytest.raises(SettingsError, match=f"field '{field}' holds {SCHEMA[field]} values: only FIELD=VALUE"):
        parse_condition(f"{field}{operator}a", SCHEMA)


@pytest.mark.parametrize("operator", ["=", ">=", "<=", ">", "<"])
def test_a_bad_date_in_a_filter_shows_the_form(operator: str) -> None:
    with pytest.raises(SettingsError, match=r"bad date '31\.01\.2026': write YYYY-MM-DD"):
        parse_condition(f"date{operator}31.01.2026", SCHEMA)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-31", DAY_START),
        ("2026-01-31T10:30", datetime(2026, 1, 31, 10, 30, tzinfo=UTC)),
        ("2026-01-31 10:30:15", datetime(2026, 1, 31, 10, 30, 15, tzinfo=UTC)),
        ("2026-01-31T10:30Z", datetime(2026, 1, 31, 10, 30, tzinfo=UTC)),
        ("2026-01-31T10:30:15.5Z", datetime(2026, 1, 31, 10, 30, 15, 500_000, tzinfo=UTC)),
        ("2026-01-31T10:30:15.123456789Z", datetime(2026, 1, 31, 10, 30, 15, 123_456, tzinfo=UTC)),
        ("2026-01-31T01:00:00+02:00", datetime(2026, 1, 30, 23, 0, tzinfo=UTC)),
        ("2026-01-31T23:30:00-0100", datetime(2026, 2, 1, 0, 30, tzinfo=UTC)),
        ("2024-02-29", datetime(2024, 2, 29, tzinfo=UTC)),
    ],
)
def test_dates_become_utc(text: str, moment: datetime) -> None:
    parsed = parse_date(text)
    assert parsed == moment
    assert parsed.tzinfo is UTC


def test_end_of_day_moves_bare_dates_only() -> None:
    assert parse_date("2026-01-31", end_of_day=True) == DAY_END
    assert parse_date("2026-01-31T10:30:00Z", end_of_day=True) == datetime(2026, 1, 31, 10, 30, tzinfo=UTC)


NO_DATES = [
    "",
    "today",
    "2026",
    "2026-1-31",
    "2026-02-30",
    "2026-13-01",
    "2025-02-29",
    "31.01.2026",
    "2026-01-31T25:00",
]
# Python reads these, but they are too easily something else.
UNCOMMON = ["20260131", "2026-W05-6", "2026-01-31T10", "2026-01-31x10:00", "２０２６-01-31"]
# In range where they are written, out of range in UTC.
OUT_OF_RANGE = ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-10:00"]


@pytest.mark.parametrize("text", [*NO_DATES, *UNCOMMON, *OUT_OF_RANGE])
def test_other_dates_are_refused(text: str) -> None:
    with pytest.raises(SettingsError, match=r"bad date .*: write YYYY-MM-DD"):
        parse_date(text)


@pytest.mark.parametrize("near", ["0001-01-01", "9999-12-31"])
def test_near_the_ends_of_the_calendar_is_an_error_not_a_crash(near: str) -> None:
    engine = Engine(load_site("paiddaily"), embedder=FakeEmbedder(), reranker=FakeReranker(), store=FakeStore())
    with pytest.raises(SettingsError, match=f"bad date '{near}'"):
        engine.search("catalysts", "listing", near=near)


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        ("2026-01-31", "2026-01-31", [DateRange(field="date", start=DAY_START, end=DAY_END)]),
        (None, "2026-01-31", [DateRange(field="date", end=DAY_END)]),
        (None, "2026-01-31T10:30Z", [DateRange(field="date", end=datetime(2026, 1, 31, 10, 30, tzinfo=UTC))]),
        (None, None, []),
    ],
)
def test_the_bounds_of_a_judged_query_hold_their_last_day(
    start: str | None, end: str | None, expected: list[Condition]
) -> None:
    query = JudgedQuery(id="1", text="listing", start=start, end=end)
    assert list(date_bounds("date", query)) == expected
    assert list(date_bounds(None, query)) == []
