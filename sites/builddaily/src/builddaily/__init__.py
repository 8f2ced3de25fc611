"""builddaily: resource pages about developer and AI tools."""

from pathlib import Path

from builddaily.chunking import CHUNKER, chunk_page
from builddaily.understanding import understand
from overfetch import Collection, FieldKind, FieldMap, RetrievalSettings, Site

PAGES = FieldMap(
    id=("_id", "id", "slug"),
    metadata={
        "kind": ("kind",),
        "category": ("category", "repo"),
        "tags": ("tags",),
        "updated": ("updated",),
        "summary": ("summary",),
        "license": ("license",),
        "sample": ("sample",),
        "repo": ("repo",),
        "path": ("path",),
    },
)
FILTERS: dict[str, FieldKind] = {
    "kind": "keyword",
    "category": "keyword",
    "tags": "keyword",
    "updated": "date",
    # Made by the chunker, looked up by `understand`: what a page is called, what a passage defines and mentions.
    "product": "keyword",
    "names": "keyword",
    "defines": "keyword",
    "mentions": "keyword",
}
SAMPLES = Path(__file__).parent / "samples"
JUDGED = Path(__file__).parent / "judged"
# Of the question's own list and those of its names: small enough that names in passing only nudge.
RRF_K = 10

RESOURCES = Collection(
    name="resources",
    about="Pages about developer and AI tools, one result a page: for the exact right page.",
    sample=SAMPLES,
    judged=JUDGED / "resources",
    fields=PAGES,
    chunk=chunk_page,
    chunker=CHUNKER,
    filters=FILTERS,
    understand=understand,
    answering="builddaily.answering:answer_resources",
    # The exact right page must come first: passages of one page collapse to their best, and only that is quoted.
    quoted_hits=1,
    retrieval=RetrievalSettings(top_k=20, top_n=5, one_per_document=True, rrf_k=RRF_K),
)
CHAT = Collection(
    name="chat",
    about="The same pages, passage by passage: for what grounds an answer about a tool.",
    sample=SAMPLES,
    judged=JUDGED / "chat",
    fields=PAGES,
    chunk=chunk_page,
    chunker=CHUNKER,
    filters=FILTERS,
    understand=understand,
    answering="builddaily.answering:answer_chat",
    retrieval=RetrievalSettings(top_k=20, top_n=5, rrf_k=RRF_K),
)

SITE = Site(name="builddaily", title="Build Daily", collections=(RESOURCES, CHAT), ask="chat")

__all__ = ["SITE"]
