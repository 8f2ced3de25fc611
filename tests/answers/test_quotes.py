"""Quotes of foreign text: no part of a figure or word, no one word of a heading, and no page takes too long."""

import time
from collections.abc import Callable

import pytest

from overfetch import Chunk, Citation, Document, Hit, Passage, RefusedCitation, Retrieval, check_citations
from overfetch.sentences import WINDOW, sentences_of
from overfetch.types import Timings
from overfetch.verbatim import find_verbatim, fold

NO_TIME = Timings(embed=0, search=0, rerank=0, total=0)
SPACES = " \u00a0\u2009\u202f\u2007\u3000"


def retrieved(text: str, breadcrumb: str = "Title") -> Retrieval:
    document = Document(id="page", title="Title", text=text)
    passage = Passage.of(document, 0, Chunk(breadcrumb=breadcrumb, text=text))
    hit = Hit(rank=1, passage=passage, first_stage_rank=1, first_stage_score=1.0)
    return Retrieval(query="q", collection="c", hits=(hit,), rerank_status="off", timings_ms=NO_TIME, provenance={})


def holds(quote: str, retrieval: Retrieval) -> bool:
    passage = retrieval.hits[0].passage
    citation = Citation(passage_id=passage.id, document_id="page", quote=quote)
    return not isinstance(check_citations([citation], [retrieval])[0], RefusedCitation)


def seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def test_a_word_and_its_tail_take_no_time() -> None:
    word = "ab" * 4_000
    text = f"{word} is long, and {word[-12:]} its tail."
    assert seconds(lambda: find_verbatim(f"{word[-12:]} its tail.", text)) < 1  # 18.7 s once
    assert find_verbatim(f"{word[-12:]} its tail.", text) == f"{word[-12:]} its tail."
    assert find_verbatim(word[-12:], text) == word[-12:]


@pytest.mark.parametrize(
    ("quote", "text"),
    [
        ("a" * 12, "a" * 60_000),
        ("11 aa " * 5_000 + "1", "11 aa " * 10_000),
        ("aaaaaaaaaaaa1", "aaaaaaaaaaaa1b " * 5_000),
        ("nobody wrote this", "**" * 30_000),
        ("nobody wrote this", "*a " * 20_000),
        ("nobody wrote this", "[a](" * 15_000),
        ("nobody wrote this", "a\u0301\u0323" + "\u0301\u0323" * 30_000),
        ("nobody wrote this", "«" + " " * 60_000),
        ("nobody wrote this", "&amp" * 15_000),
    ],
    ids=lambda text: text[:8],
)
def test_no_text_takes_more_than_its_length_allows(quote: str, text: str) -> None:
    assert seconds(lambda: find_verbatim(quote, text)) < 3


