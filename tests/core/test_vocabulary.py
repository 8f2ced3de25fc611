"""A site's vocabulary: lists, tables of words, and tables of patterns that a text may say."""

import sys
from pathlib import Path

import pytest

from overfetch import Vocabulary

WORDS = """
[names]
endings = ["Inc", "Corp"]
[metals]
gold = ["gold(?:en)?", "yellow metal"]
silver = ["silver"]
[plants]
flower = ["golden rod"]
rod = ["rods?"]
"""


@pytest.fixture
def vocabulary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Vocabulary:
    package = tmp_path / "metals_site"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "vocabulary.toml").write_text(WORDS, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "metals_site", raising=False)
    return Vocabulary("metals_site", str.lower)


def test_lists_are_folded_and_tables_are_not(vocabulary: Vocabulary) -> None:
    assert vocabulary.words("names.endings") == {"inc", "corp"}
    assert vocabulary.table("names.endings") == ["Inc", "Corp"]
    assert vocabulary.meanings("metals")["silver"] == "silver"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("golden rings", ["gold"]),
        ("the yellow-metal", ["gold"]),
        ("silver and gold", ["gold", "silver"]),
        ("goldfish", []),
    ],
)
def test_patterns_are_whole_words_with_loose_spaces(vocabulary: Vocabulary, text: str, said: list[str]) -> None:
    assert list(vocabulary.said("metals", text)) == said


def test_what_is_said_has_its_place(vocabulary: Vocabulary) -> None:
    assert vocabulary.said("metals", "fine gold")["gold"].span() == (5, 9)


def test_what_is_said_is_put_in_other_words(vocabulary: Vocabulary) -> None:
    assert vocabulary.instead("metals", "a golden ring") == {"gold": "a gold ring"}
    assert vocabulary.instead("metals", "wood") == {}


def test_what_lies_within_something_longer_is_not_put_in_other_words(vocabulary: Vocabulary) -> None:
    assert vocabulary.instead("plants", "a golden rod") == {"flower": "a flower"}
    assert vocabulary.instead("plants", "two rods") == {"rod": "two rod"}
