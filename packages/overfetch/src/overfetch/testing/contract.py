"""What every site keeps, as tests that its own subclass."""

import asyncio
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

from overfetch.engine import Engine
from overfetch.environment import Environment
from overfetch.indexing import IndexReport
from overfetch.judged import JudgedQueries, read_judged_queries
from overfetch.requests import AskRequest
from overfetch.sites import Collection, Site, load_site
from overfetch.testing.asking import odd_questions
from overfetch.testing.importing import HEAVY, SLOW, imported_by
from overfetch.verbatim import find_verbatim
from overfetch.workspace import open_site

DAY = date(2026, 1, 1)


class SiteContract:
    """Subclass it as `class TestMysite(SiteContract)`: pytest runs the site with the real engine and the mini models.

    `questions` are (collection, question, document that answers it), at least one for each collection.
    """

    site: ClassVar[Site]
    questions: ClassVar[tuple[tuple[str, str, str], ...]]
    engine: ClassVar[Engine]
    indexed: ClassVar[Mapping[str, IndexReport]]
    _folder: ClassVar["TemporaryDirectory[str]"]

    @classmethod
    def setup_class(cls) -> None:
        """Indexes the sample corpora in a store of their own; no variable of the environment is read."""
        cls._folder = TemporaryDirectory(prefix="overfetch-")
        folder = Path(cls._folder.name)
        own = Environment(qdrant=f"file:{folder / 'store'}", cache=folder / "cache", tuned=folder / "tuned")
        cls.engine = open_site(cls.site, environment=own)
        cls.indexed = {collection.name: cls.engine.index(collection.name) for collection in cls.site.collections}

    @classmethod
    def teardown_class(cls) -> None:
        cls.engine.close()
        cls._folder.cleanup()

    def test_it_is_installed_under_its_name(self) -> None:
        assert load_site(self.site.name) is self.site

    def test_importing_it_loads_nothing_heavy(self) -> None:
        assert imported_by(f"import {self.site.name}", watched=(*HEAVY, *SLOW)) == set()

    def test_models_read_every_passage_whole(self) -> None:
        for name, report in self.indexed.items():
            assert report.documents > 0, name
            assert report.truncated_tokens == 0, f"{name}: {report.longest}"

    def test_a_second_run_changes_nothing(self) -> None:
        for collection in self.site.collections:
            report = self.engine.index(collection.name)
            assert (report.embedded, report.added, report.changed, report.removed) == (0, 0, 0, 0)
            assert report.kept > 0

    def test_judged_queries_name_documents_of_the_sample(self) -> None:
        for collection in self.site.collections:
            documents = {document.id for document in collection.read()}
            for judged in _judged(collection):
                assert {d for grades in judged.qrels.values() for d in grades} <= documents, collection.name

    def test_whatever_is_asked_is_read(self) -> None:
        for collection in self.site.collections:
            for question in odd_questions():
                AskRequest.of(question)
                assert collection.understood(question, DAY).text.strip(), question

    def test_the_right_document_is_shown(self) -> None:
        assert {name for name, _, _ in self.questions} == {collection.name for collection in self.site.collections}
        for name, question, right in self.questions:
            retrieval = self.engine.search(name, question)
            assert right in [hit.passage.document_id for hit in retrieval.hits]
            assert retrieval.rerank_status == "full"
            assert all(hit.rerank_score is not None for hit in retrieval.hits)
            assert len(retrieval.hits) <= self.site.collection(name).retrieval.top_n

    def test_the_extractive_answer_quotes_what_was_retrieved(self) -> None:
        answer = self.engine.ask(self._question())
        passages = {hit.passage.id: hit.passage for retrieval in answer.retrievals for hit in retrieval.hits}
        assert answer.mode == "extractive"
        assert "OVERFETCH_LM" in (answer.reason or "")
        assert answer.citations
        for citation in answer.citations:
            assert find_verbatim(citation.quote, passages[citation.passage_id].text)
            assert citation.quote in answer.answer

    def test_it_answers_in_an_asyncio_service(self) -> None:
        assert asyncio.run(self.engine.ask_async(self._question())).citations

    def _question(self) -> str:
        """Of the collection that answers."""
        return next(question for name, question, _ in self.questions if name == self.site.ask)


def _judged(collection: Collection) -> Iterator[JudgedQueries]:
    """Those that the site brings along, split by split."""
    if collection.judged is not None:
        for split in sorted(collection.judged.glob("qrels/*.tsv")):
            yield read_judged_queries(collection.judged, split.stem)
