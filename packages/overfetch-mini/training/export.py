"""Turn a trained cross-encoder into the files that ship: a small ONNX graph, its tokenizer and its configuration.

    uv run python packages/overfetch-mini/training/export.py --run FOLDER --name overfetch-mini --exact FOLDER

Leaves the fp32 export in `--exact`, for `tests/bench/precision.py`. Prints the sha256 sums for shared/models.toml.
"""

import argparse
from pathlib import Path

from train import BASE, load

from overfetch.inference.checksums import sha256
from overfetch.inference.quantising import export_exact, export_int8
from overfetch.settings import read_models

PACKAGE = Path(__file__).parent.parent / "src/overfetch_mini"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--name", required=True, help="as in shared/models.toml")
    parser.add_argument("--exact", type=Path, required=True)
    options = parser.parse_args()
    spec = read_models()[0][options.name]
    model, tokenizer, target = load(options.run), BASE / "tokenizer.json", PACKAGE / spec.folder
    export_exact(model, tokenizer, spec, options.exact)
    export_int8(model, tokenizer, spec, target)
    for path in sorted(target.iterdir()):
        print(f'"{path.name}" = "{sha256(path)}"  # {path.stat().st_size / 1e6:.1f} MB')


if __name__ == "__main__":
    main()
