"""Export of a torch encoder to ONNX, accepted only where it agrees with torch. Imports torch: only when preparing."""

import logging
import shutil
import warnings
from pathlib import Path
from typing import Any

import onnx
import torch
from transformers import AutoModel, AutoModelForSequenceClassification
from transformers.utils import logging as transformers_logging

from overfetch.errors import ModelError
from overfetch.inference.chain import head_of
from overfetch.inference.graphs import attend_unmasked_alone, strip_traces
from overfetch.inference.headed import load_headed
from overfetch.inference.onnx import OnnxModel, lay_out
from overfetch.inference.packing import INPUTS, PackedModel, mean_vector
from overfetch.inference.tokenizing import Tokens
from overfetch.models import ModelSpec

MAX_DIFFERENCE = 1e-4
ONE_FILE = 1.5e9  # bytes
EXAMPLE = [Tokens([1] * length, [0] * length, 0) for length in (5, 3, 4)]
SAMPLES = (
    ("which page explains pinning", "Pin the model to a commit, so that reproducibility does not drift."),
    ("tower", "A long passage about weather. " * 20),
)


class Padded(torch.nn.Module):
    """The model as transformers runs it, one padded batch; what an export is compared with."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model.eval()

    def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any) -> torch.Tensor:
        """int64 [batch, tokens] each; float32 [batch, outputs]."""
        output = self.model(input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids)
        if hasattr(output, "logits"):
            logits: torch.Tensor = output.logits
            return logits
        return mean_vector(output.last_hidden_state, attention_mask)


def export_module(model: Any, tokenizer: Path, spec: ModelSpec, target: Path) -> None:
    """The packed graph; raises ModelError where there is none, or it differs from torch by more than MAX_DIFFERENCE."""
    shutil.copyfile(tokenizer, target / "tokenizer.json")
    try:
        _write_graph(model, target / "model.onnx")
        difference = _largest_difference(Padded(model), OnnxModel(target, spec))
    except Exception as error:  # each architecture that is unknown fails in a way of its own
        raise ModelError(f"{spec.name}: {type(model).__name__} cannot be packed ({type(error).__name__})") from error
    if difference > MAX_DIFFERENCE:
        raise ModelError(f"{spec.name}: the exported model differs from torch by {difference:.2g}; not accepted")


def _write_graph(model: Any, path: Path) -> None:
    tokens, sequences, longest = (torch.export.Dim(name) for name in ("tokens", "sequences", "longest"))
    shapes = [{0: tokens}, {0: tokens}, {0: tokens}, {0: sequences, 1: longest}, {0: sequences}, {0: tokens}]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        torch.onnx.export(
            PackedModel(model),
            tuple(torch.from_numpy(array) for array in lay_out(EXAMPLE).values()),
            str(path),
            input_names=list(INPUTS),
            dynamo=True,
            external_data=_size(model) > ONE_FILE,  # a file of protobuf holds 2 GiB at most
            verbose=False,
            dynamic_shapes=shapes,
        )
    graph = onnx.load(path, load_external_data=False)
    strip_traces(graph)
    attend_unmasked_alone(graph)
    onnx.save(graph, path)


def _size(model: Any) -> int:
    """Bytes of its parameters and buffers."""
    return sum(t.numel() * t.element_size() for t in [*model.parameters(), *model.buffers()])


def load_model(source: Path, spec: ModelSpec) -> Any:
    """The model of a transformers folder, in float32 whatever it is saved in, with what sentence-transformers saved
    beside it. Raises ModelError where that is more than any export knows.
    """
    transformers_logging.disable_progress_bar()
    if head_of(source):
        return load_headed(source, spec)
    if spec.kind == "embedder":
        return AutoModel.from_pretrained(source, dtype=torch.float32, local_files_only=True)
    return AutoModelForSequenceClassification.from_pretrained(
        source, num_labels=1, dtype=torch.float32, local_files_only=True
    )


@torch.no_grad()
def _largest_difference(model: torch.nn.Module, exported: OnnxModel) -> float:
    """Over the sample pairs, one at a time and together."""
    tokens = [exported.tokenizer.pair(query, passage) for query, passage in SAMPLES]
    batch = torch.from_numpy(exported.run(tokens))
    single = [
        model(torch.tensor([t.ids]), torch.ones(1, len(t.ids), dtype=torch.long), torch.tensor([t.type_ids]))
        for t in tokens
    ]
    alone = torch.cat([torch.from_numpy(exported.run([t])) for t in tokens])
    expected = torch.cat(single)
    return float(max((batch - expected).abs().max(), (alone - expected).abs().max()))
