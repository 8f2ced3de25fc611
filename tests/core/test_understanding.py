"""How what was read into a question reaches both stages: lists of their own, bounds that are given up, what leads."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from overfetch import AnyOf, Focus, SiteError, Understood, absence, literally
from overfetch.corpus import FieldMap
from overfetch.engine import Engine
from overfetch.filters import Condition, DateRange, FieldKind, FullText, NumberRange, parse_condition, spell_condition
from overfetch.first_stage import Ranked, fuse_by_rank, in_turns, search_understood
from overfetch.protocols import Found
from overfetch.settings import RetrievalSettings
from overfetch.sites import Collection, Site
from overfetch.testing import FakeEmbedder, FakeReranker, FakeStore, open_fake
from overfetch.types import Candidate, Chunk, Document, Passage
from overfetch.understanding import Understand

CARDS = """{"_id": "tower", "title": "The Tower", "text": "It falls in love and in work.", "name": "tower"}
{"_id": "death", "title": "Death", "text": "An end.", "name": "death"}
{"_id": "levi", "title": "Magic", "text": "The death card in a love reading is often feared.", "name": "essay"}
{"_id": "moon", "title": "The Moon", "text": "A dream of love, a reading of the night.", "name": "moon"}
"""
DAYS = {"tower": "2024-01-01", "death": "2024-01-02", "levi": "2024-01-03", "moon": "2024-01-04"}
FILTERS: dict[str, FieldKind] = {"name": "keyword"}
MISSPELT = AnyOf(field="nmae", values=("moon",))


def whole(document: Document) -> list[Chunk]:
    return [Chunk(breadcrumb=document.title, text=document.text)]


def opened(
    folder: Path,
    understand: Understand = literally,
    *,
    store: FakeStore | None = None,
    filters: dict[str, FieldKind] = FILTERS,
    known_at: str | None = None,
) -> Engine:
    (folder / "cards.jsonl").write_text(CARDS, encoding="utf-8")
    cards = Collection(
        name="cards",
        sample=folder / "cards.jsonl",
        chunk=whole,
        chunker="whole/1",
        answering="",
        fields=FieldMap(metadata={"name": ("name",), "known": ("known",)}),
        adapt=lambda record: {**record, "known": DAYS[record["_id"]]},
        filters=filters,
        known_at=known_at,
        understand=understand,
    )
    site = Site(name="deck", title="Deck", collections=(cards,), ask="cards")
    return Engine(site, embedder=FakeEmbedder(), reranker=FakeReranker(), store=store or FakeStore())


def indexed(folder: Path, understood: Understood) -> Engine:
    engine = opened(folder, lambda question, day: understood)
    engine.index("cards")
    return engine


def found(engine: Engine, query: str = "XIII in a love reading", **options: bool) -> list[str]:
    literal = options.get("literal", False)
    hits = engine.search("cards", query, literal=literal, rerank=options.get("rerank", False)).hits
    return [hit.passage.document_id for hit in hits]


def named(*names: str) -> AnyOf:
    return AnyOf(field="name", values=names)


def test_what_leads_comes_first_whatever_the_second_stage_reads(tmp_path: Path) -> None:
    understood = Understood(text="XIII in a love reading", focuses=(Focus(conditions=(named("death"),), leads=True),))
    engine = indexed(tmp_path, understood)
    assert found(engine, rerank=True, literal=True)[0] != "death"
    assert found(engine)[0] == "death"
    reranked = found(engine, rerank=True)
    assert reranked[0] == "death"
    assert len(reranked) > 1  # the rest is still there


def test_what_leads_by_more_comes_first(tmp_path: Path) -> None:
    def led(first: int, second: int) -> Understood:
        focuses = (Focus(conditions=(named("death"),), leads=first), Focus(conditions=(named("tower"),), leads=second))
        return Understood(text="a dream of love", focuses=focuses)

    for rerank in (True, False):
        assert found(indexed(tmp_path, led(2, 1)), rerank=rerank)[:2] == ["death", "tower"]
        assert found(indexed(tmp_path, led(1, 2)), rerank=rerank)[:2] == ["tower", "death"]


def test_of_several_that_lead_each_has_its_turn() -> None:
    """The focuses found ABC and CD; E and F are the question's own."""
    leading = dict(zip("ABCD", ([0], [0], [0, 1], [1]), strict=True))
    passages = [passage(name) for name in "EABFCD"]
    leads = {one.id: leading[one.document_id] for one in passages if one.document_id in leading}
    ordered = [passages[place].document_id for place in in_turns(passages, leads)]
    assert ordered == [*"ACBD", *"EF"]


