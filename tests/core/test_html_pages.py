"""Web pages of a folder: their own words as Markdown, none of what is around them."""

from pathlib import Path

import pytest

from overfetch.corpus import FieldMap, Skipped, read_documents
from overfetch.errors import CorpusError
from overfetch.types import Document

FIELDS = FieldMap(metadata=())
PAGE = """<!doctype html>
<html><head><title>Deploying &mdash; Docs</title><style>p {color: red}</style></head><body>
<nav><a href="/">Home</a></nav>
<main><h1>Deploying<a class="headerlink" href="#top">¶</a></h1>
<!-- to be checked -->
<p>Tag the <b>commit</b>, wait for <a href="/ci">CI</a>, then run <code>deploy __init__</code> by snake_case *.</p>
<img src="data:image/png;base64,AAAA" alt="A diagram">
<h2>After it</h2><ul><li>look</li><li>tell</li></ul>
<pre><code>def a():
    return 1
</code></pre>
<table><tr><td>a</td><td>b</td></tr><tr><td>1</td><td>2 &lt; 3</td></tr></table>
<script>alert(1)</script></main>
<footer>(c) Nobody</footer></body></html>"""
TEXT = """# Deploying

Tag the **commit**, wait for CI, then run `deploy __init__` by snake_case *.

A diagram

## After it

- look
- tell

```
def a():
    return 1
```

| a | b |
| --- | --- |
| 1 | 2 < 3 |"""


def read(path: Path, page: str) -> Document:
    path.write_text(page, encoding="utf-8")
    (document,) = read_documents([path.parent], FIELDS)
    return document


@pytest.mark.parametrize("ending", [".html", ".htm", ".HTML"])
def test_a_page_is_its_own_words_as_markdown(ending: str, tmp_path: Path) -> None:
    assert read(tmp_path / f"deploying{ending}", PAGE) == Document(id="deploying", title="Deploying", text=TEXT)


@pytest.mark.parametrize(
    ("page", "title", "text"),
    [
        ("<title>Window</title><p>body", "Window", "body"),
        ("<h2>Part</h2><p>body", "a", "## Part\n\nbody"),
        ("<h1> Two\n words </h1>body", "Two words", "# Two words\n\nbody"),
        ("plain &amp; simple", "a", "plain & simple"),
        ("notes.txt", "a", "notes.txt"),  # looks like the name of a file
        ("<?xml version='1.0'?><root><p>one<![if IE]>two<![endif]></p></root>", "a", "onetwo"),
    ],
)
def test_whatever_a_page_lacks(page: str, title: str, text: str, tmp_path: Path) -> None:
    found = read(tmp_path / "a.html", page)
    assert (found.title, found.text) == (title, text)


@pytest.mark.parametrize(
    ("page", "complaint"),
    [("<div>" * 20_000 + "deep", "nested too deeply to be read"), (b"<p>caf\xe9", "not UTF-8 at byte 6")],
)
def test_what_cannot_be_read_is_named_or_left_out(page: str | bytes, complaint: str, tmp_path: Path) -> None:
    (tmp_path / "a.html").write_bytes(page if isinstance(page, bytes) else page.encode())
    (tmp_path / "b.md").write_text("body")
    with pytest.raises(CorpusError, match=f"a.html:1: {complaint}"):
        list(read_documents([tmp_path], FIELDS))
    skipped = Skipped(bad=True)
    assert [d.id for d in read_documents([tmp_path], FIELDS, skipped=skipped)] == ["b"]
    assert complaint in skipped.reasons[0]


def test_a_page_without_words_is_left_out_and_told(tmp_path: Path) -> None:
    (tmp_path / "app.html").write_text("<title>App</title><div id=root></div><script>start()</script>")
    (tmp_path / "b.md").write_text("body")
    skipped = Skipped()
    assert [d.id for d in read_documents([tmp_path], FIELDS, skipped=skipped)] == ["b"]
    assert skipped.reasons == (f"{tmp_path}/app.html:1: no text: a page without a body",)
