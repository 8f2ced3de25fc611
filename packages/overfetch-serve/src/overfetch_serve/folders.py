"""A folder of documents as a site of its own."""

import re
from pathlib import Path

from overfetch import Chunk, Collection, Document, FieldMap, RetrievalSettings, Site, chunk_by_headings

WORDS = 150  # some 200 tokens: what small embedders read, with the breadcrumb
CHUNKER = "folder/1/headings-150"
COLLECTION = "pages"


def folder_site(folder: Path) -> Site:
    """Its Markdown, text and record files in one collection, called after the folder.

    >>> folder_site(Path("/srv/My Pages 2")).name
    'my-pages-2'
    """
    name = re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-")
    pages = Collection(
        name=COLLECTION,
        sample=folder,
        fields=FieldMap(metadata={}),
        chunk=_chunk,
        chunker=CHUNKER,
        answering="",
        retrieval=RetrievalSettings(top_k=20, top_n=5),
    )
    return Site(
        name=name if name[:1].isalpha() else f"folder-{name}", title=folder.name, collections=(pages,), ask=COLLECTION
    )


def _chunk(document: Document) -> list[Chunk]:
    return list(chunk_by_headings(document, WORDS))
