"""A canon entry is one passage for each way up that it speaks of, or a few where it is long."""

import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping

from overfetch import Chunk, Document, Record, split_by_words, token_counter
from sagedaily.mentions import OF_CHARTS, mentions_in
from sagedaily.understanding import NO_ORIENTATION
from sagedaily.vocabulary import KNOWN, Meaning, words_of

EMBEDDER = "all-minilm-l6-v2"
MAX_TOKENS = 254  # what the embedder reads, but for the two tokens of its own
CHUNKER = f"sagedaily-entry/3/tokens={MAX_TOKENS}"
# How a line of an entry says which way up it speaks of: "Reversed: ...", "Interpretation: Upright, ...".
WAY_UP = re.compile(r"(?:[^:\n]{0,40}:\s)?(?:[^:\n]{0,40}\()?(upright|reversed)\b", re.IGNORECASE)
LABEL = re.compile(r"[A-Z][\w' ]{1,40}: ")
MEANINGS = {"meaning_up": "Divinatory meaning (upright)", "meaning_rev": "Reversed"}


def adapt_entry(record: Record) -> Record:
    """With what the entry is about, by whom, and whatever its text does not say of its two ways up."""
    subjects = subjects_of_entry(record)
    names = [meaning.subject for meaning in subjects]
    return {
        **record,
        **_with_meanings(record),
        "subject": record.get("subject") or record.get("title"),
        "orientation": record.get("orientation") or NO_ORIENTATION,
        "subjects": names,
        "sole": subjects[0].sole if len(subjects) == 1 else None,
        "authors": sorted({meaning.name for meaning in _meant(str(record.get("work") or ""), ("author",))}),
    }


def _with_meanings(record: Record) -> Mapping[str, str]:
    text = str(record.get("text") or "")
    own = {label: str(record[field]) for field, label in MEANINGS.items() if record.get(field)}
    added = [f"{label}: {meaning}" for label, meaning in own.items() if meaning not in text]
    return {"text": "\n".join([text, *added]).strip()} if added else {}


def subjects_of_entry(record: Record) -> list[Meaning]:
    """What its subject and its title, up to a colon, name; nothing of the chapters of a book.

    >>> entry = {"kind": "aspect", "title": "Saturn square Moon: the child", "text": ""}
    >>> [meaning.subject for meaning in subjects_of_entry(entry)]
    ['planet:Saturn', 'aspect:Square', 'planet:Moon']
    """
    entries = KNOWN.table("entries")
    kinds = {str(record.get(field)) for field in ("category", "kind")}
    of_cards = ("card", "suit") if kinds & {*entries["cards"]} else ()
    families = (*of_cards, *(OF_CHARTS if kinds & {*entries["charts"]} else ()))
    title = str(record.get("title") or "").partition(":")[0]
    named = (*_meant(str(record.get("subject") or ""), families), *_meant(title, families))
    return list({meaning.subject: meaning for meaning in reversed(named)}.values())[::-1]


def _meant(text: str, families: Collection[str]) -> list[Meaning]:
    return [m for mention in mentions_in(words_of(text)) for m in mention.meanings if m.family in families]


def chunk_entry(entry: Document, tokens: int = MAX_TOKENS) -> Iterator[Chunk]:
    """Pieces under `TITLE > work`, or `TITLE, reversed > work`.

    >>> text = "It falls.\\nUpright: Ruin.\\nReversed: Relief."
    >>> about = {"work": "Lantern Notes", "orientation": "any", "subjects": ["card:The Tower"]}
    >>> entry = Document(id="t", title="The Tower", text=text, metadata=about)
    >>> [(chunk.breadcrumb, chunk.text) for chunk in chunk_entry(entry)]  # doctest: +NORMALIZE_WHITESPACE
    [('The Tower > Lantern Notes', 'It falls.'), ('The Tower, upright > Lantern Notes', 'Upright: Ruin.'),
     ('The Tower, reversed > Lantern Notes', 'Reversed: Relief.')]
    """
    for way, text in _ways_up(entry).items():
        title = f"{entry.title}, {way}" if way else entry.title
        breadcrumb = " > ".join(str(part) for part in (title, entry.metadata.get("work")) if part)
        size = token_counter(EMBEDDER)
        for piece in split_by_words(text, max(tokens // 3, tokens - size(breadcrumb)), size):
            yield Chunk(breadcrumb=breadcrumb, text=piece, metadata=_metadata(entry, way, piece))


def _ways_up(entry: Document) -> Mapping[str, str]:
    """The text by the way up that its lines say they speak of: what speaks of none in particular, then each."""
    lines = entry.text.split("\n")
    if lines[0].strip() == entry.title and len(lines) > 1:
        lines = lines[1:]  # the breadcrumb says it
    if entry.metadata.get("orientation") != NO_ORIENTATION or not _is_card(entry):
        return {"": "\n".join(lines)}
    found: defaultdict[str, list[str]] = defaultdict(list)
    way = ""
    for line in lines:
        if labelled := WAY_UP.match(line):
            way = labelled[1].lower()
        elif LABEL.match(line):
            way = ""
        found[way].append(line)
    return {way: "\n".join(found[way]) for way in ("", "upright", "reversed") if found[way]}


def _is_card(entry: Document) -> bool:
    return any(subject.startswith("card:") for subject in _strings(entry.metadata.get("subjects")))


def _metadata(entry: Document, way: str, text: str) -> Mapping[str, list[str] | str]:
    """Everything that is named, in the title or in this piece of the text."""
    titles = KNOWN.table("context.titles")
    named = [m.subject for m in _meant(text, (*OF_CHARTS, "card")) if _is_said(m, titles)]
    mentions = sorted({*_strings(entry.metadata.get("subjects")), *named})
    return {"mentions": mentions, **({"orientation": way} if way else {})}


def _is_said(meaning: Meaning, titles: Collection[str]) -> bool:
    """Running text has much strength and death in it, and a Juno who is no asteroid."""
    return not meaning.plain if meaning.family == "card" else meaning.name not in titles


def _strings(value: object) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else []
