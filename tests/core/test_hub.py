"""The backends on torch over the architectures of the pinned models, with random weights made here."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from overfetch.inference.classifier import TransformersReranker
from overfetch.inference.devices import best_place
from overfetch.inference.hub import HubEmbedder, HubReranker
from overfetch.models import ModelSpec

MAX_TOKENS = 48
TOLERANCE = 1e-4
QUERY = "which tower falls"
PASSAGES = [
    "the tower falls over the hill",
    "a star",
    "the weather is long and the rain falls",
    "query and passage",
    "rain " * 12,
    "hill",
    "a tower over the rain",
]


@pytest.fixture(scope="module")
def spec(make_spec: Any) -> ModelSpec:
    found: ModelSpec = make_spec("reranker", max_tokens=MAX_TOKENS)
    return found


@pytest.fixture(scope="module", params=[HubReranker, TransformersReranker])
def reranker(request: pytest.FixtureRequest, tiny_xlm_reranker: Path, spec: ModelSpec) -> Any:
    return request.param(tiny_xlm_reranker, spec)


def test_the_order_of_scores_is_the_order_of_passages(reranker: Any) -> None:
    forward, backward = reranker.score(QUERY, PASSAGES), reranker.score(QUERY, PASSAGES[::-1])
    assert forward.logits == pytest.approx(backward.logits[::-1], abs=TOLERANCE)


def test_cut_tokens_are_counted(tiny_xlm_reranker: Path, spec: ModelSpec) -> None:
    reranker = HubReranker(tiny_xlm_reranker, spec, windows=False)
    assert reranker.score(QUERY, PASSAGES).truncated_tokens == 0
    special, query, passage = 4, 2, 100
    long = " ".join(["rain"] * passage)
    scores = reranker.score("tower falls", [long, "a star", long])
    assert scores.truncated_tokens == 2 * (special + query + passage - MAX_TOKENS)


def test_another_budget_shares_the_model(reranker: Any) -> None:
    within = reranker.within(60)
    assert (within.spec.read_tokens, reranker.spec.read_tokens) == (60, None)
    assert within._model is reranker._model
    long = ["rain over the hill " * 60, "a star"]
    assert reranker.score(QUERY, long).truncated_tokens == 0
    scores = within.score(QUERY, long)
    assert scores.truncated_tokens
    assert scores.tokens_read <= 60


def test_a_deadline_stops_between_runs(reranker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run = best_place().run
    whole = reranker.score(QUERY, PASSAGES, deadline=time.monotonic() + 600).logits
    assert len(whole) == len(PASSAGES) > run
    assert reranker.score(QUERY, PASSAGES, deadline=time.monotonic() - 1).logits == []
    ticks = iter([0.0, 9.0])
    monkeypatch.setattr("overfetch.inference.runs.time.monotonic", lambda: next(ticks))
    assert reranker.score(QUERY, PASSAGES, deadline=1.0).logits == pytest.approx(whole[:run], abs=TOLERANCE)


def test_a_passage_read_in_part_has_no_score(reranker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second passage has windows in both runs: the deadline leaves the first alone."""
    passages = ["a star", "rain over the hill " * 60]
    ticks = iter([0.0, 9.0])
    monkeypatch.setattr("overfetch.inference.runs.time.monotonic", lambda: next(ticks))
    assert len(reranker.score(QUERY, passages, deadline=1.0).logits) == 1


def test_a_caller_who_left_is_not_read_for(reranker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    left = threading.Event()
    left.set()
    monkeypatch.setattr("overfetch.inference.runs.whether_left", lambda: left)
    assert reranker.score(QUERY, PASSAGES).logits == []


def test_long_runs_hold_fewer_pairs(reranker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[int] = []
    read = reranker.read

    def counted(pieces: Any) -> Any:
        runs.append(len(pieces))
        return read(pieces)

    monkeypatch.setattr(reranker, "read", counted)
    monkeypatch.setattr("overfetch.inference.runs.TOKENS", 2 * MAX_TOKENS)
    reranker.score(QUERY, ["rain " * 200])
    assert max(runs) == 2


def test_threads_neither_disturb_scores_nor_counts(reranker: Any) -> None:
    """Counting tokenises without a limit, scoring with one: on a shared tokenizer one thread's setting cuts another."""
    texts = [*PASSAGES, "rain " * 100]
    alone = reranker.score(QUERY, texts)
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda _: reranker.score(QUERY, texts), range(40)))
    assert {scores.truncated_tokens for scores in together} == {alone.truncated_tokens}
    assert all(scores.logits == pytest.approx(alone.logits, abs=TOLERANCE) for scores in together)


