"""Packed graphs of every architecture that is pinned agree with torch, whatever shares their run."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    AlbertConfig,
    AlbertForSequenceClassification,
    BertConfig,
    BertForSequenceClassification,
    ModernBertConfig,
    ModernBertForSequenceClassification,
    ModernBertModel,
    MPNetConfig,
    MPNetForSequenceClassification,
    NomicBertConfig,
    NomicBertModel,
    RobertaPreLayerNormConfig,
    RobertaPreLayerNormForSequenceClassification,
    XLMRobertaConfig,
    XLMRobertaForSequenceClassification,
)

from overfetch.benchmarks.contenders import tokenizer_of_one_type
from overfetch.errors import ModelError
from overfetch.inference.export import Padded, export_module
from overfetch.inference.interaction import InteractionCrossEncoder
from overfetch.inference.interaction_mpnet import MPNetInteractionCrossEncoder
from overfetch.inference.onnx import OnnxModel, lay_out
from overfetch.inference.packing import INPUTS, FirstTokens, PackedModel
from overfetch.inference.packing_modernbert import ModernFirstTokens
from overfetch.inference.quantising import export_exact, export_int8
from overfetch.inference.tokenizing import Tokens

TOLERANCE, CLOSE = 1e-4, 3e-5
SMALL: dict[str, Any] = {"vocab_size": 128, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
SMALL |= {"intermediate_size": 64, "max_position_embeddings": 60, "initializer_range": 0.5}
ONE_LABEL = SMALL | {"num_labels": 1}


def bert() -> Any:
    return BertForSequenceClassification(BertConfig(**ONE_LABEL))


def interaction() -> Any:
    return with_head_at_work(InteractionCrossEncoder(BertConfig(**SMALL)))


def interaction_mpnet() -> Any:
    """Biases by distance, positions after the padding index, no types but in its head."""
    return with_head_at_work(MPNetInteractionCrossEncoder(MPNetConfig(**SMALL)))


def with_head_at_work(model: Any) -> Any:
    torch.nn.init.normal_(model.token_weight)
    torch.nn.init.normal_(model.cls_weight)
    return model


def mpnet(**settings: Any) -> Any:
    return MPNetForSequenceClassification(MPNetConfig(**ONE_LABEL | settings))


def xlm_roberta() -> Any:
    """The architecture of the bge rerankers: positions begin after the padding index, and there is one type."""
    return XLMRobertaForSequenceClassification(XLMRobertaConfig(**ONE_LABEL, type_vocab_size=1, pad_token_id=1))


def pre_layer_norm() -> Any:
    """Named as BERT's layers are, and with a norm before each block: its last layer is computed whole."""
    config = RobertaPreLayerNormConfig(**ONE_LABEL, type_vocab_size=1, pad_token_id=1)
    return RobertaPreLayerNormForSequenceClassification(config)


def nomic() -> Any:
    """The architecture of nomic-embed-text-v1.5: rotary positions, gated feed-forward blocks."""
    return NomicBertModel(NomicBertConfig(**SMALL))


def modernbert_config(**settings: Any) -> ModernBertConfig:
    """Every third layer is global; the others see 8 tokens to each side, so that short sequences have a beyond."""
    special = ("pad", "bos", "eos", "cls", "sep")
    ids: dict[str, Any] = {f"{name}_token_id": number for number, name in enumerate(special)}
    shape: dict[str, Any] = {"num_hidden_layers": 4, "local_attention": 16, "local_rope_theta": 100.0}
    return ModernBertConfig(**SMALL | shape | ids | {"max_position_embeddings": 600, "num_labels": 1} | settings)


def modernbert(**settings: Any) -> Any:
    """The architecture of gte-reranker-modernbert-base, and of the ettin rerankers but for how their head is kept."""
    return ModernBertForSequenceClassification(modernbert_config(**settings))


def modernbert_by_mean() -> Any:
    return modernbert(classifier_pooling="mean", attention_bias=True, mlp_bias=True, norm_bias=True)


def modernbert_encoder() -> Any:
    return ModernBertModel(modernbert_config())


