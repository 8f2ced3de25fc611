"""Training pairs out of public repositories: textbooks (CNXML) and manuals (Markdown).

    uv run python packages/overfetch-mini/training/repositories.py --clones FOLDER --out PAIRS.jsonl

FOLDER holds a clone of each repository that sources.toml names, as OWNER+NAME, and is read at the commit named there:
of several textbooks the last one before their licence forbade commercial use. A section is asked for by its titles,
by a term that it defines, and by the questions at the end of its chapter, whose answer nobody marked: those have no
`positive`, and the teacher alone says which passage answers.
"""

import argparse
import json
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from pairs import Pair

MIN_PASSAGE, MAX_PASSAGE = 200, 1200  # characters
MIN_QUESTION, MAX_QUESTION = 25, 300
CNX = "{http://cnx.rice.edu/cnxml}"
BESIDE = {
    f"{CNX}{name}" for name in ("section", "title", "exercise", "figure", "table", "media", "metadata", "glossary")
}
FENCE = re.compile(r"^```.*?^```\s*?$", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^(#{1,4})\s+(.+?)\s*#*$", re.MULTILINE)
COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
MARKUP = re.compile(r"<[^>]+>|\{[#/{%].*?\}+|!?\[([^\]]*)\]\([^)]*\)|[*`]{1,3}")
FRONT_MATTER = re.compile(r"\A---\n.*?^title:\s*(.*?)$.*?^---$", re.MULTILINE | re.DOTALL)


def plain(text: str) -> str:
    return " ".join(text.split())


def passages(paragraphs: list[str]) -> Iterator[str]:
    """Paragraphs joined up to MAX_PASSAGE."""
    passage = ""
    for paragraph in filter(None, paragraphs):
        if passage and len(passage) + len(paragraph) > MAX_PASSAGE:
            yield passage
            passage = ""
        passage = f"{passage}\n{paragraph}".strip()[:MAX_PASSAGE]
    if passage:
        yield passage


def words(element: ElementTree.Element) -> str:
    return plain("".join(element.itertext()))


def sections(element: ElementTree.Element, titles: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], list[str]]]:
    """(titles, paragraphs) of a section and of those in it."""
    own = []
    for child in element:
        if child.tag == f"{CNX}section" and child.get("class") != "learning-objectives":
            title = child.find(f"{CNX}title")
            yield from sections(child, titles if title is None else (*titles, words(title)))
        elif child.tag == f"{CNX}note":
            own += [words(p) for p in child.iter(f"{CNX}para")]
        elif child.tag not in BESIDE:
            own.append(words(child))
    yield titles, own


def textbook_pairs(text: str) -> Iterator[Pair]:
    document = ElementTree.fromstring(text)
    for note in document.iter(f"{CNX}footnote"):
        note.text = ""
    title, content = document.find(f"{CNX}title"), document.find(f"{CNX}content")
    if title is None or content is None:
        return
    for titles, paragraphs in sections(content, (words(title),)):
        for number, passage in enumerate(passages(paragraphs)):
            yield {"query": " ".join(titles) if number == 0 else "", "positive": passage}
    for paragraph in content.iter(f"{CNX}para"):
        terms = [words(t) for t in paragraph.iter(f"{CNX}term") if t.get("class") != "no-emphasis"]
        if terms:
            yield {"query": terms[0], "positive": words(paragraph)[:MAX_PASSAGE]}
    for problem in content.iter(f"{CNX}problem"):
        paragraph = next(problem.iter(f"{CNX}para"), problem)
        yield {"query": words(paragraph), "positive": None}


def manual_pairs(text: str) -> Iterator[Pair]:
    found = FRONT_MATTER.match(text)
    titles = {0: found[1].strip("\"'")} if found else {}
    body = COMMENT.sub("", text[found.end() :] if found else text)
    fences = FENCE.findall(body)
    body = FENCE.sub("\0", body)  # what a program's comments call a heading is none
    marks = [*HEADING.finditer(body)]
    for mark, following in zip(marks, [*marks[1:], None], strict=False):
        level = len(mark[1])
        titles = {depth: title for depth, title in titles.items() if depth < level}
        titles[level] = plain(MARKUP.sub(r"\1", mark[2]))
        own = body[mark.end() : following.start() if following else len(body)]
        start = body[: mark.end()].count("\0")
        for code in fences[start : start + own.count("\0")]:
            own = own.replace("\0", "\n".join(code.splitlines()[1:-1]), 1)
        paragraphs = [MARKUP.sub(r"\1", part).strip() for part in own.split("\n\n")]
        for number, passage in enumerate(passages(paragraphs)):
            yield {"query": " ".join(titles.values()) if number == 0 else "", "positive": passage}


READERS = {".cnxml": textbook_pairs, ".md": manual_pairs}


def read_repository(clone: Path, commit: str) -> Iterator[Pair]:
    """Pairs of its text files at a commit; a passage without a query of its own has an empty one."""
    git = ["git", "-C", str(clone)]
    listed = subprocess.run([*git, "ls-tree", "-r", "--name-only", commit], capture_output=True, check=True, text=True)
    for name in listed.stdout.splitlines():
        if reader := READERS.get(Path(name).suffix):
            shown = subprocess.run([*git, "show", f"{commit}:{name}"], capture_output=True, check=True)
            yield from reader(shown.stdout.decode(errors="replace"))


def is_fit(pair: Pair) -> bool:
    if pair["positive"] is None:
        return MIN_QUESTION <= len(pair["query"]) <= MAX_QUESTION
    return len(pair["positive"]) >= MIN_PASSAGE and len(pair["query"]) <= MAX_QUESTION


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clones", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    sources = tomllib.loads(Path(__file__).with_name("sources.toml").read_text())
    with options.out.open("w", encoding="utf-8") as lines:
        for source, own in sources.items():
            for repository, commit in own.get("repositories", {}).items():
                pairs = read_repository(options.clones / repository.replace("/", "+"), commit)
                fit = [pair | {"source": source} for pair in pairs if is_fit(pair)]
                print(source, repository, len(fit))
                lines.writelines(json.dumps(pair, ensure_ascii=False) + "\n" for pair in fit)


if __name__ == "__main__":
    main()