def test_of_what_one_focus_found_authors_take_turns() -> None:
    passages = [passage(name, author) for name, author in zip("ABCDE", "xxyxz", strict=True)]
    leads = {one.id: [0] for one in passages}
    assert in_turns(passages, leads) == [0, 1, 2, 3, 4]
    assert in_turns(passages, leads, "author") == [0, 2, 4, 1, 3]
    assert in_turns(passages, {}, "author") == [0, 1, 2, 3, 4]


def test_both_stages_keep_the_turns(tmp_path: Path) -> None:
    focuses = tuple(Focus(conditions=(named(name),), leads=True) for name in ("moon", "death"))
    engine = indexed(tmp_path, Understood(text="love reading", focuses=focuses))
    for rerank in (False, True):
        assert found(engine, rerank=rerank)[:2] == ["moon", "death"]
    assert [hit.passage.document_id for hit in engine.search("cards", "love", top_k=2, top_n=2).hits] == [
        "moon",
        "death",
    ]


def test_a_focus_of_weight_raises_without_leading(tmp_path: Path) -> None:
    light = Understood(text="love reading", focuses=(Focus(conditions=(named("death"),), weight=0.001),))
    heavy = Understood(text="love reading", focuses=(Focus(conditions=(named("death"),), weight=5),))
    assert found(indexed(tmp_path, light))[0] != "death"
    assert found(indexed(tmp_path, heavy))[0] == "death"


def test_a_focus_looks_by_its_own_words(tmp_path: Path) -> None:
    understood = Understood(text="qqq", focuses=(Focus(text="An end", weight=2),))
    assert found(indexed(tmp_path, understood), "qqq")[0] == "death"


def test_conditions_bound_what_is_searched(tmp_path: Path) -> None:
    understood = Understood(text="love", conditions=(named("moon", "tower"),), notes=("the moon or the tower",))
    engine = indexed(tmp_path, understood)
    retrieval = engine.search("cards", "love?")
    assert {hit.passage.document_id for hit in retrieval.hits} == {"moon", "tower"}
    assert retrieval.understood is not None
    assert retrieval.understood.conditions == ("name=moon|tower",)
    assert retrieval.understood.notes == ("the moon or the tower",)
    assert not retrieval.understood.given_up


def test_conditions_that_nothing_meets_are_given_up(tmp_path: Path) -> None:
    engine = indexed(tmp_path, Understood(text="love", conditions=(named("nobody"),)))
    retrieval = engine.search("cards", "love")
    assert retrieval.hits
    assert retrieval.understood is not None
    assert retrieval.understood.given_up


def test_the_users_own_conditions_are_never_given_up(tmp_path: Path) -> None:
    engine = indexed(tmp_path, Understood(text="love", conditions=(named("nobody"),)))
    assert engine.search("cards", "love", where=["name=none"]).hits == ()
    kept = engine.search("cards", "love", where=["name=moon"])
    assert [hit.passage.document_id for hit in kept.hits] == ["moon"]


def test_a_focus_stays_within_the_users_conditions(tmp_path: Path) -> None:
    understood = Understood(text="love", focuses=(Focus(conditions=(named("death"),), leads=True),))
    hits = indexed(tmp_path, understood).search("cards", "love", where=["name=moon"]).hits
    assert [hit.passage.document_id for hit in hits] == ["moon"]


def test_literally_nothing_is_read_into_the_question(tmp_path: Path) -> None:
    engine = indexed(tmp_path, Understood(text="other words", conditions=(named("moon"),)))
    retrieval = engine.search("cards", "love", literal=True)
    assert retrieval.understood is None
    assert len(retrieval.hits) > 1


