"""Which words of a question tell, where no passage has them, that nothing answers it."""

import pytest

from overfetch import unheard

LONG = "my colleague and I would like to know how we should go about sending each of these pages to typesense at night"


def told(question: str, *known: str, everyday: bool = False) -> list[str | None]:
    return [focus.text for focus in unheard(question, {*known}.__contains__, everyday=everyday)]


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ("typesense document store", ["typesense"]),
        ("is there a RAPTOR example", ["RAPTOR"]),
        ("Typesense, typesense and kerberos", ["Typesense", "kerberos"]),
        ("where do I keep my documents", []),
        ("go to it", []),
        ("300mln in 24h", []),
        ("量子コンピュータとは", []),
        ("", []),
        (LONG, ["typesense"]),
    ],
)
def test_words_that_few_people_write_tell(question: str, words: list[str]) -> None:
    assert told(question) == words


def test_words_that_only_ask_do_not_tell() -> None:
    assert told("Typesense guide", "typesense") == []


def test_each_word_of_a_short_question_tells_where_a_corpus_has_them_all() -> None:
    assert told("snooze a workflow", everyday=True) == ["snooze", "workflow"]
    assert told(LONG, everyday=True) == ["typesense"]


def test_another_language_tells_nothing() -> None:
    assert told("wie verschiebe ich einen geplanten arbeitsablauf um eine woche", everyday=True) == []


def test_only_so_many_words_are_looked_for() -> None:
    plain = "the house of my father is here and now we all see what he was in there when they"
    assert len(told(f"{plain} {' '.join(f'{letter}zqx' for letter in 'abcdefghij')}")) == 8
