"""Three questions that this project grew from: a right passage comes first, and the answer quotes it."""

from collections.abc import Iterator

import pytest

from overfetch import Environment, Workspace

STRONG = {"MSFT", "AVGO", "MET", "TXN", "AMZN", "DAL", "V", "CCL"}  # those that have the setup, not those that name it
PENDLE = {"pendle-2025-05-29-stablecoin-issuer-partnership", "pendle-2025-06-05-cross-chain-pt-upgrade"}
QUESTIONS = [
    ("paiddaily", "tickers", "Which tickers have a strong pre-earnings setup", STRONG),
    ("paiddaily", "catalysts", "Pendle catalysts near 2025-06 with funding flat and open interest building", PENDLE),
    ("builddaily", "chat", "Does Sage remember what I asked it yesterday or is every visit a fresh start?", {"sage"}),
    ("builddaily", "chat", "Can I get a three card spread from Sage without paying?", {"sage-daily"}),
    ("builddaily", "chat", "why does 2^10 give me 8 when I move my Sage notebook code to a script", {"sagemath"}),
]


@pytest.fixture(scope="module")
def workspace(samples: Environment) -> Iterator[Workspace]:
    with Workspace(samples) as opened:
        yield opened


@pytest.mark.slow
@pytest.mark.parametrize(
    ("site", "collection", "question", "right"),
    QUESTIONS,
    ids=["strong setup", "market shape", "sage", "sage daily", "sagemath"],
)
def test_what_satisfies_the_question_comes_first_and_is_quoted(
    workspace: Workspace, site: str, collection: str, question: str, right: set[str]
) -> None:
    engine = workspace.site(site)
    found = engine.search(collection, question)
    assert found.rerank_status == "full"
    assert found.hits[0].passage.document_id in right
    answer = engine.ask(question, collection=collection)
    assert {citation.document_id for citation in answer.citations} & right
