"""The same filter gives the same passages on every store: hundreds of generated filters against plain Python.

`holds` below is written from the documented meaning of filters over raw metadata, apart from the code that makes what
stores compare, so that no implementation is its own judge.
"""

import operator
import random
import re
import unicodedata
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from pydantic import ValidationError

from overfetch.corpus import FieldMap
from overfetch.engine import Engine
from overfetch.errors import CorpusError, ProvenanceMismatch, SettingsError
from overfetch.filters import (
    AnyOf,
    Condition,
    DateRange,
    FieldKind,
    FullText,
    NumberRange,
    Schema,
    parse_condition,
)
from overfetch.indexing import encode, to_passages
from overfetch.protocols import EncodedQuery, Store
from overfetch.provenance import Provenance
from overfetch.settings import RetrievalSettings
from overfetch.sites import Collection, Site
from overfetch.stores.edge import EdgeStore
from overfetch.testing import FakeEmbedder, FakeReranker, FakeStore
from overfetch.types import Chunk, Document, MetadataValue, Passage

EncodeQuery = Callable[[str], EncodedQuery]

SCHEMA: dict[str, FieldKind] = {"kind": "keyword", "price": "number", "seen-at": "date", "note": "text"}
DOCUMENTS, FILTERS = 120, 400
STAGES = ("dense", "bm25", "hybrid")

KEYWORDS: list[MetadataValue] = [
    *("guide", "Guide", " guide ", "guides", "", "layer 1", "layer  1", "news|flash", "a=b", ">=5", "true", "2024"),
    *(
        "Zürich",
        "Zu\u0308rich",
        "Zurich",
        "ＤｅＦｉ",
        "DeFi",
        "defi",
        "straße",
        "strasse",
        "日本",
        "🙂",
        "a\x00b",
        "x" * 3000,
    ),
    *(True, False, 0, 1, 2024, 2024.0, 2024.5, -7, 2**63 - 1),
    *([], ["guide", "DeFi"], ["defi", "Zu\u0308rich", "guide"], ["2024"], [""]),
]
NUMBERS: list[MetadataValue] = [
    *(0, 0.0, -0.0, 1, 1.0, 2, 2.5, -3, -2.5, 0.1, 0.3, 0.1 + 0.2, 5e-324, -5e-324, 1e308, -1e308),
    *(2**53, 2**53 + 1, 2**53 + 2, 2**63 - 1, -(2**63), "12.5", " 7 ", "1e3", "-0", "18446744073709551616"),
    *([], ["1", "9"], ["2.5", "-3", "1e3"]),
]
DATES: list[MetadataValue] = [
    *("2026-01-31", "2026-01-31T00:00", "2026-01-31T10:00Z", "2026-01-31 12:00:00", "2026-01-31T12:00:00+02:00"),
    *("2026-01-31T23:30:00-01:00", "2026-01-31T23:59:59.999Z", "2026-01-31T23:59:59.999999Z", "2026-02-01"),
    *("2026-01-31T23:59:59.999999999Z", "2026-01-31T10:00:00.5+0530", "2026-02-01T00:00:00.000001Z", "2024-02-29"),
    *("0001-01-01", "9999-12-31T23:59:59.999999Z", "1969-12-31T23:59:59.5Z", "1970-01-01", "2026-01-31T10:00-14:00"),
    *([], ["2026-01-31", "2024-02-29"], ["1970-01-01T00:00:00Z", "2026-02-01T00:00:00+14:00"]),
]
TEXTS: list[MetadataValue] = [
    *("Red Fox jumps", "fox, red; foxes", "redfox", "re-rank the snake_case", "don't stop", "3.5% of 2024", "", "?!"),
    *("Die Straße nach Zürich", "STRASSE nach Zu\u0308rich", "Zurich", "İstanbul", "istanbul", "ǅungla", "Ωμέγα ΩΜΈΓΑ"),
    *("東京 タワー", "東京タワー", "हिन्दी में", "مرحبا بك", "Ｆｏｘ", "🙂 fox", "ﬁne ﬁne", "e\u0301tude", "étude", "x²"),
    *("the of and is not", "fox " * 500, 2024, True, [], ["red", "fox jumps"], ["Fox", ""]),
]
POOLS = {"kind": KEYWORDS, "price": NUMBERS, "seen-at": DATES, "note": TEXTS}
COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}