def test_what_is_not_there_is_named_and_not_answered(tmp_path: Path) -> None:
    understood = Understood(text="the Fool", focuses=(Focus(conditions=(named("fool"),), missing="no card 'Fool'"),))
    engine = indexed(tmp_path, understood)
    retrieval = engine.search("cards", "the Fool")
    assert retrieval.understood is not None
    assert retrieval.understood.missing == ("no card 'Fool'",)
    answer = engine.ask("the Fool")
    assert not answer.found
    assert not answer.citations
    assert answer.answer == "Not in the sources: no card 'Fool'."


def test_what_is_found_one_way_is_not_missing(tmp_path: Path) -> None:
    by_name = Focus(conditions=(named("joker"),), missing="no 'joker'")
    for word, missing in (("feared", ()), ("joker", ("no 'joker'",))):
        by_word = Focus(text=word, worded=True, missing="no 'joker'")
        understood = (
            indexed(tmp_path, Understood(text="joker", focuses=(by_name, by_word))).search("cards", "joker").understood
        )
        assert understood is not None
        assert understood.missing == missing


@pytest.mark.parametrize(
    ("asked", "missing"),
    [
        ("towwer", ()),
        ("lvoe", ()),
        ("oftenfeared", ()),  # run together
        ("because", ()),  # of stop words nobody can tell
        ("hierophant", ("no 'hierophant'",)),
    ],
)
def test_a_word_much_like_one_of_what_is_found_is_not_missing(
    asked: str, missing: tuple[str, ...], tmp_path: Path
) -> None:
    engine = indexed(tmp_path, Understood(text=asked, focuses=(absence(f"no '{asked}'", words=asked),)))
    understood = engine.search("cards", asked).understood
    assert understood is not None
    assert understood.missing == missing


class Counting(FakeStore):
    """Counts its searches."""

    searches = 0

    def search(self, *asked: Any, **options: Any) -> Found:
        self.searches += 1
        return super().search(*asked, **options)


@pytest.mark.parametrize(("word", "searches"), [("feared", 1), ("joker", 2)])
def test_whether_a_word_is_there_is_asked_only_where_no_hit_has_it(word: str, searches: int, tmp_path: Path) -> None:
    reads = Understood(text="a love reading", focuses=(absence(f"no {word}", words=word),))
    store = Counting()
    engine = opened(tmp_path, lambda question, day: reads, store=store)
    engine.index("cards")
    store.searches = 0
    understood = engine.search("cards", "a love reading").understood
    assert understood is not None
    assert (store.searches, understood.missing) == (searches, () if word == "feared" else ("no joker",))


def test_what_is_found_one_way_is_not_looked_for_the_other(tmp_path: Path) -> None:
    both = (absence("no moon", words="moon"), absence("no moon", named("moon")))
    store = Counting()
    engine = opened(tmp_path, lambda question, day: Understood(text="night", focuses=both), store=store)
    engine.index("cards")
    store.searches = 0
    assert engine.search("cards", "night").hits
    assert store.searches == 1


@pytest.mark.parametrize(("among", "missing"), [(0, ("no joker",)), (4, ("no joker",)), (5, ())])
def test_few_passages_lack_words_that_they_need_not_have(among: int, missing: tuple[str, ...], tmp_path: Path) -> None:
    reads = Understood(text="love", focuses=(absence("no joker", words="joker", among=among),))
    understood = indexed(tmp_path, reads).search("cards", "love").understood
    assert (understood.missing if understood else ()) == missing


def test_of_a_part_of_the_passages_few_have_a_word(tmp_path: Path) -> None:
    focuses = (absence("no joker", words="joker", among=4),)
    reads = Understood(text="love", focuses=focuses)
    within = indexed(tmp_path, reads).search("cards", "love", where=["name=moon"]).understood
    assert (within.missing if within else ()) == ()
    bound = indexed(tmp_path, Understood(text="love", conditions=(named("moon"),), focuses=focuses))
    understood = bound.search("cards", "love").understood
    assert understood is not None
    assert understood.missing == ()


