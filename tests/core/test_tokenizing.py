"""Texts to token ids: nothing is cut without being counted, and threads do not disturb each other."""

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import pytest

from overfetch.inference.tokenizing import TextTokenizer
from overfetch.inference.windows import Plan

LIMIT = 48
SPECIAL_TOKENS = 3


@pytest.fixture(scope="module")
def tokenizer(tiny_reranker: Path) -> TextTokenizer:
    return TextTokenizer(tiny_reranker / "tokenizer.json", LIMIT)


def test_ids_are_those_of_transformers(tokenizer: TextTokenizer, tiny_reranker: Path) -> None:
    from transformers import AutoTokenizer

    reference = AutoTokenizer.from_pretrained(tiny_reranker)
    for query, passage in [
        ("the tower", "a star rises."),
        ("Weather?", "long rain: over the hill"),
        ("zebra", "zebras"),
    ]:
        expected = reference(query, passage)
        tokens = tokenizer.pair(query, passage)
        assert (tokens.ids, tokens.type_ids, tokens.cut) == (expected["input_ids"], expected["token_type_ids"], 0)
        assert tokenizer.text(query).ids == reference(query)["input_ids"]


def test_limits_saved_with_a_tokenizer_do_not_count(
    tokenizer: TextTokenizer, tiny_reranker: Path, tmp_path: Path
) -> None:
    """all-MiniLM-L6-v2 is published with both: unnoticed, they would cut and pad."""
    from tokenizers import Tokenizer

    saved = Tokenizer.from_file(str(tiny_reranker / "tokenizer.json"))
    saved.enable_truncation(8)
    saved.enable_padding(length=40)
    saved.save(str(tmp_path / "tokenizer.json"))
    limited = TextTokenizer(tmp_path / "tokenizer.json", LIMIT)
    for query, passage in (("star", "the tower"), ("star", "the tower falls " * 30)):
        assert limited.pair(query, passage) == tokenizer.pair(query, passage)


def test_a_text_that_just_fits_is_whole(tokenizer: TextTokenizer) -> None:
    fits = tokenizer.text("star " * (LIMIT - 2))
    assert (len(fits.ids), fits.cut) == (LIMIT, 0)
    over = tokenizer.text("star " * (LIMIT - 1))
    assert (len(over.ids), over.cut) == (LIMIT, 1)
    assert over.ids == fits.ids


def test_a_long_passage_is_cut_counted_and_closed(tokenizer: TextTokenizer) -> None:
    tokens = tokenizer.pair("the tower", "star " * 100)
    assert (len(tokens.ids), tokens.cut) == (LIMIT, 2 + 100 + SPECIAL_TOKENS - LIMIT)
    assert tokens.ids[-1] == tokenizer.pair("the", "star").ids[-1], "the closing separator stays"
    assert tokens.type_ids == [0] * 4 + [1] * (LIMIT - 4)


def test_an_overlong_query_leaves_half_the_room_to_the_passage(tokenizer: TextTokenizer) -> None:
    query = "weather " * 200
    rises, falls = tokenizer.pair(query, "the star rises"), tokenizer.pair(query, "the tower falls")
    assert rises.ids != falls.ids
    assert rises.type_ids.count(0) == LIMIT // 2 + 2
    assert rises.type_ids.count(1) == 3 + 1


def test_what_a_query_loses_is_counted(tokenizer: TextTokenizer) -> None:
    assert tokenizer.pair("weather " * (LIMIT // 2), "the star").cut == 0
    assert tokenizer.pair("weather " * 200, "the star").cut == 200 - LIMIT // 2
    passage_too = tokenizer.pair("weather " * 200, "star " * 100)
    assert passage_too.cut == 200 - LIMIT // 2 + LIMIT // 2 + 100 + SPECIAL_TOKENS - LIMIT


def test_a_query_is_shortened_between_tokens_of_its_own_text(tokenizer: TextTokenizer) -> None:
    query = "Wéather, " * 100
    shortened, _, cut = tokenizer.shorten_query(query)
    assert query.startswith(shortened)
    assert len(tokenizer.text(shortened).ids) - 2 == LIMIT // 2
    assert cut > 0


@pytest.mark.parametrize("text", ["", " ", "漢字", "\u200b", "🙂" * 100])
def test_odd_texts_have_tokens_too(text: str, tokenizer: TextTokenizer) -> None:
    assert 2 <= len(tokenizer.text(text).ids) <= LIMIT
    assert 3 <= len(tokenizer.pair(text, text).ids) <= LIMIT


def test_eight_threads_get_what_one_gets(tokenizer: TextTokenizer) -> None:
    """Lengths on both sides of the limit, queries and pairs mixed: a shared setting would show."""
    texts = [("the tower falls " * (number % 40), "a star rises " * (number % 23)) for number in range(800)]
    alone = [(tokenizer.pair(*pair), tokenizer.text(pair[0])) for pair in texts]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda pair: (tokenizer.pair(*pair), tokenizer.text(pair[0])), texts))
    assert together == alone


