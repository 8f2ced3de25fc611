"""Crossed contrast sets out of public data: two passages that share their words, and a query for each.

    uv run --group dev python packages/overfetch-mini/training/public.py --clones FOLDER --out FOLDER

The first FOLDER holds a clone of each repository that SOURCES names, as OWNER+NAME, and is read at the commit named
there; the second gets NAME-sets.jsonl of each source, for written.read_public. Test splits, and claims of
FEVER's, are trained on: none of them evaluates anything here. Left out: CondaQA, whose passages are NevIR's documents.
"""

import argparse
import csv
import json
import re
import subprocess
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from io import BytesIO
from itertools import pairwise, product
from math import inf
from operator import gt
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import ZipFile


class Source(NamedTuple):
    """Files of a repository at a commit, and what sets of them are kept."""

    name: str
    repository: str
    commit: str
    files: tuple[str, ...]
    licence: str
    least: float = 0  # of a query's words, the share that the wrong passage has too
    most: float = inf  # sets with one and the same query


VITAMINC = ("TalSchuster/talschuster.github.io", "152c9639f1e33ca295d0776b618c17884088f72f")
SYMMETRIC = ("TalSchuster/FeverSymmetric", "fa25d17e73ea0694edc78133ec654b9f32f6db73")
SCONE = ("selenashe/ScoNe", "b02532a2f4185c6118a57a148455e0750592d8c8")
SYMMETRIC_FILES = ("symmetric_v0.2/fever_symmetric_dev.jsonl", "symmetric_v0.2/fever_symmetric_test.jsonl")
SCONE_FILES = ("scone_nli/train/no_negation.csv", "scone_nli/train/one_scoped.csv")
# Share-alike where they quote Wikipedia: those sets are made here when they are needed, not kept here.
SOURCES = (
    Source("vitaminc-real", *VITAMINC, ("static/vitaminc_real.zip",), "CC BY-SA 3.0", least=0.4),
    Source("vitaminc-synthetic", *VITAMINC, ("static/vitaminc_synthetic.zip",), "CC BY-SA 3.0", least=0.2),
    Source("fever-symmetric", *SYMMETRIC, SYMMETRIC_FILES, "CC BY-SA 3.0", least=0.2),
    Source("scone", *SCONE, SCONE_FILES, "CC0-1.0", most=4),
)

QUERY_WORDS, PASSAGE_WORDS = range(4, 46), range(5, 111)
STEM = 5  # letters by which two forms of a word are taken for the same
SUPPORTS, UNDECIDED = "SUPPORTS", "NOT ENOUGH INFO"
SLUR = "oriental"
STOP_WORDS = {
    *("the", "and", "for", "with", "from", "are", "was", "were", "been", "has", "have", "had", "its", "his", "her"),
    *("their", "this", "that", "which", "who", "she", "they", "more", "less", "than", "over", "under", "after"),
    *("before", "about", "there", "not"),
}
YEAR = re.compile(r"\b(?:1[5-9]|20)\d\d\b")
# FEVER's "is only a": whether that is refuted rests on the reading of the crowd.
ONLY = re.compile(r"\b(only|solely|exclusively)\b", re.IGNORECASE)

Row = dict[str, Any]
Rules = tuple[tuple[str, str], ...]
SPELLED_OUT: Rules = (
    *(("-LRB-", "("), ("-RRB-", ")"), ("-LSB-", "["), ("-RSB-", "]"), ("-COLON-", ":")),
    (r"(?<=\w)\ufffd(?=\w)|[\u00a0\u2009\u200a\u202f]", " "),
)
# Characters that were lost, and markup of a wiki.
BROKEN = re.compile(r"\ufffd|\u00ef\u00bf\u00bd|([\[\]{}])\s*\1|\||https?:|<ref|==|\w=\w|\b(?:oid|Ref)\b")
MARKS: Rules = (("``|''", ' " '), (r"\s+", " "), ("^ | $", ""), (r"^\*+\s*|\s*\*+$|\s+\[\s*\d*\s*\]", ""))
QUOTATION = re.compile(r'\s*"\s*([^"]*?)\s*"(?=([^\W_])?)')
SPACING: Rules = (
    (r"(?<=[“(\[{$£€])\s+", ""),
    (r"\s+(?=[”)\]}%,;:!?]|\.(?!\w)|(?:'s|'re|'ve|'ll|'d|'m|n't|’s)\b)|(?<=\d) (?=-)", ""),
    (r"(?<=s) '(?= \w)", "'"),
    (r"(?<=\d) ?- (?=\d)", "-"),
    (r"U\.S ?\.", "U.S."),
    (" ?-- ?", " – "),
    (r"\(\s*(?:[;,]\s*)?\)", ""),
    (r"\(\s*[;,]\s*", "("),
)
STRAY_MARKS = re.compile(r"\" \"|' \"|\" '|''")
ARTICLES: Rules = ((r"\b([Aa])n (?=[b-dfgj-np-tv-z])", r"\1 "), (r"\b([Aa]) (?=[aeio])(?!one\b|once\b|eu)", r"\1n "))