def test_a_stop_word_beside_it_is_not_the_word(tmp_path: Path) -> None:
    reads = Understood(text="a love reading", focuses=(absence("no joker", words="joker in the"),))
    understood = indexed(tmp_path, reads).search("cards", "a love reading").understood
    assert understood is not None
    assert understood.missing == ("no joker",)


@pytest.mark.parametrize(("word", "first"), [("feared", "levi"), ("faered", "moon")])
def test_what_is_meant_unless_a_passage_has_the_word(word: str, first: str, tmp_path: Path) -> None:
    near = Focus(conditions=(named("moon"),), leads=1, unless=word)
    assert found(indexed(tmp_path, Understood(text="the feared death card", focuses=(near,))))[0] == first


@pytest.mark.parametrize(
    ("having", "top_k", "words", "read"),
    [(1, 20, 1, 1), (5, 20, 1, 5), (6, 20, 1, 0), (2, 20, 8, 4), (1, 5, 1, 1), (2, 5, 1, 0)],
)
def test_the_few_that_have_a_rare_word_are_read(having: int, top_k: int, words: int, read: int) -> None:
    def candidates(kind: str, number: int) -> list[Candidate]:
        documents = [Document(id=f"{kind}{n}", title="", text=kind) for n in range(number)]
        passages = [Passage.of(document, 0, Chunk(breadcrumb="", text=kind)) for document in documents]
        return [Candidate(passage=passage, score=1.0 - n / 100) for n, passage in enumerate(passages)]

    def search(text: str, conditions: Sequence[Condition], *, worded: bool = False) -> Sequence[Candidate]:
        return candidates(text, having) if worded else candidates("love", 30)

    focuses = tuple(absence(f"no joker{n}", words=f"joker{n}") for n in range(words))
    settings = RetrievalSettings(top_k=top_k, top_n=1)
    chosen = search_understood(Understood(text="love", focuses=focuses), search, settings).candidates
    assert len(chosen) == top_k
    assert sum(not candidate.passage.document_id.startswith("love") for candidate in chosen) == read


def test_words_alone_are_not_embedded() -> None:
    read = Understood(text="love", focuses=(Focus(text="moon"), absence("no joker", words="joker")))
    assert read.texts == ["love", "moon", "joker"]
    assert read.embedded == ["love", "moon"]


def test_what_is_told_outright_is_told_alone(tmp_path: Path) -> None:
    focuses = (absence("no joker", words="joker", among=2), absence("nothing that is called 'joker'", named("joker")))
    understood = indexed(tmp_path, Understood(text="love", focuses=focuses)).search("cards", "love").understood
    assert understood is not None
    assert understood.missing == ("nothing that is called 'joker'",)


def test_how_many_passages_there_will_be_is_not_known_before(tmp_path: Path) -> None:
    reads = Understood(text="love", focuses=(absence("no joker", words="joker", among=2),))
    engine = opened(tmp_path, lambda question, day: reads, filters={"known": "date"}, known_at="known")
    engine.index("cards")
    told = [engine.search("cards", "love", as_of=day).understood for day in (None, "2024-01-03")]
    assert [reading.missing if reading else () for reading in told] == [("no joker",), ()]


def test_a_worded_focus_finds_only_what_has_its_words(tmp_path: Path) -> None:
    understood = Understood(
        text="qqq", focuses=(Focus(text="feared", worded=True, leads=1), Focus(text="zzz", worded=True))
    )
    assert found(indexed(tmp_path, understood), "qqq")[0] == "levi"


def test_what_was_indexed_before_a_field_was_declared_is_searched_without_it(tmp_path: Path) -> None:
    store = FakeStore()
    opened(tmp_path, store=store, filters={}).index("cards")
    reads = Understood(text="love", conditions=(named("moon"),), focuses=(Focus(conditions=(named("moon"),)),))
    engine = opened(tmp_path, lambda question, day: reads, store=store)
    assert len(found(engine, "love")) > 1


