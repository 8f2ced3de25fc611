"""The hub backends over the architectures of the pinned models, with random weights made here."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from overfetch.inference.hub import RUN, HubEmbedder, HubReranker
from overfetch.settings import ModelSpec

MAX_TOKENS = 40
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


def save_unigram_tokenizer(folder: Path) -> None:
    """Pairs as XLM-RoBERTa writes them: <s> query </s></s> passage </s>."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    letters = [("▁", -4.0), *((chr(code), -5.0) for code in range(ord("a"), ord("z") + 1))]
    words = [(f"▁{word}", -2.0) for text in PASSAGES for word in text.split()]
    special = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    tokenizer = Tokenizer(models.Unigram([*special, *dict.fromkeys(words), *letters], unk_id=3))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    names = {"bos_token": "<s>", "eos_token": "</s>", "sep_token": "</s>", "cls_token": "<s>", "pad_token": "<pad>"}
    options: dict[str, Any] = {**names, "unk_token": "<unk>", "model_max_length": 512}
    options["model_input_names"] = ["input_ids", "attention_mask"]
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **options)  # type: ignore[no-untyped-call]
    fast.save_pretrained(folder)


@pytest.fixture(scope="module")
def reranker_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """bge-reranker: an XLM-RoBERTa sequence classifier with one label, here 2 layers x 32."""
    import torch
    from transformers import XLMRobertaConfig, XLMRobertaForSequenceClassification

    folder = tmp_path_factory.mktemp("xlm-roberta")
    torch.manual_seed(3)
    shape: dict[str, Any] = {"num_labels": 1, "initializer_range": 0.5, "max_position_embeddings": MAX_TOKENS + 2}
    shape |= {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 32, "intermediate_size": 64}
    config = XLMRobertaConfig(vocab_size=64, **shape)
    XLMRobertaForSequenceClassification(config).save_pretrained(folder)
    save_unigram_tokenizer(folder)
    return folder


@pytest.fixture(scope="module")
def reranker_spec(make_spec: Any) -> ModelSpec:
    spec: ModelSpec = make_spec("reranker", max_tokens=MAX_TOKENS)
    return spec


@pytest.fixture(scope="module")
def reranker(reranker_folder: Path, reranker_spec: ModelSpec) -> HubReranker:
    return HubReranker(reranker_folder, reranker_spec)


def reference_logits(folder: Path, query: str, passages: list[str]) -> list[float]:
    """transformers alone, one pair at a time, so without any padding."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    logits = []
    for passage in passages:
        with torch.no_grad():
            encoded = tokenizer(query, passage, return_tensors="pt", truncation=True, max_length=MAX_TOKENS)
            logits.append(float(model(**encoded).logits[0, 0]))
    return logits


def test_logits_are_raw_and_those_of_transformers(reranker: HubReranker, reranker_folder: Path) -> None:
    expected = reference_logits(reranker_folder, QUERY, PASSAGES)
    assert reranker.score(QUERY, PASSAGES).logits == pytest.approx(expected, abs=TOLERANCE)
    assert not all(0 < logit < 1 for logit in expected), "otherwise a sigmoid would not show"
    assert len({round(logit, 2) for logit in expected}) == len(PASSAGES)


def test_the_order_of_scores_is_the_order_of_passages(reranker: HubReranker) -> None:
    forward, backward = reranker.score(QUERY, PASSAGES), reranker.score(QUERY, PASSAGES[::-1])
    assert forward.logits == pytest.approx(backward.logits[::-1], abs=TOLERANCE)


def test_cut_tokens_are_counted(reranker: HubReranker) -> None:
    assert reranker.score(QUERY, PASSAGES).truncated_tokens == 0
    special, query, passage = 4, 2, 100
    long = " ".join(["rain"] * passage)
    scores = reranker.score("tower falls", [long, "a star", long])
    assert scores.truncated_tokens == 2 * (special + query + passage - MAX_TOKENS)


def test_a_deadline_stops_between_runs(reranker: HubReranker, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = reranker.score(QUERY, PASSAGES, deadline=time.monotonic() + 600).logits
    assert len(whole) == len(PASSAGES) > RUN
    assert reranker.score(QUERY, PASSAGES, deadline=time.monotonic() - 1).logits == []
    ticks = iter([0.0, 9.0])
    monkeypatch.setattr("overfetch.inference.hub.time.monotonic", lambda: next(ticks))
    assert reranker.score(QUERY, PASSAGES, deadline=1.0).logits == pytest.approx(whole[:RUN], abs=TOLERANCE)


def test_threads_neither_disturb_scores_nor_counts(reranker: HubReranker) -> None:
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


def test_both_backends_score_alike(tiny_reranker: Path, exported_reranker: Path, make_spec: Any) -> None:
    from overfetch.inference.onnx import OnnxReranker

    spec = make_spec("reranker")
    hub = HubReranker(tiny_reranker, spec)
    onnx = OnnxReranker(exported_reranker, spec, threads=1, windows=False)
    passages = [*PASSAGES, "rain " * 100]
    expected = onnx.score(QUERY, passages)
    found = hub.score(QUERY, passages)
    assert found.logits == pytest.approx(expected.logits, abs=TOLERANCE)
    assert found.truncated_tokens == expected.truncated_tokens


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
