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
from overfetch.inference.onnx import OnnxModel
from overfetch.settings import ModelSpec

MAX_DIFFERENCE = 1e-4
SAMPLES = (
    ("which page explains pinning", "Pin the model to a commit, so that reproducibility does not drift."),
    ("tower", "A long passage about weather. " * 20),
)


class MeanPooled(torch.nn.Module):
    """Mean of the token vectors under the mask, scaled to unit length (Reimers & Gurevych 2019)."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any) -> torch.Tensor:
        hidden = self.encoder(
            input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids
        ).last_hidden_state
        mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
        mean = (hidden * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1e-9)
        return torch.nn.functional.normalize(mean, dim=1)


class Logits(torch.nn.Module):
    """The raw logit of a sequence classifier with one label."""

    def __init__(self, classifier: Any) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any) -> torch.Tensor:
        logits: torch.Tensor = self.classifier(
            input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids
        ).logits
        return logits


def export(source: Path, spec: ModelSpec, target: Path) -> None:
    """The model of a transformers folder as `target/model.onnx` and `target/tokenizer.json`. See `export_module`."""
    transformers_logging.disable_progress_bar()
    export_module(_load(source, spec), source / "tokenizer.json", spec, target)


def export_module(model: torch.nn.Module, tokenizer: Path, spec: ModelSpec, target: Path) -> None:
    """Raises ModelError where the exported graph differs from torch by more than MAX_DIFFERENCE."""
    model.eval()
    shutil.copyfile(tokenizer, target / "tokenizer.json")
    ids = torch.ones((2, 8), dtype=torch.long)
    # A mask without a zero would be optimised away while tracing, and padding would count as text.
    mask = torch.tensor([[1] * 8, [1] * 5 + [0] * 3])
    shape = {0: torch.export.Dim("batch"), 1: torch.export.Dim("tokens", max=spec.max_tokens)}
    names = ("input_ids", "attention_mask", "token_type_ids")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        torch.onnx.export(
            model,
            (ids, mask, torch.zeros_like(ids)),
            str(target / "model.onnx"),
            input_names=list(names),
            dynamo=True,
            external_data=False,
            verbose=False,
            dynamic_shapes=dict.fromkeys(names, shape),
        )
    strip_traces(target / "model.onnx")
    difference = _largest_difference(model, OnnxModel(target, spec))
    if difference > MAX_DIFFERENCE:
        raise ModelError(f"{spec.name}: the exported model differs from torch by {difference:.2g}; not accepted")


def strip_traces(path: Path) -> None:
    """Removes what the exporter notes about its source: stack traces that name folders of this machine."""
    model = onnx.load(path)
    graph = model.graph
    for noted in (graph, *graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        del noted.metadata_props[:]
        noted.doc_string = ""
    onnx.save(model, path)


def _load(source: Path, spec: ModelSpec) -> torch.nn.Module:
    if spec.kind == "embedder":
        return MeanPooled(AutoModel.from_pretrained(source, local_files_only=True))
    return Logits(AutoModelForSequenceClassification.from_pretrained(source, num_labels=1, local_files_only=True))


@torch.no_grad()
def _largest_difference(model: torch.nn.Module, exported: OnnxModel) -> float:
    """Over the sample pairs, one at a time and as one padded batch."""
    tokens = [exported.tokenizer.pair(query, passage) for query, passage in SAMPLES]
    batch = torch.from_numpy(exported.run(tokens))
    single = [
        model(torch.tensor([t.ids]), torch.ones(1, len(t.ids), dtype=torch.long), torch.tensor([t.type_ids]))
        for t in tokens
    ]
    alone = torch.cat([torch.from_numpy(exported.run([t])) for t in tokens])
    expected = torch.cat(single)
    return float(max((batch - expected).abs().max(), (alone - expected).abs().max()))
