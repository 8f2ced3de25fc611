"""Matrices as int8 rows, in files beside their graph: scores are those of the rows, float32 products and all."""

import os
from pathlib import Path
from shutil import copytree
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from transformers import BertConfig, MPNetConfig

from overfetch.errors import ModelError
from overfetch.inference.interaction import InteractionCrossEncoder
from overfetch.inference.interaction_mpnet import MPNetInteractionCrossEncoder
from overfetch.inference.onnx import OnnxModel, session_options
from overfetch.inference.quantising import export_exact, export_in_rows
from overfetch.inference.restoring import restore
from overfetch.inference.rows import ROWS, Rows, rows_of
from overfetch.inference.tokenizing import Tokens

SMALL: dict[str, Any] = {"vocab_size": 128, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
SMALL |= {"intermediate_size": 64, "max_position_embeddings": 60}
BATCH = [Tokens([7, *range(20, 20 + length)], [0, 0, *[1] * (length - 1)], 0) for length in (5, 40, 12)]
PART_BYTES = 6000


@pytest.fixture(
    scope="module", params=[(InteractionCrossEncoder, BertConfig), (MPNetInteractionCrossEncoder, MPNetConfig)]
)
def model(request: pytest.FixtureRequest) -> Any:
    """Made of rows."""
    torch.manual_seed(3)
    architecture, config = request.param
    made = architecture(config(**SMALL))
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    exact = {name: torch.tensor(rows.exact()) for name, rows in rows_of(made).items()}
    made.load_state_dict({**made.state_dict(), **exact})
    return made.eval()


@pytest.fixture(scope="module")
def folder(model: Any, tiny_reranker: Path, make_spec: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("rows")
    (target / "weights-77.bin").write_text("of an export before")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("overfetch.inference.rows.PART_BYTES", PART_BYTES)
        export_in_rows(model, rows_of(model), tiny_reranker / "tokenizer.json", make_spec("reranker"), target)
    return target


def test_scores_are_those_of_the_rows(
    model: Any, folder: Path, tiny_reranker: Path, make_spec: Any, tmp_path: Path
) -> None:
    spec = make_spec("reranker")
    export_exact(model, tiny_reranker / "tokenizer.json", spec, tmp_path / "exact")
    expected = OnnxModel(tmp_path / "exact", spec).run(BATCH)
    assert np.abs(OnnxModel(folder, spec).run(BATCH) - expected).max() < 1e-5


def test_the_files_are_parts_of_int8(model: Any, folder: Path) -> None:
    parts = sorted(path.name for path in folder.glob("weights-*.bin"))
    assert parts == [f"weights-{number}.bin" for number in range(len(parts))]
    assert len(parts) > 1
    sizes = [(folder / part).stat().st_size for part in parts]
    assert max(sizes) <= PART_BYTES
    assert sum(sizes) == sum(p.numel() for p in model.parameters() if p.dim() == 2)
    inside = onnx.load(folder / "model.onnx", load_external_data=False).graph.initializer
    assert all(entry.data_location == onnx.TensorProto.EXTERNAL for entry in inside if entry.name.endswith(ROWS))
    assert {path.name for path in folder.iterdir()} == {"config.json", "model.onnx", "tokenizer.json", *parts}


def test_loading_makes_them_float32_once_and_leaves_the_table_of_words(folder: Path, tmp_path: Path) -> None:
    options = session_options(threads=1)
    options.optimized_model_filepath = str(tmp_path / "loaded.onnx")
    onnxruntime.InferenceSession(str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"])
    loaded = onnx.load(tmp_path / "loaded.onnx", load_external_data=False).graph
    kept = {entry.name: list(entry.dims) for entry in loaded.initializer if entry.data_type == onnx.TensorProto.INT8}
    assert list(kept.values()) == [[SMALL["vocab_size"], SMALL["hidden_size"]]]
    assert [node.op_type for node in loaded.node if kept.keys() & set(node.input)] == ["Gather"]


def test_it_can_be_trained_further_where_uv_linked_it(model: Any, folder: Path, make_spec: Any, tmp_path: Path) -> None:
    copytree(folder, tmp_path / "installed", copy_function=os.link)
    restored = restore(tmp_path / "installed", make_spec("reranker"))
    assert type(restored) is type(model)
    assert restored.state_dict().keys() == model.state_dict().keys()
    assert all(torch.equal(restored.state_dict()[name], values) for name, values in model.state_dict().items())


def test_without_a_part_it_is_refused(folder: Path, make_spec: Any, tmp_path: Path) -> None:
    copied = copytree(folder, tmp_path / "copied")
    (copied / "weights-1.bin").unlink()
    with pytest.raises(ModelError, match=r"weights-1\.bin"):
        OnnxModel(copied, make_spec("reranker"))


def test_a_row_of_zeros_stays_one() -> None:
    rows = Rows.of(np.array([[0.0, 0.0], [0.5, -1.0]], np.float32))
    assert rows.exact() == pytest.approx(np.array([[0.0, 0.0], [0.5, -1.0]]), abs=0.01)
    assert rows.values.dtype == np.int8
