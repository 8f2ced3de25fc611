"""Products of int8 by int8: near the exact ones, nearer with samples, and the same whatever else is read."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from transformers import BertConfig, BertForSequenceClassification

from overfetch.inference.int8_products import MATRIX, WEIGHT_STEPS, exact_matrices, round_matrix
from overfetch.inference.interaction import InteractionCrossEncoder
from overfetch.inference.onnx import OnnxModel
from overfetch.inference.quantising import export_exact, export_int8
from overfetch.inference.restoring import restore
from overfetch.inference.tokenizing import Tokens

SMALL: dict[str, Any] = {"vocab_size": 128, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
SMALL |= {"intermediate_size": 64, "initializer_range": 0.4}
DRAW = np.random.default_rng(5)


def bert() -> Any:
    return BertForSequenceClassification(BertConfig(**SMALL | {"num_labels": 1, "max_position_embeddings": 200}))


def interaction() -> Any:
    return InteractionCrossEncoder(BertConfig(**SMALL, max_position_embeddings=200))


def sequences(*lengths: int) -> list[Tokens]:
    """Of a query of three tokens, and a passage."""
    return [Tokens(DRAW.integers(5, 120, n).tolist(), [0, 0, 0, *[1] * (n - 3)], 0) for n in lengths]


SAMPLES = [sequences(*range(5, 60, 6)) for _ in range(20)]
READ = sequences(*range(5, 40), 60, 64, 65, 100, 127, 128, 129, 180)


@pytest.fixture(scope="module", params=[bert, interaction])
def exported(
    request: pytest.FixtureRequest, tiny_reranker: Path, make_spec: Any, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Folders by how the same weights were exported; what layers read has a channel far out, as real models have."""
    folder = tmp_path_factory.mktemp("int8")
    exports: dict[str, Any] = {
        "exact": export_exact,
        "plain": export_int8,
        "sampled": partial(export_int8, samples=SAMPLES),
    }
    for name, export in exports.items():
        torch.manual_seed(3)
        model = request.param()
        for module in model.modules():
            if isinstance(module, torch.nn.LayerNorm):
                torch.nn.init.normal_(module.weight, mean=1, std=0.1)
                module.weight.data[7] = 5.0
        export(model, tiny_reranker / "tokenizer.json", make_spec("reranker"), folder / name)
    return folder


def test_scores_are_near_the_exact_ones_and_nearer_with_samples(exported: Path, make_spec: Any) -> None:
    found = {
        name: OnnxModel(exported / name, make_spec("reranker")).run(READ) for name in ("exact", "plain", "sampled")
    }
    lost = {name: float(np.abs(scores - found["exact"]).mean()) for name, scores in found.items()}
    assert 0 < lost["sampled"] < lost["plain"]
    assert lost["sampled"] < 0.1 * found["exact"].std()


def test_a_score_is_the_same_whatever_else_is_read(exported: Path, make_spec: Any) -> None:
    model = OnnxModel(exported / "sampled", make_spec("reranker"))
    together, alone = model.run(READ), np.concatenate([model.run([tokens]) for tokens in READ])
    halves = np.concatenate([model.run(READ[:20]), model.run(READ[20:])])
    assert np.abs(together - alone).max() < 1e-5
    assert np.abs(together - halves).max() < 1e-5


def test_every_linear_layer_is_rounded_to_seven_bits(exported: Path) -> None:
    graph = onnx.load(exported / "sampled" / "model.onnx").graph
    matrices = [numpy_helper.to_array(entry) for entry in graph.initializer if entry.name.endswith(MATRIX)]
    assert not [node.op_type for node in graph.node if node.op_type == "Gemm"]
    assert len(matrices) == len(exact_matrices(graph)) >= 8
    assert all(matrix.dtype == np.int8 and np.abs(matrix).max() == WEIGHT_STEPS for matrix in matrices)


def test_it_can_be_trained_further(tiny_reranker: Path, make_spec: Any, tmp_path: Path) -> None:
    model = interaction()
    for parameter in model.parameters():  # equal ones would become one
        torch.nn.init.normal_(parameter, std=0.5)
    before = {name: values.clone() for name, values in model.state_dict().items()}
    spec = make_spec("reranker", precision="int8")
    export_int8(model, tiny_reranker / "tokenizer.json", spec, tmp_path, SAMPLES)
    restored = restore(tmp_path, spec).state_dict()
    assert restored.keys() == before.keys()
    for name, values in restored.items():
        assert (values - before[name]).abs().mean() <= 0.1 * before[name].abs().mean(), name


def test_later_weights_mend_what_rounding_earlier_ones_breaks() -> None:
    mixed = DRAW.normal(size=(500, 24)).astype(np.float32) @ DRAW.normal(size=(24, 200)).astype(np.float32)
    matrix = DRAW.normal(size=(30, 200)).astype(np.float32)
    exact = mixed @ matrix.T
    lost = []
    for products in (None, mixed.T @ mixed):
        values, steps = round_matrix(matrix, products)
        lost.append(float(np.abs(mixed @ (values * steps[:, None]).T - exact).mean()))
    assert lost[1] < lost[0] / 2