class Crossed(NamedTuple):
    """The passage at a place satisfies the query at that place, and not the other."""

    id: str
    queries: Sequence[str]
    passages: Sequence[str]


def _replaced(text: str, rules: Rules) -> str:
    for pattern, replacement in rules:
        text = re.sub(pattern, replacement, text)
    return text


def plain(text: str) -> str:
    """A text in tokens of the Penn Treebank as it was written; empty where it is broken or has markup."""
    text = _replaced(text, SPELLED_OUT)
    if BROKEN.search(text):
        return ""
    text = " ".join(_replaced(quoted(_replaced(text, MARKS)), SPACING).split())
    return "" if STRAY_MARKS.search(text) else text


def quoted(text: str) -> str:
    """With straight quotation marks close to what they quote, or without them where one has no other."""
    if text.count('"') % 2:
        return re.sub(r'\s*"\s*', " ", text)
    return QUOTATION.sub(lambda found: f' "{found[1]}"' + (" " if found[2] else ""), text)


def bare(text: str) -> str:
    """Its words alone: texts for which they are equal are the same."""
    return " ".join(re.findall(r"\w+", text.lower()))


def content(text: str, letters: int | None = None) -> set[str]:
    """Its words that say something, or their first letters."""
    return {word[:letters] for word in re.findall(r"\w+", text.lower()) if len(word) > 2 and word not in STOP_WORDS}


def falls_short(query: str, own: str, other: str) -> bool:
    """Whether the other passage visibly lacks something of the query that its own has."""
    found, elsewhere = content(own, STEM), content(other, STEM)
    lacking = {word for word in content(query) if word[:STEM] in found - elsewhere}
    for first, last in pairwise(re.findall(r"\w+", query)):
        if first[0].isupper() and last[0].isupper() and last.lower()[:STEM] in elsewhere:
            lacking.discard(first.lower())  # the surname is enough
    # A passage that gives no year at all may be of any.
    return any(YEAR.search(other) or not YEAR.fullmatch(word) for word in lacking)


def shortfalls(queries: Sequence[str], passages: Sequence[str]) -> list[bool]:
    """For each query whether the other's passage falls short of it."""
    return [falls_short(*texts) for texts in zip(queries, passages, reversed(passages), strict=True)]


def titled(title: str, queries: list[str], passages: list[str]) -> list[str]:
    """The page's title before both where one does not name its subject, unless that would help the wrong passage."""
    subject = content(re.sub(r"\(.*?\)", " ", title))
    if not subject or all(subject & content(passage) for passage in passages):
        return passages
    longer = [f"{title}: {passage}" for passage in passages]
    return passages if any(map(gt, shortfalls(queries, passages), shortfalls(queries, longer))) else longer


def is_fit(queries: Sequence[str], passages: Sequence[str], least: float) -> bool:
    """Whether lengths and wording let the labels be trusted, and shared words cannot tell the passages apart."""
    trusted = all(len(query.split()) in QUERY_WORDS and not ONLY.search(query) for query in queries)
    if not trusted or any(len(passage.split()) not in PASSAGE_WORDS for passage in passages):
        return False
    if len({re.search(r"\w[-–]American", query) is None for query in queries if "American" in query}) > 1:
        return False  # a Spanish-American singer is an American singer too
    both = zip(queries, reversed(passages), strict=True)
    return all(len(content(query, STEM) & content(other, STEM)) >= least * len(content(query)) for query, other in both)


def crossed(case: str, rows: Sequence[Row], least: float) -> Crossed | None:
    """The set that a case makes, None where it makes none that is fit."""
    if (matched := match(rows)) is None:
        return None
    queries, passages = ([plain(text) for text in texts] for texts in matched[:2])
    if not is_fit(queries, passages, least):
        return None
    passages = titled(plain(rows[0].get("page", "").replace("_", " ")), queries, passages)
    unclear = any(map(gt, (label == UNDECIDED for label in matched[2]), shortfalls(queries, passages)))
    return None if unclear else Crossed(case, queries, passages)


