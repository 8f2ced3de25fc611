"""OverfetchRerank in LlamaIndex, beside the postprocessor that it replaces."""

import asyncio
import inspect
import pickle
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from llama_index.core.callbacks import CallbackManager, CBEventType, LlamaDebugHandler
from llama_index.core.postprocessor import SentenceTransformerRerank
from llama_index.core.schema import ImageNode, MetadataMode, NodeWithScore, QueryBundle, TextNode

from overfetch.errors import ModelError, SettingsError
from overfetch.inference.hub import HubReranker
from overfetch.integrations.llama_index import OverfetchRerank
from overfetch.protocols import RerankScores
from overfetch.testing import FakeReranker

QUERY = "which tower falls"
TEXTS = ["the tower falls over the hill", "a star", "the weather is long", "rain over the tower", "hill", "query"]


def make_nodes(scores: list[float] | None = None) -> list[NodeWithScore]:
    return [
        NodeWithScore(
            node=TextNode(id_=f"node-{i}", text=text, metadata={"place": "star", "file": "rain"}),
            score=scores[i] if scores else None,
        )
        for i, text in enumerate(TEXTS)
    ]


def with_metadata_for_reading(nodes: list[NodeWithScore]) -> list[NodeWithScore]:
    for node in nodes:
        node.node.excluded_embed_metadata_keys = ["file"]
    return nodes


def result(nodes: list[NodeWithScore]) -> list[tuple[str, float]]:
    return [(node.node_id, node.score) for node in nodes]


@pytest.fixture(scope="module")
def theirs(tiny_reranker: Path) -> SentenceTransformerRerank:
    """Its sigmoid off, so that its scores are logits too."""
    reranker = SentenceTransformerRerank(model=str(tiny_reranker), top_n=3, device="cpu")
    reranker._model.activation_fn = torch.nn.Identity()
    return reranker


@pytest.fixture(scope="module")
def reads(tiny_reranker: Path, make_spec: Any) -> HubReranker:
    return HubReranker(tiny_reranker, make_spec("reranker"))


def test_it_stands_in_for_sentence_transformer_rerank(theirs: SentenceTransformerRerank, reads: HubReranker) -> None:
    ours = OverfetchRerank(reranker=reads, top_n=3).postprocess_nodes(
        with_metadata_for_reading(make_nodes()), query_str=QUERY
    )
    expected = theirs.postprocess_nodes(with_metadata_for_reading(make_nodes()), query_str=QUERY)
    assert [i for i, _ in result(ours)] == [i for i, _ in result(expected)]
    assert [s for _, s in result(ours)] == pytest.approx([float(s) for _, s in result(expected)], abs=1e-4)
    default = inspect.signature(SentenceTransformerRerank.__init__).parameters["top_n"].default
    assert OverfetchRerank(reranker=reads).top_n == default


def test_what_is_read_of_a_node_is_said(reads: HubReranker) -> None:
    nodes = with_metadata_for_reading(make_nodes())
    for mode in (MetadataMode.NONE, MetadataMode.EMBED, MetadataMode.ALL):
        found = dict(
            result(
                OverfetchRerank(reranker=reads, top_n=6, metadata_mode=mode).postprocess_nodes(nodes, query_str=QUERY)
            )
        )
        texts = [node.node.get_content(metadata_mode=mode) for node in nodes]
        assert list(map(found.get, (f"node-{i}" for i in range(6)))) == pytest.approx(
            reads.score(QUERY, texts).logits, abs=1e-4
        )
    assert len({node.node.get_content(metadata_mode=mode) for mode in MetadataMode for node in nodes[:1]}) >= 3


def test_nodes_are_not_changed(reads: HubReranker) -> None:
    nodes = make_nodes([0.1 * i for i in range(6)])
    before = pickle.dumps([node.to_dict() for node in nodes])
    found = OverfetchRerank(reranker=reads, top_n=2).postprocess_nodes(nodes, query_str=QUERY)
    assert pickle.dumps([node.to_dict() for node in nodes]) == before
    assert all(any(kept.node is node.node for node in nodes) for kept in found)
    assert not any(kept is node for kept in found for node in nodes)