def test_two_limits_do_not_disturb_each_other(tiny_reranker: Path) -> None:
    path = tiny_reranker / "tokenizer.json"
    short, long = TextTokenizer(path, 8), TextTokenizer(path, 400)
    with ThreadPoolExecutor(8) as pool:
        lengths = list(pool.map(lambda n: len((short if n % 2 else long).text("star " * 300).ids), range(400)))
    assert lengths == [302, 8] * 200


def windows_of(tokenizer: TextTokenizer, query: str, passage: str) -> list[str]:
    plan = Plan(tokenizer, query, [passage], windows=True, budget=None)
    return [reading.text for reading in plan.readings([0])]


def test_pieces_of_a_long_passage_hold_every_word_and_fit(tokenizer: TextTokenizer) -> None:
    words = ["star", "tower", "rain", "hill", "weather", "long"]
    for length in (1, 10, 41, 42, 43, 44, 90, 400):
        passage = " ".join(words[(number * number) % 6] for number in range(length))
        pieces = windows_of(tokenizer, "the tower", passage)
        assert all(tokenizer.pair("the tower", piece).cut == 0 for piece in pieces)
        assert pieces[0].split()[0] == passage.split()[0]
        assert passage.endswith(pieces[-1]), "evenly spread to the end"
        rest = passage
        for piece in pieces:
            at = rest.find(piece)
            assert at >= 0, "in order"
            rest = rest[at:]
        read = sum(len(piece.split()) for piece in pieces)
        assert read >= length
        assert (len(pieces) == 1) == (length <= LIMIT - SPECIAL_TOKENS - 2)


def test_neighbouring_pieces_overlap(tokenizer: TextTokenizer) -> None:
    passage = " ".join(f"rain{number}" for number in range(60))
    pieces = windows_of(tokenizer, "the", passage)
    for before, after in pairwise(pieces):
        assert passage.find(after) < passage.find(before) + len(before)


LONG = "star " * 30 + "hill " * 30 + "tower " * 30 + "rain " * 30


def test_first_windows_come_first_then_those_that_hold_the_query_s_words(tokenizer: TextTokenizer) -> None:
    plan = Plan(tokenizer, "the tower", ["rain", LONG, "hill", LONG], windows=True, budget=6 * LIMIT)
    read = list(plan.readings(range(4)))
    assert [reading.place for reading in read[:4]] == [0, 1, 2, 3]
    assert [reading.text.split()[0] for reading in read[:4]] == ["rain", "star", "hill", "star"]
    assert all("tower" in reading.text for reading in read[4:])
    assert {reading.place for reading in read[4:]} == {1, 3}
    assert sum(len(reading.tokens.ids) for reading in read) <= 6 * LIMIT
    assert plan.unread[0] == plan.unread[2] == 0
    assert 0 < plan.unread[1] < 120


def test_a_budget_for_all_leaves_nothing_out_and_moves_no_window(tokenizer: TextTokenizer) -> None:
    def read(budget: int | None) -> list[str]:
        plan = Plan(tokenizer, "the tower", [LONG, "hill"], windows=True, budget=budget)
        texts = [reading.text for reading in plan.readings(range(2))]
        assert not plan.unread
        return texts

    assert read(None) == read(10_000)
    assert sum(read(None)[1].count(word) for word in ("hill", "tower")) >= 1


def test_passages_too_many_for_the_budget_are_cut_never_skipped(tokenizer: TextTokenizer) -> None:
    passages = ["rain", *[LONG] * 9]
    plan = Plan(tokenizer, "the tower", passages, windows=True, budget=400)
    read = list(plan.readings(range(10)))
    assert [reading.place for reading in read] == list(range(10))
    assert [len(reading.tokens.ids) for reading in read] == [6, *[40] * 9]
    assert all(reading.tokens.cut for reading in read[1:])
    many = Plan(tokenizer, "the tower", [LONG] * 50, windows=True, budget=400)
    assert {len(reading.tokens.ids) for reading in many.readings(range(50))} == {32}, "so little says nothing"


def test_without_windows_a_passage_is_cut(tokenizer: TextTokenizer) -> None:
    plan = Plan(tokenizer, "the tower", ["rain", LONG], windows=False, budget=None)
    read = list(plan.readings(range(2)))
    assert [(r.place, r.tokens) for r in read] == list(
        enumerate(tokenizer.pair("the tower", passage) for passage in ("rain", LONG))
    )