@pytest.mark.parametrize(
    ("reads", "said"),
    [
        (Understood(text="love", conditions=(MISSPELT,)), "unknown filter field 'nmae'.*: name"),
        (Understood(text="love", focuses=(Focus(conditions=(MISSPELT,)),)), "unknown filter field 'nmae'"),
        (Understood(text="love", conditions=(FullText(field="name", words="moon"),)), "field 'name' holds keyword"),
        (None, "gave None, expected an Understood"),
        ("love", "gave 'love', expected an Understood"),
        (ZeroDivisionError("of the site"), "failed with ZeroDivisionError"),
    ],
)
def test_a_reading_that_goes_wrong_is_named(reads: Any, said: str, tmp_path: Path) -> None:
    def understand(question: str, day: date) -> Any:
        if isinstance(reads, Exception):
            raise reads
        return reads

    engine = opened(tmp_path, understand)
    engine.index("cards")
    with pytest.raises(SiteError, match=f"understand of collection 'cards', on 'a love reading': {said}"):
        engine.search("cards", "a love reading")
    assert engine.search("cards", "a love reading", literal=True).hits


def test_the_day_is_that_of_as_of(tmp_path: Path) -> None:
    days: list[date] = []

    def understand(question: str, day: date) -> Understood:
        days.append(day)
        return Understood(text=question)

    catalysts = open_fake_with(understand)
    days.clear()  # the judged queries of the gate
    catalysts.search("catalysts", "what happened last spring", as_of="2025-06-01")
    catalysts.search("catalysts", "what happened last spring")
    assert days == [date(2025, 6, 1), date.today()]


def open_fake_with(understand: Understand) -> Engine:
    from overfetch.sites import load_site

    site = load_site("paiddaily")
    changed = tuple(c.model_copy(update={"understand": understand}) for c in site.collections)
    return open_fake(site.model_copy(update={"collections": changed}))


def test_a_question_embeds_each_text_once() -> None:
    focuses = (Focus(), Focus(text="a"), Focus(text="b"), Focus(text="b"))
    assert Understood(text="a", focuses=focuses).texts == ["a", "b"]


def test_lists_are_fused_by_rank_and_weight() -> None:
    def listed(names: str) -> Sequence[Candidate]:
        return [Candidate(passage=passage(name), score=-place) for place, name in enumerate(names)]

    fused = fuse_by_rank([Ranked(1.0, listed("ab")), Ranked(3.0, listed("bc"))], 60)
    scores = {c.passage.document_id: c.score for c in fused}
    assert scores == pytest.approx({"a": 1 / 60, "b": 1 / 61 + 3 / 60, "c": 3 / 61})


def passage(name: str, author: str = "") -> Passage:
    document = Document(id=name, title=name, text=name, metadata={"author": author})
    return Passage.of(document, 0, Chunk(breadcrumb="", text=name))


@pytest.mark.parametrize(
    "condition",
    [
        AnyOf(field="name", values=("a", "b c")),
        NumberRange(field="size", at_least=1.5),
        NumberRange(field="size", below=3),
        DateRange(field="day", start=datetime(2022, 3, 1, tzinfo=UTC)),
        FullText(field="body", words="two words"),
    ],
)
def test_a_condition_is_spelt_as_it_is_read(condition: Condition) -> None:
    schema: dict[str, FieldKind] = {"name": "keyword", "size": "number", "day": "date", "body": "text"}
    assert parse_condition(spell_condition(condition), schema) == condition


def test_lookups_are_compared_and_not_shown(tmp_path: Path) -> None:
    """What a passage is found by need not be what people see of it."""

    def called(document: Document) -> list[Chunk]:
        return [Chunk(breadcrumb="", text=document.text, lookups={"name": [document.id, "card"]})]

    def named(question: str, _: object) -> Understood:
        return Understood(text=question, conditions=(AnyOf(field="name", values=("tower",)),))

    engine = opened(tmp_path, named)
    cards = engine.site.collections[0].model_copy(update={"chunk": called, "fields": FieldMap(metadata={})})
    engine.site = Site(name="deck", title="Deck", collections=(cards,), ask="cards")
    engine.index("cards")
    (hit,) = engine.search("cards", "an end").hits
    assert hit.passage.document_id == "tower"
    assert hit.passage.metadata == {}
