"""Sources become documents; a broken one is refused by file and line before anything is written."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from overfetch.corpus import FieldMap, read_documents
from overfetch.engine import Engine
from overfetch.errors import CorpusError
from overfetch.filters import Schema
from overfetch.protocols import Vectors
from overfetch.sites import load_site
from overfetch.stores.edge import EdgeStore
from overfetch.testing import FakeEmbedder, FakeReranker
from overfetch.types import Document

FIELDS = FieldMap(
    id=("_id", "id"),
    metadata={"kind": ("kind",), "tags": ("tags",), "updated": ("updated", "date"), "number": ("number",)},
)
UPDATED: Schema = {"updated": "date"}
PAGE = "---\ntitle: Ruff\nkind: tool\n---\n\n# Ruff\n\nA linter.\n"
RECORD = {"_id": "a", "title": "A", "text": "alpha"}


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def write_lines(path: Path, *records: object) -> Path:
    return write(path, "".join(json.dumps(record) + "\n" for record in records))


def read(source: Path) -> list[Document]:
    return list(read_documents([source], FIELDS))


def refusal(source: Path, fields: FieldMap = FIELDS, filters: Schema = UPDATED) -> str:
    with pytest.raises(CorpusError) as refused:
        list(read_documents([source], fields, filters=filters))
    message = str(refused.value)
    assert message.startswith(str(source)), "the message names the file first"
    assert "\n" not in message
    return message.removeprefix(str(source))


def test_markdown_pages_take_their_id_from_the_file_name(tmp_path: Path) -> None:
    write(tmp_path / "ruff.md", PAGE)
    write(tmp_path / "deep/er/uv.md", "---\n_id: uv-page\ntitle: uv\ntags: [fast, 1]\n---\nA packager.")
    write(tmp_path / "notes.pdf", "not read")
    pages = {page.id: page for page in read(tmp_path)}
    assert pages["ruff"] == Document(id="ruff", title="Ruff", text="# Ruff\n\nA linter.", metadata={"kind": "tool"})
    assert pages["uv-page"].metadata == {"tags": ["fast", "1"]}
    assert len(pages) == 2


def test_jsonl_and_csv_give_the_same_documents(tmp_path: Path) -> None:
    lines = write(tmp_path / "a.jsonl", '{"id": "1", "name": "One", "text": "first, \\"quoted\\"", "kind": "x"}\n\n')
    table = write(tmp_path / "a.csv", 'id,name,text,kind\n1,One,"first, ""quoted""",x\n')
    expected = [Document(id="1", title="One", text='first, "quoted"', metadata={"kind": "x"})]
    assert read(lines) == read(table) == expected


def test_a_folder_mixes_kinds_in_a_fixed_order(tmp_path: Path) -> None:
    write(tmp_path / "b.md", PAGE)
    write_lines(tmp_path / "a.jsonl", RECORD)
    write(tmp_path / "C.CSV", "id,title,text\nc,C,gamma\n")
    assert [d.id for d in read(tmp_path)] == ["c", "a", "b"]


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.jsonl", json.dumps(RECORD)), ("a.csv", "_id,title,text\na,A,alpha\n"), ("a.md", "---\ntitle: A\n---\nalpha")],
)
def test_a_byte_order_mark_changes_nothing(name: str, content: str, tmp_path: Path) -> None:
    plain = read(write(tmp_path / "plain" / name, content))
    marked = read(write(tmp_path / "marked" / name, b"\xef\xbb\xbf" + content.encode()))
    assert plain == marked == [Document(id="a", title="A", text="alpha")]


def test_line_separators_inside_texts_are_text(tmp_path: Path) -> None:
    text = "one\u2028two\x0bthree"
    lines = write(tmp_path / "a.jsonl", json.dumps({**RECORD, "text": text}, ensure_ascii=False) + "\r\n")
    table = write(tmp_path / "a.csv", f"_id,title,text\r\na,A,{text}\r\n")
    assert [d.text for d in read(lines) + read(table)] == [text, text]


