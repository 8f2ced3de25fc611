"""Test collections in BEIR layout (Thakur et al. 2021, arXiv 2104.08663), each a site of its own."""

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

from overfetch.corpus import FieldMap
from overfetch.engine import Engine
from overfetch.environment import read_environment
from overfetch.judged import existing
from overfetch.provenance import SCHEMA_VERSION
from overfetch.settings import RetrievalSettings
from overfetch.sites import Collection, Site
from overfetch.types import Chunk, Document, Report
from overfetch.workspace import Workspace

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


def open_test_workspace(profile: str | None, report: Report = lambda message: None) -> Workspace:
    """Over a store of its own in the cache: test collections are indexed once per corpus and embedder."""
    environment = read_environment()
    embedder = environment.pair(profile).embedder
    made = f"{embedder.name}-{embedder.revision[:12]}-{embedder.precision}-schema{SCHEMA_VERSION}"
    own = environment.model_copy(update={"qdrant": f"file:{environment.cache / 'evaluations' / made}"})
    return Workspace(own, report=report)


def open_test_collection(folder: Path, *, profile: str | None = None) -> Engine:
    """A folder in BEIR layout as a site of one collection. Raises CorpusError and SettingsError."""
    return open_test_workspace(profile).site(as_site(folder), profile=profile)
