"""Judged queries in BEIR layout (Thakur et al. 2021, arXiv 2104.08663): `queries.jsonl` and `qrels/SPLIT.tsv`."""

import csv
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Annotated

from pydantic import ConfigDict, Field, ValidationError

from overfetch.errors import CorpusError, SettingsError
from overfetch.filters import Condition, DateRange, parse_date
from overfetch.settings import explain
from overfetch.sources import Record, read_jsonl, read_lines
from overfetch.types import Frozen

GREATEST = 1_000  # of grades: trec_eval counts up to the greatest, and fails on what its machine words do not hold
Qrels = dict[str, dict[str, Annotated[int, Field(le=GREATEST)]]]


class JudgedQuery(Frozen):
    """A query with its bounds: `as_of` hides what became known later, `from` and `to` bound the event's date.

    `kind` is what its writer calls queries of its sort; measures are told by kind as well.
    """

    model_config = ConfigDict(populate_by_name=True)  # errors name fields as the file does

    id: str = Field(validation_alias="_id")
    text: str
    as_of: str | None = None
    start: str | None = Field(default=None, validation_alias="from")
    end: str | None = Field(default=None, validation_alias="to")
    kind: str | None = None


class JudgedQueries(Frozen):
    """The judged queries of one split, in file order, and their graded judgements by query and document id.

    `unasked` are judged, and no query of the file has their id.
    """

    queries: tuple[JudgedQuery, ...]
    qrels: Qrels
    unasked: tuple[str, ...] = ()

    def said(self) -> str:
        """All that measures hang on, as JSON: not of which kinds the queries are."""
        return self.model_dump_json(exclude={"queries": {"__all__": {"kind"}}, "unasked": True})


def read_judged_queries(folder: Path, split: str = "test", limit: int | None = None) -> JudgedQueries:
    """`queries.jsonl` and `qrels/SPLIT.tsv` of the folder; a query without a judgement is left out.

    Raises CorpusError naming file and line.
    """
    try:
        qrels = _read_qrels(existing(folder, f"qrels/{split}.tsv"))
        read = list(_read_queries(existing(folder, "queries.jsonl")))
    except (UnicodeDecodeError, csv.Error, RecursionError) as error:
        raise CorpusError(f"{folder}: its judged queries cannot be read: {error}") from error
    queries = [query for query in read if query.id in qrels][:limit]
    if not queries:
        raise CorpusError(f"{folder}: no query of queries.jsonl is judged in qrels/{split}.tsv")
    if not any(grade > 0 for query in queries for grade in qrels[query.id].values()):
        raise CorpusError(
            f"{folder}: of {len(queries)} queries none has a judgement above 0 in qrels/{split}.tsv: nothing is right"
        )
    unasked = qrels.keys() - {query.id for query in read}
    return JudgedQueries(
        queries=tuple(queries), qrels={q.id: qrels[q.id] for q in queries}, unasked=tuple(sorted(unasked))
    )


def read_unanswerable(folder: Path, split: str) -> tuple[JudgedQuery, ...]:
    """The queries of that `split` of which `answerable` is false: no document answers them. Raises as above."""
    path = existing(folder, "queries.jsonl")
    said = {"answerable": False, "split": split}
    return tuple(_query(place, row) for place, row in _rows(path) if {name: row.get(name) for name in said} == said)


def date_bounds(field: str | None, query: JudgedQuery) -> Iterator[Condition]:
    """The event's dates that the query asks for, where the collection has such a `field`; bare dates are whole days."""
    start = parse_date(query.start) if query.start else None
    end = parse_date(query.end, end_of_day=True) if query.end else None
    if field and (start or end):
        yield DateRange(field=field, start=start, end=end)


def require_apart(learning: JudgedQueries, test: JudgedQueries) -> None:
    """Raises SettingsError where a query is in both parts."""
    if shared := _shared(learning.queries, test.queries):
        raise SettingsError(
            f"{len(shared)} queries are in both parts, such as {min(shared)!r}: what was trained on cannot test"
        )


def require_unjudged(unanswerable: Iterable[JudgedQuery], judged: JudgedQueries) -> None:
    """Raises SettingsError where what nothing answers is judged all the same."""
    if shared := _shared(unanswerable, judged.queries):
        raise SettingsError(
            f'{len(shared)} queries are judged and have `"answerable": false`, such as {min(shared)!r}: which is it?'
        )


def _shared(some: Iterable[JudgedQuery], others: Iterable[JudgedQuery]) -> set[str]:
    """What both ask, in whatever case and spacing."""
    one, other = ({" ".join(query.text.lower().split()) for query in part} for part in (some, others))
    return one & other


def existing(folder: Path, name: str) -> Path:
    path = folder / name
    if not path.is_file():
        found = ", ".join(sorted(str(p.relative_to(folder)) for p in folder.glob("qrels/*.tsv"))) or "no qrels"
        raise CorpusError(
            f"{path} is missing; a test collection has corpus.jsonl, queries.jsonl and qrels/SPLIT.tsv (here: {found})"
        )
    return path


def _read_queries(path: Path) -> Iterator[JudgedQuery]:
    places: dict[str, str] = {}
    for place, row in _rows(path):
        query = _query(place, row)
        if first := places.get(query.id):
            raise CorpusError(f"{place}: the id {query.id!r} is there already, in {first}: give each query its own")
        places[query.id] = place
        yield query


def _rows(path: Path) -> Iterator[tuple[str, Record]]:
    for place, read in read_jsonl(path):
        try:
            yield place, read()
        except CorpusError as error:
            raise CorpusError(f"{place}: no JSON object of a query: {str(error).removeprefix(f'{place}: ')}") from error


def _query(place: str, row: Record) -> JudgedQuery:
    given = {name: row[name] for name in ("_id", "text", "as_of", "from", "to") if name in row}
    kind = row.get("kind")  # others' files may mean something else by it
    try:
        return JudgedQuery.model_validate(given | {"kind": kind if isinstance(kind, str) else None})
    except ValidationError as error:
        raise CorpusError(f"{place}: {explain(error)}") from error


def _judgement(row: list[str]) -> tuple[str, str, int]:
    """BEIR's three columns, or TREC's four (query, iteration, document, grade), which spaces may part."""
    row = row if len(row) > 1 else " ".join(row).split()
    query, document, grade = row if len(row) != 4 else (row[0], *row[2:])
    return query, document, int(grade)


def _read_qrels(path: Path) -> Qrels:
    qrels: Qrels = {}
    places: dict[tuple[str, str], int] = {}
    with closing(read_lines(path)) as lines:
        rows = csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
        try:
            for row in rows:
                if rows.line_num > 1 or row[-1:] != ["score"]:
                    query, document, grade = _judgement(row)
                    first = places.setdefault((query, document), rows.line_num)
                    known = qrels.setdefault(query, {}).setdefault(document, grade)
                    _require_grade(f"{path}:{rows.line_num}", grade, known, first)
        except ValueError as error:
            raise CorpusError(
                f"{path}:{rows.line_num}: expected query-id, corpus-id and a whole score, or TREC's four columns: {row}"
            ) from error
        except csv.Error as error:
            raise CorpusError(f"{path}:{rows.line_num}: broken table: {error}") from error
    return qrels


def _require_grade(place: str, grade: int, known: int, first: int) -> None:
    if grade > GREATEST:
        raise CorpusError(
            f"{place}: the grade {grade} is above {GREATEST:,}: give small whole numbers, such as 1 and 2"
        )
    if grade != known:
        raise CorpusError(f"{place}: graded {grade}, and {known} in line {first}: keep one of them")
