"""The records of a body, read one by one: other threads get their turn between two, as they do not within one."""

import json
import re
from collections.abc import Iterator
from typing import Any

from overfetch import SettingsError
from overfetch.redacting import redacted
from overfetch.settings import LONGEST_READ, LONGEST_SHOWN

BEGIN, BETWEEN, END = (re.compile(rf"[ \t\n\r]*{sign}[ \t\n\r]*") for sign in (r"\[", ",", r"\]"))
DECODER = json.JSONDecoder()


def read_records(body: bytes) -> list[dict[str, Any]]:
    """Of a JSON array. Raises SettingsError at the first thing that is no record.

    >>> read_records(b'[{"id": "a"}, {"id": "b"}]')
    [{'id': 'a'}, {'id': 'b'}]
    """
    try:
        text = body.decode(json.detect_encoding(body), "surrogatepass")
        return [_record(number, item) for number, item in enumerate(_items(text))]
    except (ValueError, RecursionError) as error:  # broken, a number of thousands of digits, nested too deeply
        raise SettingsError(f"body: no JSON array of records: {error}") from error


def _record(number: int, item: Any) -> dict[str, Any]:
    if isinstance(item, dict):
        return item
    given = redacted(repr(item)[:LONGEST_READ])[:LONGEST_SHOWN]
    raise SettingsError(f"body.{number}: Input should be an object (given {given})")


def _items(text: str) -> Iterator[Any]:
    """One at least. Raises JSONDecodeError, and SettingsError where there is none."""
    place, found = 0, BEGIN.match(text)
    if found and END.fullmatch(text, found.end()):
        raise SettingsError("body: the array is empty: send one record at least")
    while found:
        item, place = DECODER.raw_decode(text, found.end())
        yield item
        found = BETWEEN.match(text, place)
    if not (place and END.fullmatch(text, place)):
        raise json.JSONDecodeError("Expecting ',' or ']'" if place else "Expecting '['", text, place)