def ends_locally() -> Any:
    """The last layer, computed for first tokens alone, sees no further than any local one."""
    return modernbert(num_hidden_layers=3, attention_bias=True)


ONE_TYPE = (xlm_roberta, pre_layer_norm)
MODERN = (modernbert, modernbert_by_mean, modernbert_encoder, ends_locally)


def sequences(one_type: bool, lengths: Sequence[int] = (17, 3, 48, 9, 9)) -> list[Tokens]:
    draw = np.random.default_rng(7)
    return [Tokens(draw.integers(5, 99, n).tolist(), [0] * n if one_type else [0, 0, *[1] * n][:n], 0) for n in lengths]


@pytest.mark.parametrize("make", [bert, interaction, xlm_roberta, pre_layer_norm, nomic, mpnet, interaction_mpnet])
def test_together_and_alone_outputs_are_those_of_torch(
    make: Any, tiny_reranker: Path, make_spec: Any, tmp_path: Path
) -> None:
    torch.manual_seed(3)
    model = make()
    tokenizer = tiny_reranker / "tokenizer.json"
    if make in ONE_TYPE:
        one_type = tokenizer_of_one_type(tokenizer)
        tokenizer = tmp_path / "one-type.json"
        one_type.save(str(tokenizer))
    export_module(model, tokenizer, make_spec("reranker"), tmp_path)
    packed = OnnxModel(tmp_path, make_spec("reranker"))
    batch = sequences(one_type=make in ONE_TYPE)
    expected = alone_in_torch(model, batch)
    assert np.ptp(expected, axis=0).max() > 100 * TOLERANCE, "random weights must tell sequences apart"
    assert np.abs(packed.run(batch) - expected).max() < TOLERANCE
    assert np.abs(np.concatenate([packed.run([tokens]) for tokens in batch]) - expected).max() < TOLERANCE


@torch.inference_mode()
def alone_in_torch(model: Any, batch: Sequence[Tokens]) -> Any:
    padded = Padded(model)
    rows = [
        padded(torch.tensor([t.ids]), torch.ones(1, len(t.ids), dtype=torch.long), torch.tensor([t.type_ids]))
        for t in batch
    ]
    return torch.cat(rows).numpy()


def test_biases_by_distance_are_those_of_torch_at_all_lengths(
    tiny_reranker: Path, make_spec: Any, tmp_path: Path
) -> None:
    """Buckets are exact up to 7 tokens, then ever wider, and one beyond 128."""
    torch.manual_seed(3)
    model = mpnet(max_position_embeddings=202)
    export_module(model, tiny_reranker / "tokenizer.json", make_spec("reranker"), tmp_path)
    packed = OnnxModel(tmp_path, make_spec("reranker"))
    batch = sequences(False, [*range(1, 41), 131, 150, 200])
    expected = alone_in_torch(model, batch)
    assert np.abs(packed.run(batch) - expected).max() < TOLERANCE
    assert np.abs(packed.run(batch[:5]) - expected[:5]).max() < TOLERANCE
    assert np.abs(np.concatenate([packed.run([tokens]) for tokens in batch]) - expected).max() < TOLERANCE