def test_a_retrieval_score_is_kept_in_a_copy(reads: HubReranker) -> None:
    nodes = make_nodes([0.1 * i for i in range(6)])
    found = OverfetchRerank(reranker=reads, top_n=6, keep_retrieval_score=True).postprocess_nodes(
        nodes, query_str=QUERY
    )
    assert {n.node_id: n.metadata["retrieval_score"] for n in found} == {n.node_id: n.score for n in nodes}
    assert all("retrieval_score" not in node.metadata for node in nodes)


def test_nodes_of_other_kinds_stay_what_they_are(reads: HubReranker) -> None:
    picture = NodeWithScore(node=ImageNode(id_="picture", text="the tower falls", image_url="http://x/y.png"))
    found = OverfetchRerank(reranker=reads, top_n=1).postprocess_nodes([picture], query_str=QUERY)
    assert isinstance(found[0].node, ImageNode)


def test_a_query_is_needed(reads: HubReranker) -> None:
    with pytest.raises(SettingsError, match="pass query_str or query_bundle"):
        OverfetchRerank(reranker=reads).postprocess_nodes(make_nodes())
    with pytest.raises(SettingsError, match="the query is empty"):
        OverfetchRerank(reranker=reads).postprocess_nodes(make_nodes(), query_str=" ")


def test_no_nodes_no_reading(reads: HubReranker) -> None:
    assert OverfetchRerank(reranker=reads).postprocess_nodes([], query_str=QUERY) == []


def test_settings_are_checked() -> None:
    with pytest.raises(SettingsError, match="unknown profile 'huge'; known profiles: mini"):
        OverfetchRerank(profile="huge")
    with pytest.raises(ValueError, match="top_n"):
        OverfetchRerank(top_n=0)
    with pytest.raises(SettingsError, match=r"unknown field 'topn'; allowed: reranker, .*top_n"):
        OverfetchRerank(topn=1)


def test_a_failing_reranker_is_no_silence() -> None:
    with pytest.raises(ModelError, match="no weights"):
        OverfetchRerank(reranker=FakeReranker(failure=ModelError("no weights"))).postprocess_nodes(
            make_nodes(), query_str=QUERY
        )


def test_a_model_with_a_share_in_the_order_shares_it(reads: HubReranker, make_spec: Any) -> None:
    """As in `retrieve`: with weight 0 the order is the retriever's; without retrieval scores, the model's."""
    silent = FakeReranker()
    silent.spec = make_spec("reranker", order_weight=0.0)
    rerank = OverfetchRerank(reranker=silent, top_n=6)
    found = rerank.postprocess_nodes(make_nodes([3, 1, 4, 1.5, 9, 2.6]), query_str=QUERY)
    assert [i for i, _ in result(found)] == [f"node-{i}" for i in (4, 2, 0, 5, 3, 1)]
    unscored = rerank.postprocess_nodes(make_nodes(), query_str=QUERY)
    assert unscored[0].node_id == "node-0"


@pytest.mark.parametrize("score", [float("nan"), float("inf"), float("-inf")])
def test_a_score_that_is_no_number_counts_as_none(make_spec: Any, score: float) -> None:
    sharing = FakeReranker()
    sharing.spec = make_spec("reranker", order_weight=0.5)
    rerank = OverfetchRerank(reranker=sharing, top_n=6)
    found = rerank.postprocess_nodes(make_nodes([3, 1, score, 1.5, 9, 2.6]), query_str=QUERY)
    assert result(found) == result(rerank.postprocess_nodes(make_nodes(), query_str=QUERY))


def test_a_pickled_one_keeps_its_reranker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OVERFETCH_PROFILE", "mini-fast")
    pickled = pickle.dumps(OverfetchRerank(top_n=3))
    monkeypatch.setenv("OVERFETCH_PROFILE", "mini")
    copied = pickle.loads(pickled)
    assert (copied.profile, copied.top_n) == ("mini-fast", 3)
    assert copied._reranker.spec == OverfetchRerank(profile="mini-fast")._reranker.spec
    assert copied._reranker.spec != OverfetchRerank()._reranker.spec


