"""Turn a reader of MPNet's shape into the files that ship: a graph, and its int8 rows as they lie in its parts.

    uv run --group dev python packages/overfetch-mini/training/export_reader.py --parts FOLDER --base FOLDER

`--parts` is what `contrast.py` kept, `--base` the model that it began from, for its configuration. Prints how far the
logits of written pairs differ from the trained model's, and the sha256 sums for shared/models.toml.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from contrast_reader import Reader, as_mpnet, load_parts
from export import print_sums
from transformers import MPNetConfig
from written import FOLDER, read_sets

from overfetch.inference.interaction_mpnet import MPNetInteractionCrossEncoder
from overfetch.inference.onnx import OnnxModel
from overfetch.inference.quantising import export_in_rows
from overfetch.inference.rows import Rows
from overfetch.models import ModelSpec, read_models

PACKAGES = Path(__file__).parents[2]
TOKENIZER = PACKAGES / "overfetch-mini/src/overfetch_mini/weights/all-minilm-l6-v2/tokenizer.json"
TARGET = PACKAGES / "overfetch-reader/src/overfetch_reader"
BERT_WORDS, WORDS = 30522, "mpnet.embeddings.word_embeddings.weight"
PAIRS = 30


def read_parts(folder: Path) -> tuple[dict[str, Rows], dict[str, torch.Tensor]]:
    """Matrices as they lie there, and all else; by the names of the model that ships, words in BERT's order."""
    arrays = {name: values for path in sorted(folder.glob("part-*.npz")) for name, values in np.load(path).items()}
    names = {name.partition("|")[0] for name in arrays if name.endswith("|scale")}
    rows = {_shipped(name): _rows(name, arrays) for name in names}
    rest = {_shipped(name): torch.tensor(a).float() for name, a in arrays.items() if name.endswith("|half")}
    order = as_mpnet(torch.arange(BERT_WORDS)).numpy()
    rows[WORDS] = Rows(rows[WORDS].values[order], rows[WORDS].scales[order])
    return rows, rest


def _rows(name: str, arrays: Mapping[str, Any]) -> Rows:
    slices = sorted(key for key in arrays if key.startswith(f"{name}|") and key[-3:].isdecimal())
    return Rows(np.concatenate([arrays[key] for key in slices]), arrays[f"{name}|scale"])


def _shipped(name: str) -> str:
    return name.partition("|")[0].replace("encoder.", "mpnet.", 1)


def model_of(rows: Mapping[str, Rows], rest: Mapping[str, torch.Tensor], base: Path) -> Any:
    config = MPNetConfig.from_pretrained(base)
    config.update({"vocab_size": BERT_WORDS, "pad_token_id": 0, "bos_token_id": 101, "eos_token_id": 102})
    model: Any = MPNetInteractionCrossEncoder(config)
    model.load_state_dict({**rest, **{name: torch.tensor(own.exact()) for name, own in rows.items()}})
    return model.eval()


@torch.inference_mode()
def largest_difference(parts: Path, base: Path, target: Path, spec: ModelSpec) -> float:
    """Of the first written pairs' logits, from those that the trained model gives."""
    reader = Reader(base, weights=False)
    reader.load_state_dict(load_parts(parts))
    reader.eval()
    exported = OnnxModel(target, spec)
    sets = read_sets(FOLDER / "dev-six-1.jsonl")
    pairs = [(query, passage) for s in sets for query, passage in zip(s.queries, s.passages, strict=True)][:PAIRS]
    tokens = [exported.tokenizer.pair(*pair) for pair in pairs]
    mask = [torch.ones(1, len(own.ids), dtype=torch.long) for own in tokens]
    expected = [
        float(reader(torch.tensor([own.ids]), ones, torch.tensor([own.type_ids])))
        for own, ones in zip(tokens, mask, strict=True)
    ]
    print(f"logits of {len(pairs)} pairs: {min(expected):.3f} to {max(expected):.3f}")
    return float(np.abs(exported.run(tokens)[:, 0] - expected).max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", type=Path, required=True)
    parser.add_argument("--base", type=Path, required=True)
    options = parser.parse_args()
    spec = read_models()[0]["overfetch-reader"]
    target = TARGET / spec.folder
    rows, rest = read_parts(options.parts)
    export_in_rows(model_of(rows, rest, options.base), rows, TOKENIZER, spec, target)
    print(f"they differ by {largest_difference(options.parts, options.base, target, spec):.2g} at most")
    print_sums(target)


if __name__ == "__main__":
    main()
