"""sagedaily: a canon of cards, planets, signs and aspects that grounds each reading."""

from pathlib import Path

from overfetch import Collection, FieldMap, RetrievalSettings, Site
from sagedaily.chunking import CHUNKER, adapt_entry, chunk_entry
from sagedaily.understanding import understand

CANON = Collection(
    name="canon",
    about="Tarot cards, planets, signs, houses and aspects, in classical works: what grounds a reading.",
    sample=Path(__file__).parent / "samples" / "canon.jsonl",
    judged=Path(__file__).parent / "judged" / "canon",
    refusals=Path(__file__).parent / "refusals" / "canon.json",
    fields=FieldMap(
        metadata=("kind", "subject", "orientation", "work", "suit", "subjects", "sole", "authors", "license", "sample")
    ),
    adapt=adapt_entry,
    chunk=chunk_entry,
    chunker=CHUNKER,
    filters={
        "kind": "keyword",
        "subject": "keyword",
        "orientation": "keyword",
        "work": "keyword",
        "suit": "keyword",
        # What an entry is about: all of it, and the one subject of an entry that has no other; what a passage names.
        "subjects": "keyword",
        "sole": "keyword",
        "mentions": "keyword",
        "authors": "keyword",
    },
    # A reading is asked with its parts, one for each card or transit: `--part "The Tower, reversed"`.
    understand=understand,
    answering="sagedaily.answering:answer_canon",
    # Low volume, high stakes: 3 to 5 passages ground each part of a reading.
    # A spread shares 60 pairs among its parts; of the entries on a card, authors take turns.
    retrieval=RetrievalSettings(top_k=20, top_n=4, pairs=60, balance="work"),
)

SITE = Site(name="sagedaily", title="Sage Daily", collections=(CANON,), ask="canon")

__all__ = ["SITE"]