def test_csv_cells_may_span_lines(tmp_path: Path) -> None:
    source = write(tmp_path / "a.csv", '_id,title,text\na,A,"one\n\ntwo"\nb,B,beta\n')
    assert [d.text for d in read(source)] == ["one\n\ntwo", "beta"]


def test_the_first_name_with_a_value_wins(tmp_path: Path) -> None:
    source = write_lines(tmp_path / "a.jsonl", {"_id": "", "id": 0, "title": None, "name": "N", "text": "t"})
    assert read(source) == [Document(id="0", title="N", text="t")]


def test_metadata_keeps_false_and_zero(tmp_path: Path) -> None:
    source = write_lines(tmp_path / "a.jsonl", {**RECORD, "number": 0, "kind": False, "tags": None, "updated": ""})
    assert read(source)[0].metadata == {"number": 0, "kind": False}


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ('{"_id": "b", "title": "B", "te', ":2: broken JSON: Unterminated string starting at at column 28"),
        ('{"_id": "b"} {"_id": "c"}', ":2: broken JSON: Extra data at column 14"),
        ("[1, 2]", ":2: expected a JSON object, found list"),
        ('"text"', ":2: expected a JSON object, found str"),
        ("null", ":2: expected a JSON object, found NoneType"),
        ('{"_id": "b", "title": "B", "text": "half \\ud83d"}', ":2: JSON that cannot be stored: "),
        ('{"_id": "b", "title": "B", "text": "t", "number": ' + "1" * 5000 + "}", ":2: JSON that cannot be stored: "),
        ('{"title": "B", "text": "t"}', ":2: no id: expected a non-empty '_id' or 'id'"),
        ('{"_id": "b", "text": "t"}', ":2: no title: expected a non-empty 'title' or 'name'"),
        ('{"_id": "b", "title": "B"}', ":2: no text: expected a non-empty 'text'"),
        ('{"_id": "b", "title": "B", "text": " \\n "}', ":2: no text: expected a non-empty 'text'"),
        ('{"_id": "b", "title": "B", "text": ["t"]}', ":2: text is a list, expected text"),
        ('{"_id": {"oid": 1}, "title": "B", "text": "t"}', ":2: id is a dict, expected text"),
        ('{"_id": "b", "title": "B", "text": "t", "updated": "soon"}', ":2: field 'updated': bad date 'soon'"),
        ('{"_id": "b", "title": "B", "text": "t", "date": "2026-02-30"}', ":2: field 'updated': bad date '2026-02-30'"),
    ],
)
def test_a_broken_line_is_named(line: str, complaint: str, tmp_path: Path) -> None:
    source = write(tmp_path / "a.jsonl", json.dumps(RECORD) + "\n" + line + "\n")
    assert refusal(source).startswith(complaint)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("+++\ntitle = 'Ruff'\n+++\nA linter.", ":1: front matter in TOML is not read"),
        ("", ":1: no text"),
        ("---\ntitle: [Ruff\n---\nA linter.", ":2: front matter is not valid YAML: while parsing a flow sequence"),
        ("---\ntitle: a: b\n---\nA linter.", ":2: front matter is not valid YAML: mapping values are not allowed"),
        ("---\ntitle: Ruff\nupdated: 2026-02-30\n---\nA linter.", ":1: field 'updated': bad date '2026-02-30'"),
        ("---\ntitle: Ruff\nupdated: soon\n---\nA linter.", ":1: field 'updated': bad date 'soon'"),
        ("---\ntitle: Ruff\nnever closed", ":1: no title"),
        ("---\n- a list\n---\nA linter.", ":1: no title"),
        ("---\nkind: tool\n---\nA linter.", ":1: no title"),
        ("---\ntitle: Ruff\n---\n", ":1: no text"),
    ],
)
def test_a_broken_page_is_named(content: str, complaint: str, tmp_path: Path) -> None:
    assert refusal(write(tmp_path / "ruff.md", content)).startswith(complaint)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("_id,title,text\na,A,alpha\nb,B\n", ":3: expected 3 columns"),
        ("_id,title,text\na,A,alpha,more\n", ":2: expected 3 columns"),
        ("_id,title\na,A\n", ":2: no text"),
        ('_id,title,text\na,A,"never closed\nb,B,beta\n', ":2: broken CSV: unexpected end of data"),
        ('_id,title,text\na,A,"closed" early\n', ":2: broken CSV: "),
        (f"_id,title,text\na,A,{'long ' * 40_000}\n", ":2: broken CSV: field larger than field limit"),
        ("_id,title,text,updated\na,A,alpha,01/31/2026\n", ":2: field 'updated': bad date '01/31/2026'"),
    ],
)
def test_a_broken_row_is_named(content: str, complaint: str, tmp_path: Path) -> None:
    assert refusal(write(tmp_path / "a.csv", content)).startswith(complaint)


