"""Encoders with a head that sentence-transformers saved: exported, packed and run as that library runs them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from huggingface_hub.utils._paths import filter_repo_objects
from sentence_transformers import CrossEncoder, SentenceTransformer
from sentence_transformers.base.modules import Dense, Transformer
from sentence_transformers.sentence_transformer.modules import LayerNorm, Normalize, Pooling
from transformers import BertConfig, BertModel, ModernBertConfig, ModernBertModel

from overfetch.errors import ModelError, SettingsError
from overfetch.inference.classifier import TransformersReranker
from overfetch.inference.devices import Place
from overfetch.inference.export import load_model
from overfetch.inference.fetching import IGNORED, PATTERNS
from overfetch.inference.flag_embedding import FlagEmbeddingReranker
from overfetch.inference.hub import HubEmbedder, HubReranker
from overfetch.inference.onnx import OnnxEmbedder, OnnxReranker
from overfetch.inference.packing import PackedModel
from overfetch.inference.quantising import export, export_exact
from overfetch.inference.restoring import restore
from overfetch.inference.tokenizing import TextTokenizer
from overfetch.tuning.training import Trainee

TOLERANCE = 1e-5
MAX_TOKENS = 300
QUERY = "which tower falls"
TEXTS = [
    "the tower falls over the hill",
    "a",
    "the weather is long and the rain falls " * 3,
    "rain over the hill and a star rises over the tower " * 20,
    "star",
]
SMALL: dict[str, Any] = {"vocab_size": 128, "hidden_size": 32, "num_attention_heads": 2, "initializer_range": 0.5}


def bert() -> Any:
    shape = {"num_hidden_layers": 2, "intermediate_size": 64, "max_position_embeddings": MAX_TOKENS}
    return BertModel(BertConfig(**SMALL | shape))


def modernbert() -> Any:
    """Local layers see 16 tokens to each side."""
    ids: dict[str, Any] = {f"{name}_token_id": number for name, number in [("pad", 0), ("bos", 2), ("eos", 3)]}
    ids |= {"cls_token_id": 2, "sep_token_id": 3}
    shape = {"num_hidden_layers": 4, "intermediate_size": 48, "local_attention": 32}
    return ModernBertModel(ModernBertConfig(**SMALL | shape | ids))


def leaf_ir() -> list[Any]:
    """MiniLM's shape, pooled by the mean and widened."""
    return [bert(), Pooling(32, "mean"), Dense(32, 48, activation_function=torch.nn.Identity())]


def bge_small() -> list[Any]:
    return [bert(), Pooling(32, "cls"), Normalize()]


def gte_modernbert() -> list[Any]:
    """Saved in float16, as on the hub."""
    return [modernbert().half(), Pooling(32, "cls")]


def ettin() -> list[Any]:
    gelu, identity = torch.nn.GELU(), torch.nn.Identity()
    score = Dense(32, 1, activation_function=identity, module_output_name="scores")
    torch.nn.init.normal_(score.linear.weight)  # so that logits lie as far apart as a trained model's
    return [modernbert(), Pooling(32, "cls"), Dense(32, 32, bias=False, activation_function=gelu), LayerNorm(32), score]