def test_one_handed_over_is_not_pickled(reads: HubReranker) -> None:
    """It would come back with another."""
    with pytest.raises(SettingsError, match="name a profile instead"):
        pickle.dumps(OverfetchRerank(reranker=reads))
    with pytest.raises(SettingsError, match="name a profile instead"):
        OverfetchRerank(reranker=reads).to_dict()
    with pytest.raises(SettingsError, match="name a profile instead"):
        OverfetchRerank(reranker=reads).to_json()
    assert OverfetchRerank.from_dict(OverfetchRerank(top_n=3).to_dict()).top_n == 3


def test_a_profile_reads_by_name() -> None:
    nodes = [
        NodeWithScore(node=TextNode(id_=i, text=text))
        for i, text in (
            ("weather", "It rains in the hills."),
            ("pin", "Pin the model to a commit hash, so that nobody changes it under you."),
        )
    ]
    found = OverfetchRerank(profile="mini-fast", top_n=1).postprocess_nodes(nodes, query_str="how to pin a model")
    assert [node.node_id for node in found] == ["pin"]


def test_events_tell_model_and_nodes(reads: HubReranker) -> None:
    debug = LlamaDebugHandler(print_trace_on_end=False)
    rerank = OverfetchRerank(reranker=reads, callback_manager=CallbackManager([debug]))
    rerank.postprocess_nodes(make_nodes(), query_str=QUERY)
    begun, ended = debug.get_event_pairs(CBEventType.RERANKING)[0]
    assert begun.payload["model_name"] == "tiny-reranker"
    assert len(ended.payload["nodes"]) == 2


async def test_the_event_loop_stays_free() -> None:
    """The reranker waits for what only the loop can do meanwhile."""
    began, released = threading.Event(), threading.Event()

    class Waiting(FakeReranker):
        def score(self, query: str, passages: Any, deadline: float | None = None) -> RerankScores:
            began.set()
            assert released.wait(30)
            return super().score(query, passages, deadline)

    rerank = OverfetchRerank(reranker=Waiting(), top_n=6)
    reading = asyncio.create_task(rerank.apostprocess_nodes(make_nodes(), query_bundle=QueryBundle(QUERY)))
    await asyncio.to_thread(began.wait)
    released.set()
    assert result(await reading) == result(rerank.postprocess_nodes(make_nodes(), query_str=QUERY))


async def test_a_cancelled_task_reaches_the_reader() -> None:
    from overfetch.leaving import whether_left

    class Waiting(FakeReranker):
        began, left = threading.Event(), False

        def score(self, query: str, passages: Any, deadline: float | None = None) -> RerankScores:
            self.began.set()
            Waiting.left = whether_left().wait(5)
            return RerankScores([0.0] * len(passages), 0)

    waiting = Waiting()
    task = asyncio.create_task(OverfetchRerank(reranker=waiting).apostprocess_nodes(make_nodes(), query_str=QUERY))
    await asyncio.to_thread(waiting.began.wait)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    while not Waiting.left:
        await asyncio.sleep(0.01)


def test_it_needs_neither_a_qdrant_server_nor_torch() -> None:
    program = """
import sys
from llama_index.core.schema import NodeWithScore, TextNode
from overfetch.integrations.llama_index import OverfetchRerank
nodes = [NodeWithScore(node=TextNode(text=text)) for text in ("pin the model", "rain")]
print(OverfetchRerank(top_n=1).postprocess_nodes(nodes, query_str="how to pin")[0].text)
print(*(name for name in ("torch", "transformers", "qdrant_client") if name in sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:2] == ["pin the model", ""]


def test_a_missing_extra_is_named() -> None:
    program = "import sys; sys.modules['llama_index'] = None; import overfetch.integrations.llama_index"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=120)
    assert done.stderr.splitlines()[-1].endswith("LlamaIndex is not installed: uv add 'overfetch[llama-index]'")