def test_duplicate_ids_name_both_places(tmp_path: Path) -> None:
    lines = write_lines(tmp_path / "a.jsonl", RECORD, {**RECORD, "_id": "b"}, RECORD)
    assert refusal(lines).startswith(f":3: duplicate document id 'a', first seen at {lines}:1; give one of them")
    named = PAGE.replace("---\n", "---\nid: ruff\n", 1)
    first, second = write(tmp_path / "pages/x.md", named), write(tmp_path / "pages/y.md", named)
    with pytest.raises(CorpusError, match=f"{second}:1: duplicate document id 'ruff', first seen at {first}:1"):
        read(tmp_path / "pages")


def test_pages_are_named_by_their_path_unless_they_name_themselves(tmp_path: Path) -> None:
    for name in ("index.md", "guides/index.md", "guides/ruff.md"):
        write(tmp_path / name, PAGE)
    write(tmp_path / "own.md", PAGE.replace("---\n", "---\nid: my-id\n", 1))
    assert [d.id for d in read(tmp_path)] == ["guides/index", "guides/ruff", "index", "my-id"]


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv"])
@pytest.mark.parametrize("content", ["", "\n\n", "\ufeff"])
def test_an_empty_file_is_refused(name: str, content: str, tmp_path: Path) -> None:
    assert refusal(write(tmp_path / name, content)).startswith(": no documents found")


def test_a_folder_without_readable_files_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "folder/readme.pdf", "nothing to read")
    assert refusal(tmp_path / "folder").startswith(
        ": no documents found; expected pages (Markdown, HTML, .txt, .rst), JSONL"
    )


def test_a_header_alone_is_empty(tmp_path: Path) -> None:
    assert refusal(write(tmp_path / "a.csv", "_id,title,text\n")).startswith(": no documents found")


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.md"])
def test_other_encodings_are_refused_with_the_place(name: str, tmp_path: Path) -> None:
    assert refusal(write(tmp_path / name, b"\n\n\n\ncaf\xe9")) == ":5: not UTF-8 at byte 7"


def test_unknown_kinds_and_missing_paths_are_refused(tmp_path: Path) -> None:
    pdf = refusal(write(tmp_path / "a.pdf", "%PDF"))
    assert pdf.startswith(": unknown kind of file; allowed: a folder, .md, .markdown, ")
    assert pdf.endswith(", .txt, .text, .rst, .html, .htm, .jsonl, .ndjson, .csv")
    assert refusal(tmp_path / "nowhere") == ": no such file or folder"
    assert refusal(tmp_path / "nowhere.jsonl") == ": no such file or folder"


def test_required_metadata_must_be_there(tmp_path: Path) -> None:
    fields = FIELDS.model_copy(update={"required": ("updated",)})
    source = write_lines(tmp_path / "a.jsonl", {**RECORD, "updated": "2026-01-31"}, {**RECORD, "_id": "b"})
    assert refusal(source, fields) == ":2: no updated: this collection needs it for every document"


