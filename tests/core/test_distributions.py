"""README's table of distributions: equal weights give equal scores, whatever runs them. A row here is a row there."""

import math
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from model_server import serving

from overfetch.inference.classifier import TransformersReranker
from overfetch.inference.flag_embedding import FlagEmbeddingReranker
from overfetch.inference.hub import HubEmbedder, HubReranker
from overfetch.inference.onnx import OnnxEmbedder, OnnxReranker
from overfetch.inference.quantising import export
from overfetch.inference.remote import Endpoint, RemoteEmbedder, RemoteReranker
from overfetch.integrations.llama_index import OverfetchRerank
from overfetch.models import ModelSpec
from overfetch.protocols import Reranker, RerankScores

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
QUERY = "which tower falls"
PASSAGES = [
    "the tower falls over the hill",
    "a star",
    "the weather is long and the rain falls",
    "query and passage",
    "rain " * 12,
    "hill",
    "the star rises over a tower " * 20,  # beyond the limit
    "a tower over the rain",
]


class Weights(NamedTuple):
    """Random ones of one architecture, as the hub has them and prepared; `logits` are those of transformers."""

    folder: Path
    prepared: Path
    spec: ModelSpec
    logits: list[float]
    cut: int


@pytest.fixture(scope="module", params=["tiny_reranker", "tiny_xlm_reranker"], ids=["bert", "xlm-roberta"])
def weights(request: pytest.FixtureRequest, make_spec: Any, tmp_path_factory: pytest.TempPathFactory) -> Weights:
    folder = request.getfixturevalue(request.param)
    spec = make_spec("reranker")
    prepared = tmp_path_factory.mktemp("prepared")
    export(folder, spec, prepared)
    logits, cut = reference(folder, spec.max_tokens)
    return Weights(folder, prepared, spec, logits, cut)


def reference(folder: Path, max_tokens: int) -> tuple[list[float], int]:
    """transformers alone, a pair at a time and so without padding; and the tokens beyond the limit."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    logits, cut = [], 0
    for passage in PASSAGES:
        whole = tokenizer(QUERY, passage, truncation=False, verbose=False)["input_ids"]
        cut += max(0, len(whole) - max_tokens)
        encoded = tokenizer(QUERY, passage, return_tensors="pt", truncation=True, max_length=max_tokens)
        with torch.no_grad():
            logits.append(float(model(**encoded).logits[0, 0]))
    return logits, cut


def sigmoid(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))


def on_torch(kind: Callable[..., Reranker]) -> Callable[[Weights], AbstractContextManager[Reranker]]:
    return lambda weights: nullcontext(kind(weights.folder, weights.spec, windows=False))


def on_onnx(weights: Weights) -> AbstractContextManager[Reranker]:
    return nullcontext(OnnxReranker(weights.prepared, weights.spec, threads=1, windows=False))


def remote(dialect: str) -> Callable[[Weights], AbstractContextManager[Reranker]]:
    """A server that runs the weights through transformers."""

    @contextmanager
    def opened(weights: Weights) -> Iterator[Reranker]:
        model = TransformersReranker(weights.folder, weights.spec, windows=False)
        with serving(lambda query, texts: model.score(query, texts).logits, lambda texts: texts) as server:
            yield RemoteReranker(Endpoint(server.url(f"{dialect}/rerank")), weights.spec, dialect)

    return opened


class ThroughLlamaIndex:
    """Scores of OverfetchRerank, back in the order of the passages."""

    def __init__(self, weights: Weights) -> None:
        self.spec = weights.spec
        self._reranker = HubReranker(weights.folder, weights.spec, windows=False)

    def warm_up(self) -> None: ...

    def score(self, query: str, passages: Sequence[str], deadline: float | None = None) -> RerankScores:
        from llama_index.core.schema import NodeWithScore, TextNode

        nodes = [NodeWithScore(node=TextNode(id_=str(i), text=text)) for i, text in enumerate(passages)]
        found = OverfetchRerank(reranker=self._reranker, top_n=len(nodes)).postprocess_nodes(nodes, query_str=query)
        scores = {node.node_id: node.score for node in found}
        return RerankScores([scores[str(i)] for i in range(len(passages))], None)


class Row(NamedTuple):
    """`scale` is the server's; `tells_cuts`: whether truncated tokens can be known."""

    open: Callable[[Weights], AbstractContextManager[Reranker]]
    tolerance: float = 1e-4
    scale: Callable[[float], float] = float
    tells_cuts: bool = True
    package: str = "overfetch"


ROWS = {
    "`onnx`": Row(on_onnx),
    "`torch`": Row(on_torch(HubReranker)),
    "`transformers`": Row(on_torch(TransformersReranker)),
    "`flagembedding`": Row(on_torch(FlagEmbeddingReranker), package="FlagEmbedding"),
    "`cohere`, `jina`": Row(remote("cohere"), scale=sigmoid, tells_cuts=False),
    "`infinity`": Row(remote("infinity"), tells_cuts=False),
    "`vllm`": Row(remote("vllm"), tells_cuts=False),
    "`tei`": Row(remote("tei"), tells_cuts=False),
    "LlamaIndex": Row(lambda weights: nullcontext(ThroughLlamaIndex(weights)), tells_cuts=False),
}


