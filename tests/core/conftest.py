"""Tiny real models with random weights, made once: the code paths of the large ones in seconds."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

from overfetch.environment import ServerSettings
from overfetch.models import ModelSpec
from overfetch.protocols import Store
from overfetch.stores.edge import EdgeStore
from overfetch.stores.server import ServerStore
from overfetch.testing import FakeStore

MAX_TOKENS = 48
WORDS = ["the", "tower", "falls", "a", "star", "rises", "weather", "long", "rain", "over", "hill", "query", "passage"]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]

MakeSpec = Callable[..., ModelSpec]


@pytest.fixture(params=["edge", "memory", "fake"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """Each kind in turn."""
    opened: Store = FakeStore()
    if request.param != "fake":
        opened = EdgeStore(tmp_path / "edge") if request.param == "edge" else ServerStore(":memory:", ServerSettings())
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def make_spec() -> MakeSpec:
    """A ModelSpec of the tiny models; keyword arguments replace fields."""

    def make(kind: Literal["embedder", "reranker"], **fields: Any) -> ModelSpec:
        tiny: dict[str, Any] = {
            "name": f"tiny-{kind}",
            "kind": kind,
            "repo": f"tests/tiny-{kind}",
            "revision": "0123456789abcdef",
            "licence": "none",
            "max_tokens": MAX_TOKENS,
            "languages": ("en",),
            "dimension": 32 if kind == "embedder" else None,
        }
        return ModelSpec.model_validate({**tiny, **fields})

    return make


def _save_tokenizer(folder: Path) -> None:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    names = [*SPECIAL, *WORDS, *letters, *(f"##{letter}" for letter in letters), ".", ",", ":", "'"]
    vocabulary = {name: number for number, name in enumerate(dict.fromkeys(names))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", vocabulary["[SEP]"]), ("[CLS]", vocabulary["[CLS]"]))
    options: dict[str, Any] = {f"{name[1:-1].lower()}_token": name for name in SPECIAL}
    options |= {"model_max_length": MAX_TOKENS, "model_input_names": ["input_ids", "token_type_ids", "attention_mask"]}
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **options)  # type: ignore[no-untyped-call]
    fast.save_pretrained(folder)


def _tiny_config(**fields: Any) -> Any:
    """Weights far larger than usual, so that different texts get clearly different outputs."""
    from transformers import BertConfig

    return BertConfig(
        vocab_size=128,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=MAX_TOKENS,
        initializer_range=0.5,
        **fields,
    )


@pytest.fixture(scope="session")
def tiny_embedder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A transformers folder of a BERT encoder: 2 layers x 32."""
    import torch
    from transformers import BertModel

    folder = tmp_path_factory.mktemp("tiny-embedder")
    torch.manual_seed(1)
    BertModel(_tiny_config()).save_pretrained(folder)
    _save_tokenizer(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_reranker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A transformers folder of a BERT sequence classifier with one label: 2 layers x 32."""
    import torch
    from transformers import BertForSequenceClassification

    folder = tmp_path_factory.mktemp("tiny-reranker")
    torch.manual_seed(2)
    BertForSequenceClassification(_tiny_config(num_labels=1)).save_pretrained(folder)
    _save_tokenizer(folder)
    return folder


def _save_unigram_tokenizer(folder: Path) -> None:
    """Pairs as XLM-RoBERTa writes them: <s> query </s></s> passage </s>."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    letters = [("▁", -4.0), *((chr(code), -5.0) for code in range(ord("a"), ord("z") + 1))]
    words = [(f"▁{word}", -2.0) for word in WORDS]
    special = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    tokenizer = Tokenizer(models.Unigram([*special, *words, *letters], unk_id=3))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    names = {"bos_token": "<s>", "eos_token": "</s>", "sep_token": "</s>", "cls_token": "<s>", "pad_token": "<pad>"}
    options: dict[str, Any] = {**names, "unk_token": "<unk>", "model_max_length": 512}
    options["model_input_names"] = ["input_ids", "attention_mask"]
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **options)  # type: ignore[no-untyped-call]
    fast.save_pretrained(folder)


@pytest.fixture(scope="session")
def tiny_xlm_reranker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """bge-reranker: an XLM-RoBERTa sequence classifier with one label, here 2 layers x 32."""
    import torch
    from transformers import XLMRobertaConfig, XLMRobertaForSequenceClassification

    folder = tmp_path_factory.mktemp("xlm-roberta")
    torch.manual_seed(3)
    shape: dict[str, Any] = {"num_labels": 1, "initializer_range": 0.5, "max_position_embeddings": MAX_TOKENS + 2}
    shape |= {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 32, "intermediate_size": 64}
    config = XLMRobertaConfig(vocab_size=64, **shape)
    XLMRobertaForSequenceClassification(config).save_pretrained(folder)
    _save_unigram_tokenizer(folder)
    return folder


@pytest.fixture(scope="session")
def exported_embedder(tiny_embedder: Path, make_spec: MakeSpec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The encoder as `overfetch models prepare` exports it."""
    from overfetch.inference.quantising import export

    target = tmp_path_factory.mktemp("exported-embedder")
    export(tiny_embedder, make_spec("embedder"), target)
    return target


@pytest.fixture(scope="session")
def exported_reranker(tiny_reranker: Path, make_spec: MakeSpec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The classifier as `overfetch models prepare` exports it."""
    from overfetch.inference.quantising import export

    target = tmp_path_factory.mktemp("exported-reranker")
    export(tiny_reranker, make_spec("reranker"), target)
    return target


@pytest.fixture(scope="session")
def exported_int8(tiny_reranker: Path, make_spec: MakeSpec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The classifier with int8 products, as the mini weights ship."""
    from transformers import AutoModelForSequenceClassification

    from overfetch.inference.quantising import export_int8

    target = tmp_path_factory.mktemp("exported-int8")
    model = AutoModelForSequenceClassification.from_pretrained(tiny_reranker)
    export_int8(model, tiny_reranker / "tokenizer.json", make_spec("reranker", precision="int8"), target)
    return target