class Wanted(NamedTuple):
    """One condition, before any code of ours has seen it. Keywords may name several values."""

    field: str
    comparison: str
    values: tuple[MetadataValue, ...]


def plain(value: MetadataValue) -> str:
    """A value as a person would write it."""
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return unicodedata.normalize("NFC", str(value).strip())


def words(text: str) -> set[str]:
    found, word = set(), ""
    for character in unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold()) + " ":
        if character.isalnum() or unicodedata.category(character).startswith("M"):
            word += character
        elif word:
            found.add(word)
            word = ""
    return found


def span(text: str) -> tuple[datetime, datetime]:
    """First and last instant that a written date means, in UTC and whole microseconds."""
    parts = re.fullmatch(r"(.{10})(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?(Z|([+-])(\d\d):?(\d\d))?)?", text)
    assert parts
    day = datetime.strptime(parts[1], "%Y-%m-%d")
    if parts[2] is None:
        return day, day + timedelta(hours=23, minutes=59, seconds=59, microseconds=999_999)
    micro = int((parts[5] or "").ljust(6, "0")[:6])
    moment = day + timedelta(hours=int(parts[2]), minutes=int(parts[3]), seconds=int(parts[4] or 0), microseconds=micro)
    if parts[7]:
        moment -= int(parts[7] + "1") * timedelta(hours=int(parts[8]), minutes=int(parts[9]))
    return moment, moment


def holds(wanted: Wanted, value: MetadataValue) -> bool:
    """Whether a raw metadata value meets a condition, as the documentation says."""
    values = value if isinstance(value, list) else [] if value is None else [value]
    kind, compare = SCHEMA[wanted.field], COMPARE[wanted.comparison]
    if kind == "keyword":
        return any(plain(v) == plain(w) for v in values for w in wanted.values)
    if kind == "text":
        return words(plain(wanted.values[0])) <= {word for v in values for word in words(plain(v))}
    if kind == "number":
        return any(compare(float(v), float(str(wanted.values[0]))) for v in values)
    first, last = span(str(wanted.values[0]))
    if wanted.comparison == "=":
        return any(first <= span(str(v))[0] <= last for v in values)
    bound = last if wanted.comparison in ("<=", ">") else first
    return any(compare(span(str(v))[0], bound) for v in values)


def as_text(wanted: Wanted) -> str:
    return f"{wanted.field}{wanted.comparison}{'|'.join(plain(v) for v in wanted.values)}"


def as_built(wanted: Wanted) -> Condition:
    """The same condition as a program makes it."""
    field, kind, value = wanted.field, SCHEMA[wanted.field], wanted.values[0]
    if kind == "keyword":
        return AnyOf(field=field, values=tuple(plain(v) for v in wanted.values))
    if kind == "text":
        return FullText(field=field, words=plain(value))
    if kind == "number":
        names = {"=": ("at_least", "at_most"), ">=": ("at_least",), "<=": ("at_most",), ">": ("above",)}
        bounds = dict.fromkeys(names.get(wanted.comparison, ("below",)), float(str(value)))
        return NumberRange.model_validate({"field": field, **bounds})
    first, last = span(str(value))
    tick = timedelta(microseconds=1)
    bounds_of = {"=": (first, last), ">=": (first, None), "<=": (None, last)}
    if wanted.comparison in bounds_of:
        start, end = bounds_of[wanted.comparison]
    else:
        start, end = (last + tick, None) if wanted.comparison == ">" else (None, first - tick)
    return DateRange(field=field, start=start, end=end)


def written(wanted: Wanted) -> bool:
    """Whether the condition can be written as text: an empty word or an `|` within a value cannot."""
    values = [plain(v) for v in wanted.values]
    return all(values) and not any("|" in v for v in values)


