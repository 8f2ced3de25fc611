"""A site of one collection over a few records, made by a test: no model, no server."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from overfetch import Chunk, Collection, Document, Engine, FieldMap, Site
from overfetch.protocols import Store
from overfetch.testing import FakeEmbedder, FakeReranker, FakeStore


def whole(document: Document) -> list[Chunk]:
    """One passage a document."""
    return [Chunk(breadcrumb="", text=document.text)]


def small_site(folder: Path, records: Sequence[dict[str, Any]], collection: str = "pages", **settings: Any) -> Site:
    """`settings` are the collection's; records without a title are titled by their id."""
    corpus = folder / "corpus.jsonl"
    lines = [json.dumps({"title": record["_id"], **record}) for record in records]
    corpus.write_text("\n".join(lines), encoding="utf-8")
    usual = {"chunk": whole, "chunker": "whole/1", "answering": "", "fields": FieldMap(metadata=())}
    only = Collection.model_validate({"name": collection, "sample": corpus, **usual, **settings})
    return Site(name="site", title="Site", collections=(only,), ask=collection)


def opened_site(site: Site, store: Store | None = None) -> Engine:
    return Engine(site, embedder=FakeEmbedder(), reranker=FakeReranker(), store=store or FakeStore())