@pytest.fixture(scope="module")
def saved(tiny_reranker: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A folder as sentence-transformers saves it."""

    def save(make: Callable[[], list[Any]], kind: Any = SentenceTransformer) -> Path:
        torch.manual_seed(3)
        encoder, *head = make()
        folder = tmp_path_factory.mktemp(make.__name__)
        encoder.save_pretrained(folder / "encoder")
        for name in ("tokenizer.json", "tokenizer_config.json"):
            (folder / "encoder" / name).write_bytes((tiny_reranker / name).read_bytes())
        settings: Any = {"transformer_task": "feature-extraction", "model_kwargs": {"dtype": encoder.dtype}}
        kind(modules=[Transformer(str(folder / "encoder"), **settings), *head]).save_pretrained(str(folder / "saved"))
        return folder / "saved"

    return save


@pytest.fixture(scope="module", params=[leaf_ir, bge_small, gte_modernbert])
def embedder(request: pytest.FixtureRequest, saved: Any, make_spec: Any) -> tuple[Path, Any]:
    dimension = 48 if request.param is leaf_ir else 32
    spec = make_spec("embedder", dimension=dimension, max_tokens=MAX_TOKENS, query_prefix="which star: ")
    return saved(request.param), spec


@pytest.fixture(scope="module")
def reranker(saved: Any, make_spec: Any) -> tuple[Path, Any]:
    return saved(ettin, CrossEncoder), make_spec("reranker", max_tokens=MAX_TOKENS)


def vectors(folder: Path, texts: list[str]) -> Any:
    """By sentence-transformers, one at a time."""
    model = SentenceTransformer(str(folder), model_kwargs={"dtype": torch.float32}, device="cpu", local_files_only=True)
    model.max_seq_length = MAX_TOKENS
    return np.concatenate([model.encode([text], normalize_embeddings=True) for text in texts])


def logits(folder: Path, texts: list[str]) -> list[float]:
    model = CrossEncoder(str(folder), max_length=MAX_TOKENS, activation_fn=torch.nn.Identity(), device="cpu")
    return [float(model.predict([(QUERY, text)])[0]) for text in texts]


def test_vectors_are_those_of_sentence_transformers(embedder: tuple[Path, Any], tmp_path: Path) -> None:
    folder, spec = embedder
    export(folder, spec, tmp_path)
    exported = OnnxEmbedder(tmp_path, spec, threads=1)
    expected = vectors(folder, TEXTS)
    assert np.abs(expected[0] - expected[1]).max() > 1000 * TOLERANCE, "random weights must tell texts apart"
    assert np.abs(exported.embed_passages(TEXTS) - expected).max() < TOLERANCE
    asked = vectors(folder, [f"which star: {text}" for text in TEXTS])
    assert np.abs(exported.embed_queries(TEXTS) - asked).max() < TOLERANCE
    assert np.abs(HubEmbedder(folder, spec).embed_queries(TEXTS) - asked).max() < TOLERANCE


def test_logits_are_those_of_sentence_transformers(reranker: tuple[Path, Any], tmp_path: Path) -> None:
    folder, spec = reranker
    export(folder, spec, tmp_path)
    exported, expected = OnnxReranker(tmp_path, spec, threads=1, windows=False), logits(folder, TEXTS)
    assert len({round(logit, 2) for logit in expected}) == len(TEXTS), "random weights must tell texts apart"
    assert exported.score(QUERY, TEXTS).logits == pytest.approx(expected, abs=1e-4)
    alone = [exported.score(QUERY, [text]).logits[0] for text in TEXTS]
    assert alone == pytest.approx(expected, abs=1e-4)
    assert HubReranker(folder, spec, windows=False).score(QUERY, TEXTS).logits == pytest.approx(expected, abs=1e-4)


def test_int8_products_move_scores_a_little(reranker: tuple[Path, Any], tmp_path: Path) -> None:
    folder, spec = reranker
    export(folder, spec.model_copy(update={"precision": "int8"}), tmp_path)
    rounded = OnnxReranker(tmp_path, spec.model_copy(update={"precision": "int8"}), threads=1, windows=False)
    expected = np.array(logits(folder, TEXTS))
    found = np.array(rounded.score(QUERY, TEXTS).logits)
    assert 0 < np.abs(found - expected).max() < 0.15 * np.ptp(expected)


def test_where_first_tokens_are_read_the_last_layer_has_no_others(embedder: tuple[Path, Any]) -> None:
    folder, spec = embedder
    packed = PackedModel(load_model(folder, spec))
    assert packed._reads_first_tokens == (packed.model.head[0].pooling_mode == "cls")


def test_the_head_stays_exact_where_the_rest_is_rounded(
    reranker: tuple[Path, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In bf16 as on a GPU, logits lie no further from each other than its steps."""
    monkeypatch.setattr("overfetch.inference.hub.best_place", lambda: Place("cpu", "bf16", torch.bfloat16, 4))
    folder, spec = reranker
    model = HubReranker(folder, spec)._model
    assert {p.dtype for p in model[-1].parameters()} == {torch.float32}
    assert {p.dtype for p in model[0].parameters()} == {torch.bfloat16}
    scored = model({**model.preprocess([(QUERY, TEXTS[0])])})["scores"]
    assert scored.dtype == torch.float32


@pytest.mark.parametrize("backend", [TransformersReranker, FlagEmbeddingReranker])
def test_what_would_make_up_a_head_is_refused(backend: Any, reranker: tuple[Path, Any]) -> None:
    folder, spec = reranker
    with pytest.raises(
        SettingsError,
        match=r"does not read tiny-reranker: .* \(Pooling, Dense, LayerNorm, Dense\); set OVERFETCH_BACKEND to onnx or",
    ):
        backend(folder, spec)


def by_the_maximum() -> list[Any]:
    return [bert(), Pooling(32, "max")]


def without_its_prompt() -> list[Any]:
    return [bert(), Pooling(32, "mean", include_prompt=False)]


def of_two_labels() -> list[Any]:
    return [bert(), Pooling(32, "cls"), Dense(32, 2, module_output_name="scores")]


@pytest.mark.parametrize(
    ("make", "kind"), [(by_the_maximum, "embedder"), (without_its_prompt, "embedder"), (of_two_labels, "reranker")]
)
def test_a_chain_that_no_export_knows_is_refused(make: Any, kind: str, saved: Any, make_spec: Any) -> None:
    folder = saved(make, SentenceTransformer if kind == "embedder" else CrossEncoder)
    with pytest.raises(ModelError, match=rf"tiny-{kind}: .*modules.json has a chain that no export knows: \[Pooling"):
        load_model(folder, make_spec(kind))


def test_it_can_be_trained_further_and_served(reranker: tuple[Path, Any], tmp_path: Path) -> None:
    folder, spec = reranker
    (tmp_path / "prepared").mkdir()
    (tmp_path / "prepared" / "source").symlink_to(folder)
    trainee = Trainee(restore(tmp_path / "prepared", spec), TextTokenizer(folder / "tokenizer.json", MAX_TOKENS))
    pairs = [(QUERY, text) for text in TEXTS]
    assert trainee.logits(pairs).tolist() == pytest.approx(logits(folder, TEXTS), abs=1e-4)
    torch.autograd.backward(trainee.logits(pairs).sum())
    with torch.no_grad():
        for parameter in trainee.model.parameters():
            if parameter.grad is not None:
                parameter -= 0.01 * parameter.grad
    moved = trainee.logits(pairs).tolist()
    assert moved != pytest.approx(logits(folder, TEXTS), abs=0.01)
    export_exact(trainee.model, folder / "tokenizer.json", spec, tmp_path / "tuned")
    tuned = OnnxReranker(tmp_path / "tuned", spec, threads=1, windows=False)
    assert tuned.score(QUERY, TEXTS).logits == pytest.approx(moved, abs=1e-4)


FILES = {
    "modules.json": True,
    "config.json": True,
    "model.safetensors": True,
    "tokenizer.json": True,
    "1_Pooling/config.json": True,
    "2_Dense/model.safetensors": True,
    "3_LayerNorm/model.safetensors": True,
    "4_Dense/config.json": True,
    "onnx/model.onnx": False,
    "onnx/config.json": False,
    "pytorch_model.bin": False,
}


def test_of_the_hubs_files_the_whole_chain_is_fetched() -> None:
    fetched = filter_repo_objects(FILES, allow_patterns=PATTERNS, ignore_patterns=IGNORED)
    assert set(fetched) == {name for name, wanted in FILES.items() if wanted}