def match(rows: Sequence[Row]) -> tuple[list[str], list[str], list[str]] | None:
    """Two claims, the passage that supports each, and each one's label with the other; None where it is not so."""
    labels = {(row["claim"], row["evidence"]): row["label"] for row in rows}
    claims, passages = (list(dict.fromkeys(texts)) for texts in zip(*labels, strict=True))
    if labels[claims[0], passages[0]] != SUPPORTS:
        passages.reverse()
    agreed = {(row["claim"], row["evidence"], row["label"]) for row in rows}
    is_whole = len(claims) == len(passages) == 2 and len(agreed) == len(labels) == 4
    square = [labels.get(pair, "") for pair in product(claims, passages)]
    is_crossed = [label == SUPPORTS for label in square] == [True, False, False, True]
    return (claims, passages, square[1:3]) if is_whole and is_crossed else None


def claim_sets(files: Iterable[bytes], least: float) -> Iterator[Crossed]:
    """What the cases of VitaminC make, or of FEVER-Symmetric, where an ending tells the claims of a case apart."""
    cases: dict[str, list[Row]] = defaultdict(list)
    for row in (json.loads(line) for raw in files for line in raw.splitlines()):
        cases[row["case_id"] if "case_id" in row else re.sub(r"000000[234]$", "", row["id"])].append(row)
    return filter(None, (crossed(case, rows, least) for case, rows in cases.items()))


def entailed(rows: Iterable[Row], ending: str) -> tuple[str, ...]:
    """(query, passage) of the only row of two that holds; empty where a word was put inside another ("tsunhat")."""
    held = [row for row in rows if row[f"gold_label{ending}"] == "entailment"]
    texts = [(row[f"sentence{n}{ending}"].strip(), row[f"sentence{n}_lex"]) for row in held for n in (2, 1)]
    for text, word in texts:
        inside = re.search(rf"[a-z]{re.escape(word.split()[0])}", text, re.IGNORECASE)
        if inside or word.lower() not in text.lower() or SLUR in text.lower():
            return ()
    return tuple(_replaced(text, ARTICLES) for text, _ in texts) if len(held) == 1 else ()


def negation_sets(files: Iterable[bytes]) -> Iterator[Crossed]:
    """A sentence and its negation, each with what follows from it: what widens the one narrows the other."""
    affirmed, negated = (list(csv.DictReader(raw.decode().splitlines())) for raw in files)
    for number, rows in enumerate(zip(affirmed[::2], affirmed[1::2], negated[::2], negated[1::2], strict=False)):
        found = entailed(rows[:2], "_edited"), entailed(rows[2:], "")
        if all(found):
            yield Crossed(f"no_negation-{number}", *zip(*found, strict=True))


def choose(sets: Iterable[Crossed], most: float) -> Iterator[Crossed]:
    """Those of four different texts, once for the same queries, and no more than `most` for one query."""
    times: Counter[frozenset[str] | str] = Counter()
    for one in sets:
        asked = frozenset(map(bare, one.queries))
        is_new = not times[asked] and all(times[query] < most for query in asked)
        if is_new and len(asked.union(map(bare, one.passages))) == 4:
            times.update((asked, *asked))
            yield one


def read_files(source: Source, clones: Path) -> Iterator[bytes]:
    """Its files at its commit; of an archive the test split, the only one that is in it."""
    clone = clones / source.repository.replace("/", "+")
    for name in source.files:
        raw = subprocess.check_output(["git", "-C", str(clone), "show", f"{source.commit}:{name}"])
        yield ZipFile(BytesIO(raw)).read(f"{Path(name).stem}/test.jsonl") if name.endswith(".zip") else raw


def _as_line(source: str, one: Crossed) -> str:
    passages, queries = (dict(zip("ab", texts, strict=True)) for texts in (one.passages, one.queries))
    line = {"id": f"{source}-{one.id}", "passages": passages, "queries": queries, "source": source}
    return json.dumps(line, ensure_ascii=False) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clones", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for source in SOURCES:
        files = read_files(source, options.clones)
        made = negation_sets(files) if source.name == "scone" else claim_sets(files, source.least)
        sets = list(choose(made, source.most))
        lines = "".join(_as_line(source.name, one) for one in sets)
        (options.out / f"{source.name}-sets.jsonl").write_text(lines, encoding="utf-8")
        words = sum(len(text.split()) for one in sets for text in (*one.queries, *one.passages))
        print(f"{source.name} ({source.licence}): {len(sets)} sets, {words} words")


if __name__ == "__main__":
    main()