@pytest.mark.parametrize(
    ("number", "problem"),
    [
        ("NaN", "field 'number' is nan: no store keeps what is not a finite number"),
        ("-Infinity", "field 'number' is -inf: no store keeps what is not a finite number"),
        ('"cheap"', "field 'number': 'cheap' is no finite number"),
        ("true", "field 'number': True is no finite number"),
    ],
)
def test_a_number_that_no_filter_can_compare(tmp_path: Path, number: str, problem: str) -> None:
    source = write(tmp_path / "a.jsonl", f'{{"_id": "a", "title": "A", "text": "t", "number": {number}}}\n')
    assert refusal(source, filters={"number": "number"}) == f":1: {problem}"


def test_numbers_of_csv_files_can_be_filtered_and_large_ones_keep_every_digit(tmp_path: Path) -> None:
    source = write(tmp_path / "a.csv", "_id,title,text,number\na,A,alpha,12.5\n")
    assert next(read_documents([source], FIELDS, filters={"number": "number"})).metadata["number"] == "12.5"
    source = write_lines(tmp_path / "a.jsonl", {**RECORD, "number": 2**255 + 1})
    assert read(source)[0].metadata["number"] == str(2**255 + 1)


def test_a_catalyst_needs_its_date(tmp_path: Path) -> None:
    catalysts = load_site("paiddaily").collection("catalysts")
    source = write_lines(tmp_path / "a.jsonl", {**RECORD, "date": "2026-01-31"}, {**RECORD, "_id": "b"})
    with pytest.raises(CorpusError, match=r"a\.jsonl:2: no date: this collection needs it"):
        list(catalysts.read(source))


@pytest.mark.parametrize("sections", [["Profile"], [{"heading": "Profile"}], 7])
def test_a_record_of_another_shape_is_named(sections: object, tmp_path: Path) -> None:
    tickers = load_site("paiddaily").collection("tickers")
    source = write_lines(tmp_path / "a.jsonl", {"symbol": "A", "name": "Alpha", "sections": sections})
    with pytest.raises(CorpusError, match=r"a\.jsonl:1: not a record of this collection: "):
        list(tickers.read(source))


@pytest.mark.parametrize("site", ["builddaily", "paiddaily", "sagedaily"])
def test_every_sample_corpus_reads(site: str) -> None:
    for collection in load_site(site).collections:
        documents = list(collection.read())
        assert len(documents) > 50
        assert all(document.metadata["sample"] is True for document in documents)


class BreakingEmbedder(FakeEmbedder):
    def embed_passages(self, texts: Sequence[str]) -> Vectors:
        raise RuntimeError("no more memory")


def test_a_broken_source_leaves_the_collection_untouched(tmp_path: Path) -> None:
    store = EdgeStore(tmp_path / "edge")
    engine = Engine(load_site("sagedaily"), embedder=FakeEmbedder(), reranker=FakeReranker(), store=store)
    source = write_lines(tmp_path / "a.jsonl", RECORD, {**RECORD, "_id": "b", "text": "beta"})
    engine.index("canon", source)
    before = store.hashes("sagedaily/canon")
    with source.open("a") as file:
        file.write('{"_id": "c", "title": "C", "te\n')
    with pytest.raises(CorpusError, match=r"a\.jsonl:3"):
        engine.index("canon", source)
    assert store.hashes("sagedaily/canon") == before
    assert {hit.passage.document_id for hit in engine.search("canon", "alpha").hits} == {"a", "b"}


def test_a_failure_while_embedding_leaves_the_collection_untouched(tmp_path: Path) -> None:
    store = EdgeStore(tmp_path / "edge")
    site = load_site("sagedaily")
    source = write_lines(tmp_path / "a.jsonl", RECORD)
    Engine(site, embedder=FakeEmbedder(), reranker=FakeReranker(), store=store).index("canon", source)
    before = store.hashes("sagedaily/canon")
    write_lines(source, {**RECORD, "text": "changed"})
    with pytest.raises(RuntimeError, match="no more memory"):
        Engine(site, embedder=BreakingEmbedder(), reranker=FakeReranker(), store=store).index("canon", source)
    assert store.hashes("sagedaily/canon") == before