@pytest.mark.parametrize("name", ROWS)
def test_equal_weights_give_equal_scores(name: str, weights: Weights) -> None:
    row = ROWS[name]
    if find_spec(row.package) is None:
        pytest.skip(
            f"{row.package} is not installed; uv run --with '{row.package}>=1.4.1' pytest {Path(__file__).name}"
        )
    with row.open(weights) as reranker:
        scores = reranker.score(QUERY, PASSAGES)
    assert scores.logits == pytest.approx([row.scale(logit) for logit in weights.logits], abs=row.tolerance)
    assert np.argsort(scores.logits).tolist() == np.argsort(weights.logits).tolist()
    assert scores.truncated_tokens == (weights.cut if row.tells_cuts else None)
    assert weights.cut > 0


def test_the_weights_would_show_a_difference(weights: Weights) -> None:
    assert len({round(logit, 2) for logit in weights.logits}) == len(PASSAGES)
    assert not all(0 < logit < 1 for logit in weights.logits), "otherwise a sigmoid would not show"


@pytest.mark.parametrize("name", ROWS)
def test_the_readme_states_the_row_and_its_tolerance(name: str) -> None:
    row = re.search(rf"^\| {re.escape(name)} \|.*$", README, re.MULTILINE)
    assert row is not None
    assert f"| {ROWS[name].tolerance:.0e} |".replace("e-0", "e-") in row[0]


@pytest.mark.parametrize("kind", [HubReranker, TransformersReranker])
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_gives_raw_float32_logits(
    kind: Any, precision: Any, weights: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU, but on this CPU. The last layer's logits lie between what half precision can tell apart."""
    import torch

    from overfetch.inference.devices import Place

    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    monkeypatch.setattr(f"{kind.__module__}.best_place", lambda: Place("cpu", precision, dtype, 4))
    reranker = kind(weights.folder, weights.spec, windows=False)
    logits = reranker.score(QUERY, PASSAGES).logits
    assert reranker.spec.identity.endswith(f"#{precision}")
    assert logits == pytest.approx(weights.logits, abs={"bf16": 0.4, "fp16": 0.03}[precision])
    assert any(float(torch.tensor(logit).to(dtype)) != logit for logit in logits)


EMBEDDERS = ("onnx", "torch", "remote")


@contextmanager
def embedder(name: str, folder: Path, prepared: Path, spec: ModelSpec) -> Iterator[Any]:
    if name == "onnx":
        yield OnnxEmbedder(prepared, spec, threads=1)
    elif name == "torch":
        yield HubEmbedder(folder, spec)
    else:
        bare = HubEmbedder(folder, spec.model_copy(update={"query_prefix": "", "passage_prefix": ""}))
        with serving(lambda query, texts: [], lambda texts: 3 * bare.embed_passages(texts)) as server:
            yield RemoteEmbedder(Endpoint(server.url("v1/embeddings")), spec)


@pytest.mark.parametrize("name", EMBEDDERS)
def test_equal_weights_give_equal_vectors(
    name: str, tiny_embedder: Path, exported_embedder: Path, make_spec: Any, tmp_path: Path
) -> None:
    import torch
    from sentence_transformers import SentenceTransformer
    from transformers import AutoModel, AutoTokenizer

    SentenceTransformer(str(tiny_embedder), local_files_only=True).save(str(tmp_path))
    spec = make_spec("embedder", query_prefix="query: ", passage_prefix="passage: ")
    tokenizer, model = AutoTokenizer.from_pretrained(tiny_embedder), AutoModel.from_pretrained(tiny_embedder).eval()
    texts = [text for text in PASSAGES for _ in range(10)]  # more than fit into a request
    with embedder(name, tmp_path, exported_embedder, spec) as opened, torch.no_grad():
        for prefix, vectors in (
            ("query: ", opened.embed_queries(texts)),
            ("passage: ", opened.embed_passages(texts)),
        ):
            encoded = [
                tokenizer(prefix + text, return_tensors="pt", truncation=True, max_length=spec.max_tokens)
                for text in PASSAGES
            ]
            means = torch.cat([model(**inputs).last_hidden_state.mean(dim=1) for inputs in encoded])
            expected = torch.nn.functional.normalize(means).numpy().repeat(10, axis=0)
            assert vectors.dtype == np.float32
            assert np.abs(vectors - expected).max() < 1e-4
        cut = opened.count_truncated(["star " * 100])
    assert cut == (None if name == "remote" else 100 + 2 + 2 - spec.max_tokens)


def test_torch_takes_the_precision_of_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from overfetch.inference.devices import best_place

    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available: None)
    assert best_place()[:2] == ("cpu", "fp32")
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available: torch.device("cuda"))
    for has_bf16, precision in ((True, "bf16"), (False, "fp16")):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation, has=has_bf16: has)
        assert best_place()[:2] == ("cuda", precision)