@pytest.mark.parametrize("unit", ["`", "“", "«", "'", '"', "<!--", "![](", "word ", "It is. "])
def test_sentences_take_no_more_time_than_their_text(unit: str) -> None:
    """The splitter alone takes 2 s for 80,000 backticks."""
    text = unit * (80_000 // len(unit))
    assert seconds(lambda: sentences_of(text)) < 1
    assert "".join(sentences_of(text)) == text


def test_sentences_are_the_same_across_windows() -> None:
    sentences = [f"This is sentence number {n} of them. " for n in range(WINDOW // 10)]
    assert sentences_of("".join(sentences)) == sentences


@pytest.mark.parametrize("text", ["So says J.\u00a0B. Good.", "\u00a0A. B.\u3000C. D", "half a \ud800 pair. And more."])
def test_no_text_stops_the_splitter(text: str) -> None:
    """It panics at some of these, which is no Exception."""
    assert "".join(sentences_of(text)) == text


PARTS = [  # a figure, and parts that it may be cut into
    *((f"1{space}000{space}000", ("1", f"1{space}000", f"000{space}000", "000")) for space in SPACES),
    *((f"10{sign}6", ("10", "6")) for sign in ("^", "×", "⁄", "÷", " × ", "·", "*", "**")),
    *((f"{sign}5", ("5",)) for sign in ("₹", "≈", "⁻", "±", "€", "<", ">", "≤", "~", "√", "−", "₹ ", "≈ ", "± ", "< ")),
    *((f"5{unit}", ("5",)) for unit in ("%", "°", "‰", "€", "₹", " %", "² + 7", " + 7", "<sup>2</sup>")),
    ("10<sup>6</sup>", ("10", "6</sup>")),
    ("10^{6}", ("10", "6}")),
    ("&minus;5", ("5",)),
    ("5.0", ("5", "0")),
    ("1'000", ("1", "000")),
    *((f"5 {unit}", ("5", unit)) for unit in ("€", "₹", "%", "°C", "1/2", "½", "x 10", "per cent", "kr", "EUR")),
    *((f"5 {unit}", ("5", unit)) for unit in ("million", "Billion", "thousands", "Mio.", "k", "M", "lakh", "bps")),
    *((f"5 {unit}", ("5", unit)) for unit in ("bn", "percentage points", "Prozent", "milliards", "millones", "億円")),
    *((f"5{space}%", ("5", "%")) for space in ("\\", " \\", "&nbsp;", "~")),
    *((f"{currency} 5", (currency, "5")) for currency in ("USD", "Rs.", "US$", "CHF")),
    ("5 thousand million €", ("5", "5 thousand", "5 thousand million", "thousand million €", "million €", "€")),
    *((f"{number} million", (number, "million")) for number in ("five", "Twenty", "**5**", "`5`", "5\n")),
    ("5 **million**", ("5", "million**", "**million**")),
    ("5万", ("5", "万")),
]


@pytest.mark.parametrize(("figure", "parts"), PARTS)
def test_no_part_of_a_figure_is_a_quote(figure: str, parts: tuple[str, ...]) -> None:
    before, after = "as has been said it weighs", "kilograms and no more than that"
    text = f"{before} {figure} {after}"
    assert find_verbatim(f"{before} {figure}", text)
    assert find_verbatim(f"{figure} {after}", text)
    for part in parts:
        if figure.endswith(part):
            assert find_verbatim(f"{part} {after}", text) is None
        if figure.startswith(part):
            assert find_verbatim(f"{before} {part}", text) is None


@pytest.mark.parametrize(
    ("quote", "text"),
    [
        ("in 2024 there were", "counted in 2024 there were 300 people"),
        ("300 people came to it", "in 2024 300 people came to it"),
        ("5 kilograms in all", "the weight = 5 kilograms in all"),
        ("5 kilograms in all", "| 5 kilograms in all |"),
        ("5 kilograms in all", "from here → 5 kilograms in all"),
        ("5 kilograms in all", "they say — 5 kilograms in all"),
        ("they weigh about 5", "they weigh about 5 | or more"),
        ('"they weigh about 5"', "they weigh about 5 | or more"),
    ],
)
def test_what_only_stands_beside_a_figure_is_no_part_of_it(quote: str, text: str) -> None:
    assert find_verbatim(quote, text) == quote.strip('"')


@pytest.mark.parametrize(
    ("quote", "text"),
    [
        ("it weighs about 5", "it weighs about **5** million in all"),
        ("it weighs about 5", "it weighs about `5` % in all"),
        ("it weighs about 5", "it weighs about **5**\\% in all"),
        ("5 in all that there is", "it costs USD **5** in all that there is"),
    ],
)
def test_marks_do_not_part_a_figure(quote: str, text: str) -> None:
    assert find_verbatim(quote, text) is None


@pytest.mark.parametrize("word", ["people", "kilograms", "days", "dollars", "more", "me", "Kelvin", "in"])
def test_a_quote_may_end_before_an_ordinary_word(word: str) -> None:
    text = f"as has been said there were 5 {word} in all"
    assert find_verbatim("as has been said there were 5", text)
    assert find_verbatim(text.partition("5 ")[2] + " of them", f"{text} of them")


@pytest.mark.parametrize("dash", "-‐‑–−")
def test_a_dash_without_spaces_joins_a_word(dash: str) -> None:
    text = f"The substance is non{dash}toxic and cheap."
    assert find_verbatim("toxic and cheap.", text) is None
    assert find_verbatim("The substance is non", text) is None
    assert find_verbatim(f"non{dash}toxic and cheap.", text)
    assert find_verbatim("toxic and cheap.", "Is it poison—toxic and cheap.")


@pytest.mark.parametrize(
    ("heading", "held"), [("Overfetch", False), ("Introduction", False), ("Tuning rerankers", True)]
)
def test_one_word_of_a_heading_is_no_citation(heading: str, held: bool) -> None:
    assert holds(heading, retrieved("Some text stands below it.", breadcrumb=heading)) == held


def test_a_part_of_a_breadcrumb_counts_its_words() -> None:
    retrieval = retrieved("Some text stands below it.", breadcrumb="Guide > Installation > 检索增强生成")
    assert not holds("Installation", retrieval)
    assert holds("检索增强生成", retrieval)


@pytest.mark.parametrize(
    ("quote", "text", "found"),
    [
        ("Always pin the model.", "**Always** pin _the_ model.", "Always pin the model."),
        ("Always pin the model.", "Always pin [the model](http://x.y/z).", "Always pin the model."),
        ("Use main for the model.", "Use `main` for the model.", "Use main for the model."),
        ("Use `main` for the model.", "Use `main` for the model.", "Use `main` for the model."),
        ("never *one* within another", "never **one** within another", "never one within another"),
        ("one within another, always", "**one *within* another**, always", "one within another, always"),
        ("Research & Development", "Research &amp; Development", "Research & Development"),
        ("Research &amp; Development", "Research &amp; Development", "Research & Development"),
        ("il a dit 'bonjour' hier", "il a dit « bonjour » hier", "il a dit « bonjour » hier"),
        ("il a dit «bonjour» hier", "il a dit «\u00a0bonjour\u202f».  hier", None),
        ('er sagte "hallo welt" heute', "er sagte »hallo welt« heute", "er sagte »hallo welt« heute"),
        ("向量检索很快", "他说「向量检索很快」然后", "向量检索很快"),
        ("snake_case_name is meant", "snake_case_name is meant", "snake_case_name is meant"),
        ("10 to the 6 as 106 and more", "10 to the 6 as 10**6 and more", None),
        ("it makes 234 of these", "it makes 2*3*4 of these", None),
        ("it is toxic, they say", "it is ~~not~~ toxic, they say", None),
        ("it calls __init__ first", "it calls `__init__` first", "it calls __init__ first"),
        ("it calls `__init__` first", "it **calls** `__init__` first", "it calls `__init__` first"),
        ("it calls init first", "it calls `__init__` first", None),
        ("it calls `init` first", "it calls `__init__` first", None),
        ("it calls init first", "it calls \\_\\_init\\_\\_ first", None),
        ("it calls __init__ first", "it calls \\_\\_init\\_\\_ first", "it calls __init__ first"),
        ("takes args and kwargs, too", "takes `*args` and `*kwargs`, too", None),
        ("def init(self, name):", "so:\n```py\ndef __init__(self, name):\n```\n", None),
        ("def __init__(self, name):", "so:\n```py\ndef __init__(self, name):\n```\n", "def __init__(self, name):"),
        ("never call init twice", "**never call `__init__` twice**", None),
        ("never call __init__ twice", "**never call `__init__` twice**", "never call __init__ twice"),
        ("see [this](http://x.y)", "call `a[0]` and `see [this](http://x.y)`", "see [this](http://x.y)"),
    ],
)
def test_marks_change_no_word(quote: str, text: str, found: str | None) -> None:
    assert find_verbatim(quote, text) == found


@pytest.mark.parametrize("mark", "\u200e\u200f\u061c\u202a\u2066\ue000")
def test_a_copy_holds_what_its_text_holds(mark: str) -> None:
    text = f"The name is {mark}written from right to left."
    assert find_verbatim(text, text) == text
    if mark != "\ue000":  # seen, unlike the others
        assert find_verbatim(text.replace(mark, ""), text) == text
    assert find_verbatim(text.replace("left", f"{mark}left"), text) is None
    assert find_verbatim(f"{mark}{text.replace(mark, '')}", text) is None


def test_folding_bounds_the_marks_on_a_letter() -> None:
    text = "e" + "\u0301\u0323" * 20_000
    assert seconds(lambda: fold(text)) < 1
    assert fold(text).places[-1] == len(text)
