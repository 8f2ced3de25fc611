"""How questions about cards and charts are read, and what that finds in the sample and in the real canon."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from overfetch import AnyOf, Document, Engine, Environment, Understood, load_site, open_site
from overfetch.models import find_profile
from overfetch.refusing import RefusalRules
from overfetch.stores.edge import EdgeStore
from overfetch.testing import FakeEmbedder, FakeReranker
from sagedaily.chunking import adapt_entry, chunk_entry
from sagedaily.understanding import orientation_in, understand

CORPUS = Path(__file__).parents[3] / "shared/data/corpora/tarot-astrology/corpus.jsonl"
TODAY = date(2026, 1, 1)


def read(question: str) -> Understood:
    return understand(question, TODAY)


def leading(question: str) -> list[str]:
    """What leads by itself, in its order."""
    focuses = [focus for focus in read(question).focuses if focus.leads]
    own = [c for focus in focuses for c in focus.conditions if isinstance(c, AnyOf) and c.field == "sole"]
    return ["|".join(condition.values) for condition in own]


@pytest.mark.parametrize(
    ("question", "card"),
    [
        ("XIII Death in a love reading", "Death"),
        ("what does Popess mean", "The High Priestess"),
        ("arcanum 0", "The Fool"),
        ("the thirteenth trump", "Death"),
        ("Knave of Disks", "Page of Pentacles"),
        ("page of coins", "Page of Pentacles"),
        ("10 of cups", "Ten of Cups"),
        ("X of goblets", "Ten of Cups"),
        ("ten Cups", "Ten of Cups"),
        ("as de bâton", "Ace of Wands"),
        ("Königin der Schwerter", "Queen of Swords"),
        ("cavallo... no, cavaliere di coppe", "Knight of Cups"),
        ("The Last Judgment", "Judgement"),
        ("Fortitude", "Strength"),
        ("la maison dieu", "The Tower"),
        ("I pulled the tower for my new job, and I wonder about the strength I need", "The Tower"),
        ("Card: The Sun. Position: outcome.", "The Sun"),
        ("I always get The Emperor when I ask about my father", "The Emperor"),
        ("hangd... the hanged man asks me to wait", "The Hanged Man"),
        ("herimt card", "The Hermit"),
        ("judgemnt", "Judgement"),
        ("number 15 in tarot", "The Devil"),
        ("tower love", "The Tower"),
        ("does death mean a breakup", "Death"),
        ("temperence crad", "Temperance"),
        ("10 of pents", "Ten of Pentacles"),
        ("3oS", "Three of Swords"),
        ("Q of C", "Queen of Cups"),
        ("KoW as a person", "King of Wands"),
        ("sei di coppe", "Six of Cups"),
        ("zwei der Kelche", "Two of Cups"),
        ("siete de espadas", "Seven of Swords"),
    ],
)
def test_a_card_is_known_by_all_its_names(question: str, card: str) -> None:
    assert leading(question) == [f"card:{card}"]


@pytest.mark.parametrize(
    ("question", "subjects"),
    [
        ("moon in Scorpio personality", ["planet:Moon", "sign:Scorpio"]),
        ("☽ in ♏", ["planet:Moon", "sign:Scorpio"]),
        ("Mars in the seventh house marriage", ["planet:Mars", "house:7"]),
        ("Mars in my 7th", ["planet:Mars", "house:7"]),
        ("VII house", ["house:7"]),
        ("Saturn opposing my natal Sun", ["aspect:Opposition", "planet:Saturn", "planet:Sun"]),
        ("hard aspect of the moon to Saturn", ["aspect:Opposition|aspect:Square", "planet:Moon", "planet:Saturn"]),
        ("emperor or king of wands", ["card:The Emperor", "card:King of Wands"]),
        ("the sun and the moon in a yes no reading", ["card:The Sun", "card:The Moon"]),
        ("my moon", ["planet:Moon"]),
        ("saturn in the twelfth", ["planet:Saturn", "house:12"]),
        ("venus sq pluto", ["aspect:Square", "planet:Venus", "planet:Pluto"]),
        ("trine vs sextile", ["aspect:Trine", "aspect:Sextile"]),
        ("13th house", ["house:13"]),
        ("rahu", ["indian planet:North Node"]),
        ("suit of rods", ["suit:Wands"]),
        ("I got only swords in my reading", ["suit:Swords"]),
        ("a spread full of cups", ["suit:Cups"]),
        ("venus career", ["planet:Venus"]),
        (
            "My Sun's in Leo, Moon's in Pisces and I've Scorpio rising",
            ["planet:Sun", "sign:Leo", "planet:Moon", "sign:Pisces", "sign:Scorpio", "house:1"],
        ),
        (
            "saturn in 1st house square mars in 10th",
            ["aspect:Square", "planet:Saturn", "house:1", "planet:Mars", "house:10"],
        ),
        (
            "fool, magician, empress, death, tower",
            ["card:The Fool", "card:The Magician", "card:The Empress", "card:Death", "card:The Tower"],
        ),
        ("Past: Death. Present: Tower. Future: Star", ["card:Death", "card:The Tower", "card:The Star"]),
        ("Leo rising", ["sign:Leo", "house:1"]),
        ("Mars in Taurus in the 8th", ["planet:Mars", "sign:Taurus", "house:8"]),
        ("mercury rx in my 10th", ["planet:Mercury", "house:10"]),
        ("Merc in Sag", ["planet:Mercury", "sign:Sagittarius"]),
        ("NN in Cap", ["planet:North Node", "sign:Capricorn"]),
        ("sun 5H", ["planet:Sun", "house:5"]),
        ("moon H9", ["planet:Moon", "house:9"]),
        ("full moon in scorpio", ["planet:Moon", "sign:Scorpio"]),
        ("moon nakshatra pushya", ["indian planet:Moon", "indian nakshatra:Pushya"]),
        ("rahu in leo in the 7th house", ["indian planet:North Node", "indian sign:Leo", "house:7"]),
    ],
)
def test_what_is_composed_has_each_of_its_parts(question: str, subjects: list[str]) -> None:
    assert leading(question) == subjects


@pytest.mark.parametrize(
    "question",
    [
        "should I go back to my ex",
        "people living on the moon, and what the newspapers of the day said of it",
        "the death of the king and the justice of his successor in the eyes of the church",
        "all the world was at war",
        "did the Emperor Julian persecute the sorcerers of his time",
        "what do we read in Levi of the Devil and of his pacts",
        "what does Levi say about the tower of Babel and its builders",
        "a star sign that keeps its secrets for years",
        "falling to pieces because of a long and unhappy marriage",
        "the mercury and the sulphur of which all the metals consist",
        "in the 7th century the church",
        "three swords were hung above his head by those barbarians",
        "earth triplicity taurus virgo capricorn",
        "sun, moon, mars, mercury, jupiter, venus and saturn as metals",
        "moon hoax",
        "rings of saturn",
        "transit of venus",
        "exaltation of saturn",
        "which sign is the Sun exalted in",
        "the universe is mental",
        "death penalty for sorcerers",
        "Simon Magus flight and fall",
        "Albertus Magnus",
        "the legend of pope joan in the middle ages",
        "Cap in hand",
        "he sat in a cap and gown",
        "a cupboard full of cups",
        "a full moon in June",
    ],
)
def test_everyday_words_lead_nowhere(question: str) -> None:
    assert leading(question) == []


@pytest.mark.parametrize(
    ("query", "orientation"),
    [
        ("The Tower, reversed", "reversed"),
        ("is a reversed knight of cups lying to me", "reversed"),
        ("chariot upside down", "reversed"),
        ("five of coins - ill-dignified", "reversed"),
        ("star rx losing faith", "reversed"),
        ("mercury rx", "retrograde"),
        ("Mercury, direct", "direct"),
        ("the fool upright in love", "upright"),
        ("the fool upright or reversed", None),
        ("the star reversed and the world as the outcome", None),
        ("I took the direct train and met the fool", None),
        ("how do I read reversed cards", None),
        ("the queen of cups", None),
        ("tower not reversed", None),
        ("the tower isn't reversed", None),
        ("la papesse renversée", "reversed"),
        ("el loco invertido", "reversed"),
        ("Ace of Cups, Tower, reversed", None),
    ],
)
def test_the_orientation_is_that_of_what_is_named(query: str, orientation: str | None) -> None:
    assert orientation_in(query) == orientation
    way = AnyOf(field="orientation", values=(str(orientation), "any"))
    understood = read(query)
    leads = [focus.conditions for focus in understood.focuses if focus.leads]
    assert all((way in conditions) == (orientation is not None) for conditions in leads)
    assert understood.conditions == ((way,) if ", " in query and orientation else ())


@pytest.mark.parametrize(
    ("query", "ways"),
    [
        ("Tower upright and Ace of Cups reversed", ["upright", "reversed"]),
        ("Queen of Pentacles, Knight of Wands rx, The Sun", [None, "reversed", None]),
        ("past: 5 of cups, present: the star, future: 10 of pents rx", [None, None, "reversed"]),
        ("reversed ace of cups, the tower", ["reversed", None]),
        ("mercury rx and venus direct", ["retrograde", "direct"]),
        ("Ace of Cups, Tower, reversed", [None, "reversed"]),
    ],
)
def test_each_of_several_cards_has_the_orientation_that_is_said_of_it(query: str, ways: list[str | None]) -> None:
    own = [{c.field: c.values[0] for c in f.conditions if isinstance(c, AnyOf)} for f in read(query).focuses if f.leads]
    assert [each.get("orientation") for each in own if "sole" in each] == ways
    assert read(query).conditions == ()


@pytest.mark.parametrize(
    ("question", "beside"),
    [
        ("la papesse", " (The High Priestess)"),
        ("the high priestess", ""),
        ("Merc in Sag", " (Mercury, Sagittarius)"),
        ("10 of pentacles rx", " (Ten of Pentacles, reversed)"),
        ("the tower, ill dignified", " (reversed)"),
        ("the tower reversed", ""),
        ("pope Sylvester and the bronze head", ""),
        ("great moon hoax bat people 1835", ""),
    ],
)
def test_the_words_of_the_books_are_said_beside_those_of_the_question(question: str, beside: str) -> None:
    assert read(question).text == question + beside


def test_what_names_nothing_is_left_as_it_is() -> None:
    assert read("what is lost at dawn") == Understood(text="what is lost at dawn")


def test_a_question_may_name_a_whole_deck() -> None:
    understood = read(", ".join(f"{rank} of {suit}" for suit in ("cups", "wands", "swords") for rank in range(1, 15)))
    assert len(understood.named) == 32


def test_a_book_is_asked_first() -> None:
    focuses = read("what does Ptolemy say about Pluto").focuses
    assert AnyOf(field="authors", values=("Ptolemy",)) in focuses[0].conditions
    assert missing("what does Ptolemy say about Pluto") == ["Pluto in Ptolemy", "nothing by Ptolemy"]
    assert missing("rider waite deck, the tower") == ["The Tower"]


def missing(question: str, *, among: bool = False) -> list[str]:
    """What is said not to be there, if the store has none of it: of any, or only of many passages."""
    return [focus.missing for focus in read(question).focuses if focus.missing and bool(focus.among) is among]


@pytest.mark.parametrize(
    ("question", "told"),
    [
        ("Liz Greene on Saturn", "nothing by Liz Greene"),
        ("what did Blavatsky write on the moon", "nothing by 'blavatsky'"),
        ("according to Regulus, what is Leo", "nothing by 'regulus'"),
        ("the queen of moons", "Queen of Moons"),
        ("trump XXVII", "Trump 27"),
        ("sixth position of the celtic cross", "spreads"),
        ("my heart line is broken", "palmistry"),
        ("when does the next mercury retrograde begin", "an ephemeris"),
        ("moon in the thirteenth house", "house 13"),
    ],
)
def test_kinds_that_a_canon_need_not_have(question: str, told: str) -> None:
    assert told in missing(question)


@pytest.mark.parametrize("question", ["what do they say on the stars", "according to the books, what is lost at dawn"])
def test_nobody_in_particular_is_no_author(question: str) -> None:
    assert missing(question) == []


def test_a_long_text_is_read_at_once_and_only_at_its_beginning() -> None:
    assert read("the tower " * 3_000).focuses == read("the tower").focuses


@pytest.mark.parametrize("subject", ["ten of pentacles", "XXI"])
def test_reading_is_deterministic(subject: str) -> None:
    assert read(subject) == read(subject)


def test_meanings_that_the_text_does_not_have_are_added() -> None:
    record = adapt_entry({"title": "Death", "text": "A horseman.", "meaning_up": "End.", "meaning_rev": "Sleep."})
    assert record["text"] == "A horseman.\nDivinatory meaning (upright): End.\nReversed: Sleep."
    assert adapt_entry({**record, "meaning_up": "End."})["text"] == record["text"]


@pytest.fixture(scope="module")
def sample(samples: Environment) -> Iterator[Engine]:
    with open_site("sagedaily", environment=samples) as opened:
        yield opened


@pytest.mark.slow
@pytest.mark.parametrize(
    ("query", "subjects"),
    [
        ("XIII in a love reading", ["The Tower"]),
        ("Popess", ["The High Priestess"]),
        ("Saturn square Moon", ["Saturn square Moon"]),
        ("moon in scorpio", ["Moon", "Scorpio"]),
        ("Jupiter moving through my seventh house", ["Jupiter through the Seventh House", "Jupiter", "Seventh House"]),
    ],
)
def test_the_sample_has_what_is_named_first(sample: Engine, query: str, subjects: list[str]) -> None:
    if query.startswith("XIII"):
        subjects = ["Death"]
    hits = sample.search("canon", query, top_n=5).hits
    found = [hit.passage.metadata["subject"] for hit in hits]
    assert found[0] == subjects[0]
    assert {*subjects} <= {*found}


@pytest.mark.slow
def test_what_the_canon_does_not_have_is_said(sample: Engine) -> None:
    """Names of the field that no entry has: the store finds out."""
    for query, missing in (("the Fool of Cups", "The Fool of Cups"), ("Ophiuchus", "Ophiuchus")):
        answer = sample.ask(query)
        assert not answer.found
        assert missing in answer.answer
    assert sample.ask("The Fool").found


@pytest.mark.slow
def test_a_reading_keeps_no_passage_twice_and_respects_each_orientation(sample: Engine) -> None:
    drawn = ["The Tower, reversed", "The Star, upright", "Three of Swords, reversed", "Saturn square Moon"]
    answer = sample.ask("Should I change my job?", parts=drawn)
    passages = [hit.passage for retrieval in answer.retrievals for hit in retrieval.hits]
    assert len({passage.id for passage in passages}) == len(passages)
    for part, retrieval in zip(drawn, answer.retrievals, strict=True):
        wanted = {part.rpartition(", ")[2], "any"} if "," in part else {"any"}
        assert {str(hit.passage.metadata["orientation"]) for hit in retrieval.hits[:2]} <= wanted
        assert retrieval.hits[0].passage.title.startswith(part.partition(",")[0])


there = pytest.mark.skipif(not CORPUS.exists(), reason=f"needs {CORPUS}, which users do not have")


@pytest.fixture(scope="module")
def canon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """Real BM25, no model: what leads needs none. All that tells of cards, and each fourth of the long other texts."""
    folder = tmp_path_factory.mktemp("real")
    lines = CORPUS.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [line for number, line in enumerate(lines) if '"kind": "astrology-text"' not in line or number % 4 == 0]
    (folder / CORPUS.name).write_text("".join(kept), encoding="utf-8")
    store = EdgeStore(folder / "store")
    engine = Engine(load_site("sagedaily"), embedder=FakeEmbedder(), reranker=FakeReranker(), store=store)
    engine.index("canon", folder / CORPUS.name)
    yield engine
    engine.close()


@there
@pytest.mark.real_data
@pytest.mark.slow
def test_every_card_leads_with_all_three_authors(canon: Engine) -> None:
    for document in load_site("sagedaily").collection("canon").read(CORPUS):
        if document.metadata["kind"] == "tarot-card":
            hits = canon.search("canon", f"{document.title}, reversed", top_n=5).hits
            assert all(hit.passage.metadata["sole"] == document.metadata["sole"] for hit in hits[:4]), document.id
            assert len({hit.passage.metadata["work"] for hit in hits[:3]}) == 3
            assert {hit.passage.metadata["orientation"] for hit in hits} <= {"reversed", "any"}
            assert "reversed" in {hit.passage.metadata["orientation"] for hit in hits}


@there
@pytest.mark.real_data
@pytest.mark.slow
def test_a_spread_of_twelve_reads_each_of_its_parts(canon: Engine) -> None:
    drawn = {
        "XIII": "Death",
        "la papesse": "The High Priestess",
        "Knave of Coins": "Page of Pentacles",
        "10 of rods": "Ten of Wands",
        "The Sun, reversed": "The Sun",
        "the fool": "The Fool",
        "II of swords": "Two of Swords",
    }
    transits = ["Saturn square Moon", "Mars in the 7th house", "Venus in Leo", "Pluto", "north node"]
    answer = canon.ask("Should I move?", parts=[*drawn, *transits])
    passages = [hit.passage.id for retrieval in answer.retrievals for hit in retrieval.hits]
    assert len(passages) == len(set(passages)) == 12 * 4
    for name, retrieval in zip(drawn.values(), answer.retrievals, strict=False):
        assert {hit.passage.metadata.get("sole") for hit in retrieval.hits} == {f"card:{name}"}


def test_the_rule_that_ships_is_of_what_ships() -> None:
    """Other settings, another chunker or model: `overfetch eval sagedaily/canon --fit-refusals` makes a new one."""
    canon = load_site("sagedaily").collection("canon")
    assert canon.refusals is not None
    (rule,) = RefusalRules.read(canon.refusals).rules
    mini = find_profile("mini")
    assert rule.holds_under(canon.retrieval)
    assert rule.made_by["chunker"] == canon.chunker
    assert (rule.made_by["embedder"], rule.made_by["reranker"]) == (mini.embedder.identity, mini.reranker.identity)
    assert rule.fitted_on.wrongly <= 0.05


def test_rare_words_of_a_short_question_can_be_missing_among_many_passages() -> None:
    assert missing("moldavite and the moon", among=True) == ["nothing on 'moldavite'"]
    story = "two of coins, I have two jobs and a toddler and an evening course and should I drop something"
    assert missing(story, among=True) == []
    assert missing("König der Münzen", among=True) == []
    assert missing("QoC, 10 of pents and Merc in Sag", among=True) == []


def test_who_translated_a_book_did_not_write_it() -> None:
    work = "Eliphas Levi, The History of Magic, tr. A. E. Waite (1913)"
    assert adapt_entry({"_id": "l", "title": "Magic", "text": "It is.", "work": work})["authors"] == ["Levi"]


def test_a_books_index_is_no_passage() -> None:
    index = " ".join(f"Mercury, {page}; Hymn of Mercury, {page + 1};" for page in range(10, 20))
    entries = [Document(id=str(n), title="Magic", text=text, metadata={}) for n, text in enumerate((index, "It is."))]
    assert [chunk.text for entry in entries for chunk in chunk_entry(entry)] == ["It is."]


@pytest.mark.parametrize(
    "text",
    [
        "Ace—joy; Two—love; Three—plenty; Four—weariness; Five—loss; Six—memory; Seven—dream; Eight—leaving; Nine—wish",
        "§ 12 says that Mars is hot. § 13 says that Venus is cold. § 14 says no more. § 15 ends.",
        "He had 12 of them, 34 books, 45 pupils, 7 signs, 8 decans, 9 stars, 10 houses, 11 lots, 12 terms, 13 faces",
    ],
)
def test_what_only_looks_like_an_index_is_one_passage(text: str) -> None:
    assert [chunk.text for chunk in chunk_entry(Document(id="x", title="Cards", text=text, metadata={}))] == [text]
