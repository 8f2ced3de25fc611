"""Retrievals made by hand: the answer modules are tested without models and stores."""

from collections.abc import Callable

import pytest

from overfetch import Chunk, Document, Hit, Passage, Retrieval
from overfetch.types import Timings

NO_TIME = Timings(embed=0, search=0, rerank=0, total=0)


def make_retrieval(query: str, *documents: Document) -> Retrieval:
    """Each document is one passage, in the order given."""
    hits = [
        Hit(rank=rank, passage=as_passage(document), first_stage_rank=rank, first_stage_score=1 / rank)
        for rank, document in enumerate(documents, start=1)
    ]
    return Retrieval(
        query=query, collection="test", hits=tuple(hits), rerank_status="off", timings_ms=NO_TIME, provenance={}
    )


def as_passage(document: Document) -> Passage:
    return Passage.of(document, 0, Chunk(breadcrumb=document.title, text=document.text, metadata={}))


@pytest.fixture
def retrieval_of() -> Callable[..., Retrieval]:
    """`make_retrieval`, for tests with documents of their own."""
    return make_retrieval


@pytest.fixture
def pages() -> tuple[Retrieval, ...]:
    """Two products with similar names."""
    return (
        make_retrieval(
            "What is Sage?",
            Document(id="sage", title="Sage", text="Sage is a bridge.\nIt speaks OSC.", metadata={"kind": "tool"}),
            Document(id="sage-daily", title="Sage Daily", text="Sage Daily writes readings.", metadata={}),
        ),
    )


@pytest.fixture
def tickers() -> tuple[Retrieval, ...]:
    return (
        make_retrieval(
            "quiet before earnings",
            Document(id="MSFT", title="Microsoft (MSFT)", text="Shares moved sideways.", metadata={"symbol": "MSFT"}),
            Document(id="AVGO", title="Broadcom (AVGO)", text="A long shelf formed.", metadata={"symbol": "AVGO"}),
        ),
    )


@pytest.fixture
def catalysts() -> tuple[Retrieval, ...]:
    metadata = {"date": "2023-07-05", "type": "listing", "outcome": "It closed 19% lower."}
    event = Document(id="listing", title="Pair opens", text="Funding was strongly positive.", metadata=metadata)
    return (make_retrieval("a new listing", event),)


@pytest.fixture
def draws() -> tuple[Retrieval, ...]:
    """A retrieval for each of two cards, as the engine names them: the draw, then the question."""
    tower = Document(id="tower", title="The Tower", text="The fall is put off.", metadata={"orientation": "reversed"})
    fool = Document(id="fool", title="The Fool", text="A start before the plan.", metadata={"orientation": "upright"})
    return (
        make_retrieval("The Tower, reversed", tower),
        make_retrieval("The Fool, upright", fool),
    )
