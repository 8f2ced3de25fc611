"""What the training recipe of overfetch-mini reads out of textbooks and manuals."""

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
