"""Test collections in BEIR layout (Thakur et al. 2021, arXiv 2104.08663), each a site of its own."""

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

from overfetch.corpus import FieldMap
from overfetch.judged import existing
from overfetch.settings import RetrievalSettings
from overfetch.sites import Collection, Site
from overfetch.types import Chunk, Document

DEPTH = 20


def as_site(folder: Path) -> Site:
    """A site of one collection over the folder's corpus: one passage a document, its title the breadcrumb."""
    corpus = existing(folder, "corpus.jsonl").resolve()
    place = hashlib.sha256(str(corpus).encode()).hexdigest()[:8]  # two corpora of one name stay apart
    name = f"c-{re.sub(r'[^a-z0-9_-]', '-', corpus.parent.name.lower())}-{place}"
    collection = Collection(
        name=name,
        sample=corpus,
        chunk=whole,
        chunker="whole-document-1",
        answering="",
        fields=FieldMap(metadata={}, optional=("title", "text")),
        retrieval=RetrievalSettings(top_k=DEPTH, top_n=DEPTH),
    )
    return Site(name="evaluation", title=folder.name, collections=(collection,), ask=name)


def whole(document: Document) -> Iterable[Chunk]:
    """The document as one passage, as published figures read it."""
    yield Chunk(breadcrumb=document.title, text=document.text)
