"""What there is to choose from: the values of keyword fields with their counts, and questions to begin with."""

from collections import Counter

import pytest
from fastapi.testclient import TestClient

from overfetch import Chunk, CollectionMissing, Document, Environment, Passage, Workspace
from overfetch.filters import Schema, comparable
from overfetch.indexing import encode
from overfetch.judged import read_judged_queries
from overfetch.protocols import ValueCount
from overfetch.provenance import Provenance
from overfetch.testing import FakeEmbedder, FakeStore
from overfetch_serve.values import MOST_VALUES, CountedValues, examples

RESOURCES = "/v1/builddaily/resources"
COLLECTION = "site/notes"
SCHEMA: Schema = {"kind": "keyword"}


def test_values_are_counted(client: TestClient, samples: Environment) -> None:
    told = client.get(f"{RESOURCES}/values/kind").json()
    with Workspace(samples) as workspace:
        stored = list(workspace.store.passages("builddaily/resources"))
    counted = Counter(str(passage.metadata["kind"]) for passage in stored)
    assert told["field"] == "kind"
    assert {one["value"]: one["passages"] for one in told["values"]} == counted
    counts = [one["passages"] for one in told["values"]]
    assert counts == sorted(counts, reverse=True)
    assert told["more"] is False


def test_of_many_values_the_commonest_are_told(client: TestClient) -> None:
    told = client.get(f"{RESOURCES}/values/mentions").json()
    assert told["more"] is (len(told["values"]) == MOST_VALUES)


@pytest.mark.parametrize(
    ("field", "status", "named"), [("colour", 404, "kind"), ("updated", 422, "date")], ids=["unknown", "a date"]
)
def test_what_has_no_values_is_a_problem(client: TestClient, field: str, status: int, named: str) -> None:
    told = client.get(f"{RESOURCES}/values/{field}")
    assert told.status_code == status
    assert named in told.json()["detail"]


class CountingStore(FakeStore):
    """Knows how often it counted."""

    counted = 0

    def values(self, collection: str, field: str, limit: int) -> list[ValueCount]:
        self.counted += 1
        return super().values(collection, field, limit)


def write(store: FakeStore, *kinds: str) -> None:
    documents = [Document(id=f"{n}", title="t", text="text", metadata={"kind": kind}) for n, kind in enumerate(kinds)]
    passages = [
        Passage.of(document, 0, Chunk(breadcrumb="", text=document.text)).model_copy(
            update={"filters": comparable(document.metadata, SCHEMA)}
        )
        for document in documents
    ]
    with store.write(COLLECTION, Provenance.of(FakeEmbedder().spec, "test/1", "sample", SCHEMA), SCHEMA) as writer:
        writer.upsert(encode(passages, FakeEmbedder()))


def test_a_generation_is_counted_once_and_the_next_one_anew() -> None:
    store, values = CountingStore(), CountedValues()
    with pytest.raises(CollectionMissing):
        values.of(store, COLLECTION, "kind")
    write(store, "tool", "tool", "model")
    for _ in range(3):
        assert [(v.value, v.passages) for v in values.of(store, COLLECTION, "kind")] == [("tool", 2), ("model", 1)]
    assert store.counted == 1
    write(store, "tool", "tool", "tool")
    assert [(v.value, v.passages) for v in values.of(store, COLLECTION, "kind")] == [("tool", 3)]


def test_a_field_that_was_not_indexed_has_no_values() -> None:
    store = CountingStore()
    write(store, "tool")
    assert CountedValues().of(store, COLLECTION, "colour") == ()
    assert store.counted == 0


def test_examples_are_judged_queries_without_dates() -> None:
    with Workspace() as workspace:
        judged = workspace.site("builddaily").site.collection("chat").judged
    assert judged is not None
    shown = examples(judged)
    assert len(shown) == 3
    assert set(shown) <= {query.text for query in read_judged_queries(judged, "dev").queries}
    assert examples(None) == ()
    assert examples(judged / "nothing") == ()