def askable(wanted: Wanted) -> bool:
    """Conditions without a word, and bounds beyond the calendar, are refused: other tests say so."""
    if SCHEMA[wanted.field] == "text":
        return bool(words(plain(wanted.values[0])))
    ends = {(">", "9999-12-31T23:59:59.999999Z"), ("<", "0001-01-01")}
    return (wanted.comparison, wanted.values[0]) not in ends


def wanted_at_random(chance: random.Random) -> Wanted:
    field = chance.choice(list(SCHEMA))
    scalars = [v for v in POOLS[field] if not isinstance(v, list)]
    value: MetadataValue
    if field == "note":
        whole = plain(chance.choice(scalars)).split()
        picked = " ".join(chance.sample(whole, min(len(whole), chance.randint(1, 2))))
        value = chance.choice([picked, picked.upper(), picked[:-1]])
    else:
        value = chance.choice(scalars)
    if field == "kind":
        return Wanted(field, "=", (value, *chance.sample(scalars, chance.randint(0, 2))))
    return Wanted(field, "=" if field == "note" else chance.choice(list(COMPARE)), (value,))


def filters_at_random() -> list[tuple[Wanted, ...]]:
    """Most have one condition, some two or three; the same every time."""
    chance = random.Random(20)
    found: list[tuple[Wanted, ...]] = []
    while len(found) < FILTERS:
        several = tuple(wanted_at_random(chance) for _ in range(chance.choice([1, 1, 1, 2, 3])))
        if all(map(askable, several)):
            found.append(several)
    return found


def documents_at_random(seed: int) -> list[Document]:
    """Every value of every pool occurs, each field is missing somewhere."""
    chance = random.Random(seed)
    documents = []
    for number in range(DOCUMENTS):
        metadata = {
            field: pool[number] if number < len(pool) else chance.choice(pool)
            for field, pool in POOLS.items()
            if number < len(pool) or chance.random() < 0.8
        }
        documents.append(Document(id=f"d{number}", title="", text="apple", metadata=metadata))
    return documents


COLLECTION = Collection(
    name="filtered",
    sample=Path("nowhere"),
    fields=FieldMap(metadata={}),
    chunk=lambda document: [Chunk(breadcrumb="", text=document.text)],
    chunker="contract/1",
    filters=SCHEMA,
    answering="nowhere:none",
)


def passages_of(documents: list[Document]) -> list[Passage]:
    return [passage for document in documents for passage in to_passages(COLLECTION, document)]


def write(store: Store, name: str, passages: list[Passage], schema: Schema = SCHEMA) -> None:
    with store.write(name, Provenance.of(FakeEmbedder().spec, "contract/1", "corpus"), schema) as writer:
        writer.upsert(encode(passages, FakeEmbedder()))


