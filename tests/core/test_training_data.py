"""What the training recipe of overfetch-mini reads out of textbooks and manuals."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

TRAINING = Path(__file__).parents[2] / "packages/overfetch-mini/training"

TEXTBOOK = """<document xmlns="http://cnx.rice.edu/cnxml"><title>Orbits</title><content>
<section class="learning-objectives"><title>Learning Objectives</title><para>Compare orbits.</para></section>
<para>An orbit is a path.<footnote>As Kepler saw.</footnote></para>
<section><title>Planets</title><para>Nearest to the Sun it is at <term>perihelion</term>.</para>
<exercise><problem><para>Why does Mercury move fastest?</para></problem>
<solution><para>Kepler.</para></solution></exercise>
</section></content></document>"""

MANUAL = """---
title: "Proxies"
---
# Setup <!-- a remark
## not a heading -->
Set the variable.

```
# not a heading either
export PROXY=1
```

## With [TLS](tls.md)
Give the certificate.
"""


@pytest.fixture
def repositories(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(TRAINING))
    yield __import__("repositories")
    for name in ("repositories", "pairs"):
        sys.modules.pop(name, None)


def test_a_textbook_is_asked_by_titles_terms_and_questions(repositories: Any) -> None:
    pairs = [(pair["query"], pair["positive"]) for pair in repositories.textbook_pairs(TEXTBOOK)]
    assert pairs == [
        ("Orbits Planets", "Nearest to the Sun it is at perihelion."),
        ("Orbits", "An orbit is a path."),
        ("perihelion", "Nearest to the Sun it is at perihelion."),
        ("Why does Mercury move fastest?", None),
    ]


def test_a_manual_is_asked_by_its_headings(repositories: Any) -> None:
    pairs = [(pair["query"], pair["positive"]) for pair in repositories.manual_pairs(MANUAL)]
    assert pairs == [
        ("Proxies Setup", "Set the variable.\n# not a heading either\nexport PROXY=1"),
        ("Proxies Setup With TLS", "Give the certificate."),
    ]


def test_passages_are_cut_and_short_ones_left_out(repositories: Any) -> None:
    joined = list(repositories.passages(["a" * 700, "b" * 700, "", "c" * 2000]))
    assert [len(passage) for passage in joined] == [700, 700, 1200]
    assert not repositories.is_fit({"query": "term", "positive": "short"})
    assert repositories.is_fit({"query": "Why does Mercury move so much faster?", "positive": None})


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(TRAINING))
    yield __import__("written")
    sys.modules.pop("written", None)


def test_written_sets_are_well_formed_and_no_text_is_there_twice(written: Any) -> None:
    paths = sorted(written.FOLDER.glob("*.jsonl"))
    assert set(written.DEV) <= {path.stem for path in paths}
    sets = [s for path in paths for s in written.read_sets(path)]
    assert len(sets) >= 3_000
    assert not written.find_doubles(sets)


def test_counting_shared_words_does_not_read_the_dev_sets_of_six(written: Any) -> None:
    sets = list(written.read_sets(written.FOLDER / "dev-six-1.jsonl"))
    assert {len(s.passages) for s in sets} == {6}
    assert written.chance(sets) == pytest.approx(1 / 6)
    assert abs(written.found_by_words(sets) - 1 / 6) < 0.03


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"passages": {"a": "one two three"}}, "4 to 6 passages"),
        ({"how": {"b": "reversed"}}, "unknown kind"),
        ({"queries": dict.fromkeys("abcd", " which ")}, "padded"),
        ({"queries": dict.fromkeys("abcd", "which")}, "query length"),
    ],
)
def test_a_broken_set_is_refused_by_file_and_line(
    change: dict[str, Any], told: str, written: Any, tmp_path: Path
) -> None:
    right = {"id": "x-1", "passages": {k: f"{k} is not {k}" for k in "abcd"}, "queries": {k: f"is {k}" for k in "abcd"}}
    (tmp_path / "x.jsonl").write_text(json.dumps({**right, "how": {"b": "negated"}, **change}), encoding="utf-8")
    with pytest.raises(ValueError, match=f"x.jsonl:1: .*{told}"):
        list(written.read_sets(tmp_path / "x.jsonl"))