@pytest.mark.parametrize(("make", "piece"), [*((make, 32) for make in MODERN), (modernbert, 192)])
def test_local_layers_see_as_far_as_in_torch_at_all_lengths(
    make: Any, piece: int, tiny_reranker: Path, make_spec: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Around the window and a piece, whatever shares the run."""
    monkeypatch.setattr("overfetch.inference.packing_modernbert.PIECE", piece)
    torch.manual_seed(3)
    model = make()
    export_module(model, tiny_reranker / "tokenizer.json", make_spec("reranker"), tmp_path)
    packed = OnnxModel(tmp_path, make_spec("reranker"))
    batch = sequences(False, [1, 7, 8, 9, 10, 16, 17, 18, 31, 32, 33, 48, 49, 191, 192, 193, 208, 384, 385, 500])
    expected = alone_in_torch(model, batch)
    assert np.ptp(expected, axis=0).max() > 100 * TOLERANCE, "random weights must tell sequences apart"
    assert np.abs(packed.run(batch) - expected).max() < CLOSE
    assert np.abs(packed.run(batch[:5]) - expected[:5]).max() < CLOSE
    assert np.abs(np.concatenate([packed.run([tokens]) for tokens in batch]) - expected).max() < CLOSE


@pytest.mark.parametrize(
    ("make", "expected"), [(bert, True), (xlm_roberta, True), (pre_layer_norm, False), (interaction, False)]
)
def test_of_a_last_layer_only_what_is_read_is_computed(make: Any, expected: bool) -> None:
    layers = PackedModel(make()).model.base_model.encoder.layer
    assert isinstance(layers[-1], FirstTokens) == expected
    assert not isinstance(layers[0], FirstTokens)


@pytest.mark.parametrize(
    ("make", "expected"),
    [(modernbert, True), (ends_locally, True), (modernbert_by_mean, False), (modernbert_encoder, False)],
)
def test_so_it_is_with_modernbert_where_cls_is_read(make: Any, expected: bool) -> None:
    layers = PackedModel(make()).model.base_model.layers
    assert isinstance(layers[-1], ModernFirstTokens) == expected
    assert not isinstance(layers[0], ModernFirstTokens)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_weights_beside_a_graph_too_large_for_one_file(
    precision: str, tiny_reranker: Path, make_spec: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As bge-reranker-v2-m3's 2.3 GB are kept: protobuf ends at two."""
    spec = make_spec("reranker", precision="int8" if precision == "int8" else "fp32")
    write = {"fp32": export_exact, "int8": export_int8}[precision]
    batch, scores = sequences(one_type=False), {}
    for place, limit in (("inside", 1.5e9), ("beside", 0)):
        monkeypatch.setattr("overfetch.inference.export.ONE_FILE", limit)
        torch.manual_seed(3)
        write(bert(), tiny_reranker / "tokenizer.json", spec, tmp_path / place)
        scores[place] = OnnxModel(tmp_path / place, spec).run(batch)
    assert np.array_equal(scores["inside"], scores["beside"])
    beside = (tmp_path / "beside/model.onnx.data").exists()
    assert beside == (precision == "fp32"), "what is made small fits into one file"


def test_the_model_given_is_left_as_it_was(tiny_reranker: Path, make_spec: Any, tmp_path: Path) -> None:
    model = bert().eval()
    before = {type(module) for module in model.modules()}
    export_module(model, tiny_reranker / "tokenizer.json", make_spec("reranker"), tmp_path)
    assert {type(module) for module in model.modules()} == before
    assert model.config._attn_implementation != "packed"


def test_no_token_is_padding() -> None:
    inputs = lay_out(sequences(one_type=False))
    assert tuple(inputs) == INPUTS
    assert len(inputs["input_ids"]) == len(inputs["rows"]) == 17 + 3 + 48 + 9 + 9
    assert inputs["slots"].shape == (5, 48)


def test_an_encoder_that_cannot_be_packed_is_refused(tiny_reranker: Path, make_spec: Any, tmp_path: Path) -> None:
    """Attention of its own would look at all sequences of a run at once: the comparison finds out."""
    model = bert()
    model.base_model.set_attn_implementation = lambda name: None
    with pytest.raises(ModelError, match=r"tiny-reranker: the exported model differs from torch by .*; not accepted"):
        export_module(model, tiny_reranker / "tokenizer.json", make_spec("reranker"), tmp_path)


def test_an_architecture_that_fails_is_refused_by_name(tiny_reranker: Path, make_spec: Any, tmp_path: Path) -> None:
    """Its layers are not asked through the interface as others' are: a graph comes out, and does not run."""
    model = AlbertForSequenceClassification(AlbertConfig(**ONE_LABEL, embedding_size=16))
    with pytest.raises(ModelError, match=r"tiny-reranker: AlbertForSequenceClassification cannot be packed \("):
        export_module(model, tiny_reranker / "tokenizer.json", make_spec("reranker"), tmp_path)