class TestEveryStoreFiltersAlike:
    def test_as_plain_python_does(self, store: Store, collection: str, encode_query: EncodeQuery) -> None:
        documents = documents_at_random(1)
        write(store, collection, passages_of(documents_at_random(2)))
        write(store, collection, passages_of(documents))  # replaces the metadata of all
        query, differing, sizes = encode_query("apple"), [], set()
        for number, several in enumerate(filters_at_random()):
            settings = RetrievalSettings.model_validate({"top_k": DOCUMENTS, "first_stage": STAGES[number % 3]})
            expected = {d.id for d in documents if all(holds(w, d.metadata.get(w.field)) for w in several)}
            sizes.add(len(expected))
            forms = [[as_built(w) for w in several]]
            if all(map(written, several)):
                forms.append([parse_condition(as_text(w), SCHEMA) for w in several])
            for conditions in forms:
                found = {
                    c.passage.document_id for c in store.search(collection, query, conditions, settings).candidates
                }
                if found != expected:
                    differing.append((conditions, sorted(found - expected), sorted(expected - found)))
        assert not differing, f"{len(differing)} filters differ (condition, too many, too few): {differing[:5]}"
        assert len(sizes) > 30  # filters that match nothing or everything would prove nothing

    def test_a_passage_keeps_its_metadata_as_they_were(
        self, store: Store, collection: str, encode_query: EncodeQuery
    ) -> None:
        documents = documents_at_random(1)
        write(store, collection, passages_of(documents))
        found = store.search(collection, encode_query("apple"), [], RetrievalSettings(top_k=DOCUMENTS)).candidates
        stored = {c.passage.document_id: c.passage.metadata for c in found}
        assert stored == {d.id: d.metadata for d in documents}

    @pytest.mark.parametrize(
        "as_of",
        ["2026-01-31", "2026-01-31T10:00:00+02:00", "2026-01-31T23:59:59.999Z", "1969-12-31", "0001-01-01T00:00"],
    )
    def test_nothing_known_later_is_seen(self, shared_store: Store, site: str, as_of: str) -> None:
        documents = documents_at_random(1)
        write(shared_store, f"{site}/filtered", passages_of(documents))
        known = COLLECTION.model_copy(update={"known_at": "seen-at"})
        engine = open_engine(shared_store, known, site)
        options: dict[str, Any] = {"top_k": DOCUMENTS, "top_n": DOCUMENTS, "rerank": False, "as_of": as_of}
        expected = {d.id for d in documents if holds(Wanted("seen-at", "<=", (as_of,)), d.metadata.get("seen-at"))}
        for where in ([], ["seen-at>=0001-01-01"]):  # no other condition widens it
            hits = engine.search("filtered", "apple", where=where, **options).hits
            assert {hit.passage.document_id for hit in hits} == expected

    def test_a_field_declared_later_is_filtered_after_the_next_run(
        self, store: Store, site: str, tmp_path: Path
    ) -> None:
        source = tmp_path / "notes.jsonl"
        source.write_text('{"_id": "a", "title": "A", "text": "apple", "year": 2026}\n', encoding="utf-8")
        before = COLLECTION.model_copy(update={"fields": FieldMap(metadata={"year": ("year",)}), "filters": {}})
        after = before.model_copy(update={"filters": {"year": "number"}})
        assert open_engine(store, before, site).index("filtered", source).added == 1
        engine = open_engine(store, after, site)
        assert engine.index("filtered", source).changed == 1
        assert engine.index("filtered", source).kept == 1
        assert [h.passage.document_id for h in engine.search("filtered", "apple", where=["year>2025"]).hits] == ["a"]
        assert engine.search("filtered", "apple", where=["year>2026"]).hits == ()

    def test_until_then_a_search_says_what_to_do(self, store: Store, site: str, tmp_path: Path) -> None:
        source = tmp_path / "notes.jsonl"
        source.write_text('{"_id": "a", "title": "A", "text": "apple", "year": 2026}\n', encoding="utf-8")
        fields = FieldMap(metadata={"year": ("year",)})
        before = COLLECTION.model_copy(update={"fields": fields, "filters": {"year": "keyword"}})
        open_engine(store, before, site).index("filtered", source)
        after = before.model_copy(update={"filters": {"year": "number", "seen-at": "date"}, "known_at": "seen-at"})
        engine = open_engine(store, after, site)
        asked: list[dict[str, Any]] = [
            {"where": ["year>2025"]},
            {"where": ["seen-at>2025-01-01"]},
            {"as_of": "2026-01-01"},
        ]
        for options in asked:
            with pytest.raises(ProvenanceMismatch, match=rf"overfetch index {site}/filtered --source {source}"):
                engine.search("filtered", "apple", **options)
        assert engine.search("filtered", "apple").hits, "what does not filter is answered"
        assert engine.index("filtered", source).changed == 1
        assert [h.passage.document_id for h in engine.search("filtered", "apple", where=["year>2025"]).hits] == ["a"]
        assert [engine.search("filtered", "apple", **o).hits for o in asked[1:]] == [(), ()]

    def test_a_field_that_no_passage_has_yet_is_known_after_the_next_run(
        self, store: Store, site: str, tmp_path: Path
    ) -> None:
        source = tmp_path / "notes.jsonl"
        source.write_text('{"_id": "a", "title": "A", "text": "apple"}\n', encoding="utf-8")
        before = COLLECTION.model_copy(update={"filters": {}})
        open_engine(store, before, site).index("filtered", source)
        engine = open_engine(store, before.model_copy(update={"filters": {"year": "number"}}), site)
        with pytest.raises(ProvenanceMismatch, match="year: stored none, wanted number"):
            engine.search("filtered", "apple", where=["year>2025"])
        assert engine.index("filtered", source).changed == 0
        assert engine.search("filtered", "apple", where=["year>2025"]).hits == ()

    def test_a_corpus_that_moved_is_known_by_its_new_place(self, store: Store, site: str, tmp_path: Path) -> None:
        source = tmp_path / "notes.jsonl"
        source.write_text('{"_id": "a", "title": "A", "text": "apple"}\n', encoding="utf-8")
        engine = open_engine(store, COLLECTION, site)
        engine.index("filtered", source)
        moved = source.rename(tmp_path / "moved.jsonl")
        report = engine.index("filtered", moved)
        assert (report.kept, report.embedded) == (1, 0)
        assert store.provenance(f"{site}/filtered").source == str(moved)


