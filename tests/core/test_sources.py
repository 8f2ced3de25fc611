"""What people's folders hold: whatever is there, it is read as written, left out and reported, or refused by name."""

import json
import os
import time
from pathlib import Path

import pytest

from overfetch.corpus import FieldMap, Skipped, read_documents
from overfetch.errors import CorpusError
from overfetch.filters import Schema, to_keyword
from overfetch.types import Document

FIELDS = FieldMap(metadata={name: (name,) for name in ("version", "country", "tags", "draft", "content", "on", "2024")})


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read(source: Path, filters: Schema | None = None) -> list[Document]:
    return list(read_documents([source], FIELDS, filters=filters or {}))


def refusal(source: Path) -> str:
    """The message without the folder of the source; quickly, whatever is in the way."""
    began = time.monotonic()
    with pytest.raises(CorpusError) as refused:
        read(source)
    assert time.monotonic() - began < 10
    folder = source if source.is_dir() else source.parent
    assert str(refused.value).startswith(str(folder))
    return str(refused.value).removeprefix(f"{folder}/")


class TestFrontMatter:
    def test_values_stay_as_written(self, tmp_path: Path) -> None:
        page = (
            "---\nid: 0123\ntitle: 1.10\nversion: 3.10\ncountry: NO\ntags: [3.10, NO, 22:22, 0o17, 1e3, ~]\n---\nbody"
        )
        (document,) = read(write(tmp_path / "a.md", page), {"version": "keyword", "tags": "keyword"})
        assert (document.id, document.title) == ("0123", "1.10")
        assert document.metadata == {
            "version": "3.10",
            "country": "NO",
            "tags": ["3.10", "NO", "22:22", "0o17", "1e3"],
        }

    @pytest.mark.parametrize(
        ("written", "value"),
        [("true", True), ("false", False), ("'true'", "true"), ("yes", "yes"), ("2024-01-31", "2024-01-31")],
    )
    def test_only_plain_truth_is_no_text(self, written: str, value: object, tmp_path: Path) -> None:
        page = f"---\ntitle: A\ndraft: {written}\ncountry: null\nversion:\n---\nbody"
        assert read(write(tmp_path / "a.md", page))[0].metadata == {"draft": value}

    def test_any_key_is_a_key(self, tmp_path: Path) -> None:
        page = "---\ntitle: A\ncontent: guide\nhandler: me\nmetadata: x\n2024: yes\non: push\n---\nbody"
        assert read(write(tmp_path / "a.md", page))[0].metadata == {"content": "guide", "on": "push", "2024": "yes"}

    @pytest.mark.parametrize(
        ("block", "complaint"),
        [
            ("title: A\ntitle: B", "a.md:3: the key 'title' is there twice"),
            ("title: A\ntags:\n  a: 1\n  a: 2", "a.md:5: the key 'a' is there twice"),
            ("title: A\n? [a, b]\n: c", "a.md:3: a key of the front matter is no text"),
            ("title: A\ntags: " + "[" * 100_000, "a.md:1: front matter is nested too deeply"),
            ("tags: " + "[" * 990 + "]" * 990, "a.md:1: front matter is nested too deeply"),
            ("- " * 50_000 + "a", "a.md:1: front matter is nested too deeply"),
            ('title: "half \\ud83d"', "a.md:2: front matter is not valid YAML: while parsing a quoted scalar"),
            ('title: A\ntags: ["half \\ud83d"]', "a.md:3: front matter is not valid YAML: while parsing a quoted"),
            ("title: A\nkind: a: b", "a.md:3: front matter is not valid YAML: mapping values are not allowed in"),
            ("title: A\ntags: &a [*a]", "a.md:1: front matter is nested too deeply"),
        ],
    )
    def test_what_cannot_be_read_is_named(self, block: str, complaint: str, tmp_path: Path) -> None:
        assert refusal(write(tmp_path / "a.md", f"---\n{block}\n---\nbody")).startswith(complaint)

    def test_an_alias_repeats_and_a_bomb_of_them_is_refused(self, tmp_path: Path) -> None:
        page = "---\ntitle: &name A\ntags: [*name, b]\n---\nbody"
        assert read(write(tmp_path / "a.md", page))[0].metadata == {"tags": ["A", "b"]}
        lines = ["a0: &a0 [x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12))]
        bomb = write(tmp_path / "bomb.md", "---\ntitle: A\n" + "\n".join(lines) + "\n---\nbody")
        assert "front matter of more than 10000 values" in refusal(bomb)

    @pytest.mark.parametrize(("written", "value"), [("12", 12), ("3.10", 3.1), ("-1e3", -1000.0), ("0012", 12)])
    def test_a_field_of_numbers_holds_numbers(self, written: str, value: float, tmp_path: Path) -> None:
        source = write(tmp_path / "a.md", f"---\ntitle: A\nversion: {written}\n---\nbody")
        found = read(source, {"version": "number"})[0].metadata["version"]
        assert (found, type(found)) == (value, type(value))

    def test_it_may_stand_below_empty_lines(self, tmp_path: Path) -> None:
        assert read(write(tmp_path / "a.md", "\n\n----\ntitle: A\n----\nbody"))[0].title == "A"
        assert refusal(write(tmp_path / "b.md", "\n\n---\na: 1\na: 2\n---\nbody")).startswith("b.md:5: the key 'a'")

    def test_rules_are_no_front_matter(self, tmp_path: Path) -> None:
        source = write(tmp_path / "notes.md", "---\n\nAbove\n\n---\n\nbelow")
        assert read(source) == [Document(id="notes", title="notes", text="---\n\nAbove\n\n---\n\nbelow")]


class TestTitles:
    @pytest.mark.parametrize(
        ("name", "content", "title"),
        [
            ("a.md", "# The *first* `one`\n\ntext", "The first one"),
            ("a.md", "#\n\nText\n\nSet\n---\n", "Set"),
            ("a.md", "```\n# comment\n```", "a"),
            ("a.md", "---\ntags: [x]\n---\n## Heading\ntext", "Heading"),
            ("a.md", "---\ntitle: Given\n---\n# Heading\ntext", "Given"),
            ("my-notes.txt", "# no heading\ntext", "my-notes"),
            ("a.rst", "=====\nGuide\n=====\n\nStart\n~~~~~\ntext", "Guide"),
            ("a.rst", "no heading", "a"),
        ],
    )
    def test_a_page_without_one_takes_its_heading_then_its_name(
        self, name: str, content: str, title: str, tmp_path: Path
    ) -> None:
        assert read(write(tmp_path / name, content))[0].title == title

    def test_underlined_titles_become_headings(self, tmp_path: Path) -> None:
        text = "Guide\n=====\n\nOne\n~~~\n\na\n\nTwo\n~~~\n\nPart\n----\n\nMore\n====\n\nlong title here\n--\n"
        source = write(tmp_path / "a.rst", text)
        headings = [line for line in read(source)[0].text.splitlines() if line.startswith("#")]
        assert headings == ["# Guide", "## One", "## Two", "### Part", "# More"]


class TestFolders:
    def test_what_nobody_wrote_as_a_document_is_no_part(self, tmp_path: Path) -> None:
        for name in (".trash/old.md", ".git/a.md", "node_modules/x/README.md", "._a.md", "~$a.md", ".hidden.md"):
            write(tmp_path / name, b"\0\5\x16\7 never read \xff")
        (tmp_path / ".#a.md").symlink_to("me@host.1:2")
        write(tmp_path / "deep/a.md", "body")
        assert [d.id for d in read(tmp_path)] == ["deep/a"]

    def test_a_hidden_folder_that_is_named_is_read(self, tmp_path: Path) -> None:
        write(tmp_path / ".notes/a.md", "body")
        assert [d.id for d in read(tmp_path / ".notes")] == ["a"]

    @pytest.mark.parametrize("ending", [".markdown", ".mdx", ".mkd", ".MD", ".mdown"])
    def test_every_ending_of_markdown_is_read(self, ending: str, tmp_path: Path) -> None:
        write(tmp_path / f"page{ending}", "# Page\nbody")
        assert [(d.id, d.title) for d in read(tmp_path)] == [("page", "Page")]

    def test_pages_without_a_body_are_left_out_and_reported(self, tmp_path: Path) -> None:
        write(tmp_path / "_index.md", "---\ntitle: Section\n---\n")
        write(tmp_path / "empty.txt", " \n")
        write(tmp_path / "a.md", "alpha")
        skipped = Skipped()
        assert [d.id for d in read_documents([tmp_path], FIELDS, skipped=skipped)] == ["a"]
        assert skipped.reasons == (
            f"{tmp_path}/_index.md:1: no text: a page without a body",
            f"{tmp_path}/empty.txt:1: no text: a page without a body",
        )

    def test_files_that_are_of_no_kind_that_is_read_are_counted(self, tmp_path: Path) -> None:
        for name in ("a.md", "b.pdf", "deep/c.PDF", "d.json", "Makefile", ".hidden.pdf", "node_modules/e.pdf"):
            write(tmp_path / name, "body")
        skipped = Skipped()
        for _ in range(2):
            assert [d.id for d in read_documents([tmp_path], FIELDS, skipped=skipped)] == ["a"]
        said = "not read: 2 .pdf, 1 Makefile, 1 .json; read are pages (Markdown, HTML, .txt, .rst), JSONL and CSV"
        assert skipped.reasons == (f"{tmp_path}: {said}",)

    def test_where_none_is_read_it_is_said_which_there_are(self, tmp_path: Path) -> None:
        write(tmp_path / "b.pdf", "body")
        assert "no documents found" in (said := refusal(tmp_path))
        assert "not read: 1 .pdf" in said

    def test_pages_of_one_name_are_refused_with_a_way_on(self, tmp_path: Path) -> None:
        for name in ("a.md", "a.txt"):
            write(tmp_path / name, "body")
        way_on = "give one of them its own (a page's is its path, or '_id' in its front matter), or leave out later"
        assert f"duplicate document id 'a', first seen at {tmp_path}/a.md:1; {way_on} ones" in refusal(tmp_path)

    def test_pipes_and_devices_are_refused(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "a.md")
        assert refusal(tmp_path) == "a.md: no regular file: a pipe or a device has no end"
        assert refusal(tmp_path / "a.md") == "a.md: no regular file: a pipe or a device has no end"

    @pytest.mark.parametrize("target", ["/dev/zero", "../elsewhere.md", "../elsewhere"])
    def test_links_out_of_the_source_are_refused(self, target: str, tmp_path: Path) -> None:
        write(tmp_path / "elsewhere.md", "secret")
        write(tmp_path / "elsewhere/b.md", "secret")
        write(tmp_path / "source/a.md", "alpha")
        (tmp_path / "source/link.md").symlink_to(target)
        assert refusal(tmp_path / "source").startswith("link.md: a link out of the source, to ")

    def test_a_name_that_is_no_text_is_refused(self, tmp_path: Path) -> None:
        write(Path(os.fsdecode(bytes(tmp_path) + b"/caf\xe9.md")), "beta")
        with pytest.raises(CorpusError, match="text that cannot be stored"):
            read(tmp_path)

    def test_links_within_it_are_read(self, tmp_path: Path) -> None:
        write(tmp_path / "a.md", "alpha")
        (tmp_path / "b.md").symlink_to("a.md")
        assert [d.id for d in read(tmp_path)] == ["a", "b"]


class TestRecords:
    @pytest.mark.parametrize(
        ("name", "content", "complaint"),
        [
            ("a.csv", "id,title,text,text\n1,T,q,a\n", "a.csv:1: the column 'text' is there twice"),
            ("a.jsonl", '{"id": "1", "text": "q", "text": "a"}', "a.jsonl:1: the key 'text' is there twice"),
            ("a.jsonl", '{"id": "1", "x": {"y": 1, "y": 2}}', "a.jsonl:1: the key 'y' is there twice"),
            ("a.jsonl", "[" * 100_000, "a.jsonl:1: JSON that is nested too deeply"),
            ("a.csv", f"id,{'x' * 140_000}\n", "a.csv:1: broken CSV: field larger than field limit"),
            ("a.csv", f"id,title,text\n1,T,{'x' * 140_000}\n", "a.csv:2: broken CSV: field larger than field limit"),
        ],
    )
    def test_what_would_be_lost_or_never_end_is_named(
        self, name: str, content: str, complaint: str, tmp_path: Path
    ) -> None:
        assert refusal(write(tmp_path / name, content)).startswith(complaint)

    def test_columns_without_a_name_may_repeat(self, tmp_path: Path) -> None:
        assert read(write(tmp_path / "a.csv", "id,title,text,,\n1,T,t,,\n"))[0].text == "t"

    def test_lists_spell_their_values_as_single_ones_are(self, tmp_path: Path) -> None:
        record = {"id": "1", "title": "T", "text": "t", "tags": [True, 2024.0, 2024, None, " a ", 0.5]}
        tags = read(write(tmp_path / "a.jsonl", json.dumps(record)))[0].metadata["tags"]
        assert tags == ["true", "2024", "2024", " a ", "0.5"]
        assert tags == [" a " if v == " a " else to_keyword(v) for v in (True, 2024.0, 2024, " a ", 0.5)]

    def test_what_is_nested_is_spelt_as_json(self, tmp_path: Path) -> None:
        record = {"id": "1", "title": "T", "text": "t", "tags": [{"a": True}], "draft": {"b": None}}
        metadata = read(write(tmp_path / "a.jsonl", json.dumps(record)))[0].metadata
        assert metadata == {"tags": ['{"a": true}'], "draft": '{"b": null}'}


class TestWaysOn:
    def test_whatever_is_broken_can_be_left_out_with_its_reason(self, tmp_path: Path) -> None:
        write(
            tmp_path / "a.jsonl",
            '{"_id": "a", "title": "A", "text": "t"}\n{"broken\n{"_id": "b", "title": "B", "text": "t"}',
        )
        write(tmp_path / "b.csv", "id,title,text\nc,C,t\nd,D\na,again,t\ne,E,t\n")
        write(tmp_path / "c.md", b"caf\xe9")
        (tmp_path / "d.md").symlink_to("/dev/zero")
        skipped = Skipped(bad=True)
        for _ in range(2):
            assert [d.id for d in read_documents([tmp_path], FIELDS, skipped=skipped)] == ["a", "b", "c", "e"]
        assert [reason.removeprefix(f"{tmp_path}/") for reason in skipped.reasons] == [
            "a.jsonl:2: broken JSON: Unterminated string starting at at column 2",
            "b.csv:3: expected 3 columns as in the header line",
            "b.csv:4: duplicate document id 'a'; the first one is kept",
            "c.md:1: not UTF-8 at byte 3",
            "d.md: a link out of the source, to /dev/zero; name that as a source itself",
        ]

    def test_what_is_broken_costs_no_record_after_it(self, tmp_path: Path) -> None:
        """Else these would leave the index too, and no report would name them."""
        write(
            tmp_path / "a.jsonl",
            b'{"_id": "a", "text": "t"}\n{"_id": "x", "text": "caf\xe9"}\n{"_id": "b", "text": "t"}\n',
        )
        rows = ("c,C,t", 'x,X,"a "b" c"', "d,D,t", f"x,X,{'x' * 140_000}", "e,E,t")
        write(tmp_path / "b.csv", "\n".join(["id,title,text", *rows]))
        (tmp_path / "c.md").symlink_to("c.md")
        skipped = Skipped(bad=True)
        fields = FIELDS.model_copy(update={"optional": ("title",)})
        assert [d.id for d in read_documents([tmp_path], fields, skipped=skipped)] == ["a", "b", "c", "d", "e"]
        assert [reason.removeprefix(f"{tmp_path}/") for reason in skipped.reasons] == [
            "a.jsonl:2: not UTF-8 at byte 51",
            "b.csv:3: broken CSV: ',' expected after '\"'",
            "b.csv:5: broken CSV: field larger than field limit (131072)",
            "c.md: a link that leads to itself",
        ]

    def test_what_is_not_utf_8_costs_its_row_of_a_csv(self, tmp_path: Path) -> None:
        """Also where a quoted field goes on over lines: what follows in it is no row of its own."""
        rows = [
            b"a,A,t",
            b"x,X,caf\xe9",
            b'y,Y,"begins\nz,Z,\xff here\nw,W,ends"',
            b'b,B,"two\nlines"',
            b"v,V,\xe9",
            b"c,C,t",
        ]
        source = write(tmp_path / "a.csv", b"\n".join([b"id,title,text", *rows]))
        with pytest.raises(CorpusError, match=r"a\.csv:3: not UTF-8 at byte 27"):
            list(read_documents([source], FIELDS))
        skipped = Skipped(bad=True)
        found = list(read_documents([source], FIELDS, skipped=skipped))
        assert [(d.id, d.text) for d in found] == [("a", "t"), ("b", "two\nlines"), ("c", "t")]
        assert [reason.rpartition("/")[2] for reason in skipped.reasons] == [
            f"a.csv:{line}: not UTF-8 at byte {byte}" for line, byte in ((3, 27), (5, 45), (9, 82))
        ]

    def test_a_header_that_is_not_utf_8_costs_the_file(self, tmp_path: Path) -> None:
        source = write(tmp_path / "a.csv", b"id,title,caf\xe9,text\na,A,x,t\n")
        skipped = Skipped(bad=True)
        with pytest.raises(CorpusError, match=r"a\.csv:1: not UTF-8 at byte 12, in the header line"):
            list(read_documents([source], FIELDS, skipped=skipped))

    def test_prefixes_tell_sources_apart(self, tmp_path: Path) -> None:
        sources = [write(tmp_path / name / "index.md", "body") for name in ("one", "two")]
        with pytest.raises(
            CorpusError, match=r"duplicate document id 'index', first seen at .*--id-prefix.*--skip-bad"
        ):
            list(read_documents(sources, FIELDS))
        found = read_documents(sources, FIELDS, id_prefixes=["one/", ""])
        assert [d.id for d in found] == ["one/index", "index"]