@pytest.fixture(scope="module")
def embedder_folder(tiny_embedder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sentence-transformers folder: encoder and mean pooling, without saved prompts, as the hub has it."""
    from sentence_transformers import SentenceTransformer

    folder = tmp_path_factory.mktemp("sentence-transformer")
    SentenceTransformer(str(tiny_embedder), local_files_only=True).save(str(folder))
    return folder


def embedder_with(folder: Path, make_spec: Any, query: str, passage: str) -> HubEmbedder:
    return HubEmbedder(folder, make_spec("embedder", query_prefix=query, passage_prefix=passage))


def test_prefixes_are_applied_to_queries_and_passages(embedder_folder: Path, make_spec: Any) -> None:
    prefixed = embedder_with(embedder_folder, make_spec, "search_query: ", "search_document: ")
    plain = embedder_with(embedder_folder, make_spec, "", "")
    for embed, embed_plain, prefix in (
        (prefixed.embed_queries, plain.embed_queries, "search_query: "),
        (prefixed.embed_passages, plain.embed_passages, "search_document: "),
    ):
        vectors = embed(["the star rises"])
        assert np.abs(vectors - embed_plain([f"{prefix}the star rises"])).max() < TOLERANCE
        assert np.abs(vectors - embed_plain(["the star rises"])).max() > 100 * TOLERANCE
    asked, kept = prefixed.embed_queries(["the star"]), prefixed.embed_passages(["the star"])
    assert np.abs(asked - kept).max() > 100 * TOLERANCE


def test_vectors_are_float32_of_unit_length(embedder_folder: Path, make_spec: Any) -> None:
    embedder = embedder_with(embedder_folder, make_spec, "", "")
    for vectors in (embedder.embed_queries(PASSAGES), embedder.embed_passages(PASSAGES)):
        assert vectors.dtype == np.float32
        assert vectors.shape == (len(PASSAGES), 32)
        assert np.abs(np.linalg.norm(vectors, axis=1) - 1).max() < 1e-5


def test_both_backends_give_the_same_vectors(embedder_folder: Path, exported_embedder: Path, make_spec: Any) -> None:
    from overfetch.inference.onnx import OnnxEmbedder

    spec = make_spec("embedder", query_prefix="query: ", passage_prefix="passage: ")
    hub, onnx = HubEmbedder(embedder_folder, spec), OnnxEmbedder(exported_embedder, spec, threads=1)
    assert hub.count_truncated(["star " * 100, "star"]) == onnx.count_truncated(["star " * 100, "star"]) > 0
    assert np.abs(hub.embed_queries(PASSAGES) - onnx.embed_queries(PASSAGES)).max() < TOLERANCE
    assert np.abs(hub.embed_passages(PASSAGES) - onnx.embed_passages(PASSAGES)).max() < TOLERANCE


def test_the_limit_of_the_pin_holds(embedder_folder: Path, make_spec: Any) -> None:
    short = HubEmbedder(embedder_folder, make_spec("embedder", max_tokens=8))
    assert np.abs(short.embed_passages(["star " * 6]) - short.embed_passages(["star " * 40])).max() < TOLERANCE
    assert np.abs(short.embed_passages(["star " * 5]) - short.embed_passages(["star " * 40])).max() > TOLERANCE


def test_nomic_embed_is_read_without_remote_code(make_spec: Any, tiny_embedder: Path, tmp_path: Path) -> None:
    """The architecture of nomic-embed-text-v1.5, native in transformers."""
    import torch
    from sentence_transformers import SentenceTransformer
    from transformers import NomicBertConfig, NomicBertModel

    torch.manual_seed(4)
    config = NomicBertConfig(
        vocab_size=128, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64
    )
    NomicBertModel(config).save_pretrained(tmp_path / "plain")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / "plain" / name).write_bytes((tiny_embedder / name).read_bytes())
    SentenceTransformer(str(tmp_path / "plain"), local_files_only=True).save(str(tmp_path / "model"))
    embedder = embedder_with(tmp_path / "model", make_spec, "search_query: ", "search_document: ")
    vectors = embedder.embed_queries(PASSAGES)
    assert vectors.shape == (len(PASSAGES), 32)
    assert np.abs(vectors - embedder.embed_passages(PASSAGES)).max() > TOLERANCE