class TestWhatIsRefused:
    """Before a store is asked: an answer of nothing would look like an answer."""

    @pytest.mark.parametrize(
        ("condition", "named"),
        [
            (AnyOf(field="price", values=("1",)), "field 'price' holds number values, given AnyOf"),
            (NumberRange(field="seen-at", at_least=1), "field 'seen-at' holds date values, given NumberRange"),
            (DateRange(field="note"), "field 'note' holds text values, given DateRange"),
            (FullText(field="kind", words="fox"), "field 'kind' holds keyword values, given FullText"),
            (AnyOf(field="sort", values=("a",)), "unknown filter field 'sort'; this collection has: kind, price, "),
        ],
    )
    def test_a_condition_that_the_site_does_not_declare(self, condition: Condition, named: str) -> None:
        engine = open_engine(FakeStore(), COLLECTION)
        with pytest.raises(SettingsError, match=re.escape(named)):
            engine.search("filtered", "apple", where=[condition])

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("price", "cheap"),
            ("price", True),
            ("price", ["1", "two"]),
            ("price", float("nan")),
            ("seen-at", "31.01.2026"),
            ("seen-at", 2026),
            ("seen-at", ["2026-01-31", "2026-02-30"]),
        ],
    )
    def test_metadata_that_cannot_be_compared(self, field: str, value: MetadataValue) -> None:
        with pytest.raises(CorpusError, match=f"document 'd': field '{field}': "):
            passages_of([Document(id="d", title="", text="apple", metadata={field: value})])

    @pytest.mark.parametrize("name", ["a.b", "a b", "", "9", "a=b", "größe", 'a"b'])
    def test_a_field_name_that_cannot_be_written(self, name: str) -> None:
        with pytest.raises(ValidationError, match="filters"):
            Collection.model_validate({**dict(COLLECTION), "filters": {name: "keyword"}})


class TestIndexes:
    def test_every_declared_field_has_one_in_process(self, tmp_path: Path) -> None:
        store = EdgeStore(tmp_path)
        passages = passages_of(documents_at_random(1))
        write(store, "contract/filtered", passages[1:], schema={"kind": "keyword"})
        write(store, "contract/filtered", passages[:1])  # the others were declared later
        store.count("contract/filtered")
        found = store._opened["contract/filtered"][2].info().payload_schema
        assert {name: str(info.data_type).removeprefix("PayloadSchemaType.") for name, info in found.items()} == {
            "filters.kind": "Keyword",
            "filters.price": "Float",
            "filters.seen-at": "Datetime",
            "filters.note": "Keyword",
        }
        store.close()


def open_engine(store: Store, collection: Collection, site: str = "contract") -> Engine:
    made = Site(name=site, title="Contract", collections=(collection,), ask="filtered")
    return Engine(made, embedder=FakeEmbedder(), reranker=FakeReranker(), store=store)
