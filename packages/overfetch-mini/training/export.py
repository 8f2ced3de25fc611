"""Turn a trained cross-encoder into the files that ship: a small ONNX graph, its tokenizer and its configuration.

    uv run python packages/overfetch-mini/training/export.py --run FOLDER --name overfetch-mini --exact FOLDER
        [--share 0.5]

`--share` averages the trained weights with those of the base, of a whole model only (WiSE-FT, Wortsman et al. 2022,
arXiv 2109.01903): the card says what that did. Leaves the fp32 export in `--exact`, for
`tests/bench/precision.py`. Prints the sha256 sums for shared/models.toml.
"""

import argparse
from pathlib import Path
from typing import Any

from students import BASE, PACKAGE, base, load

from overfetch.inference.checksums import sha256
from overfetch.inference.quantising import export_compact, export_exact
from overfetch.models import read_models


def average(model: Any, share: float) -> None:
    """`share` of the model's weights, the rest the base's."""
    begun = base().state_dict()
    model.load_state_dict({name: begun[name].lerp(own, share) for name, own in model.state_dict().items()})


def print_sums(folder: Path) -> None:
    """As shared/models.toml has them."""
    for path in sorted(folder.iterdir()):
        print(f'"{path.name}" = "{sha256(path)}"  # {path.stat().st_size / 1e6:.1f} MB')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", required=True)
    parser.add_argument("--name", required=True, help="as in shared/models.toml")
    parser.add_argument("--exact", type=Path, required=True)
    parser.add_argument("--share", type=float, default=1.0, help="of the trained weights")
    options = parser.parse_args()
    spec = read_models()[0][options.name]
    model, tokenizer, target = load(options.run), BASE / "tokenizer.json", PACKAGE / spec.folder
    if options.share < 1:
        average(model, options.share)
    export_exact(model, tokenizer, spec, options.exact)
    export_compact(model, tokenizer, spec, target)
    print_sums(target)


if __name__ == "__main__":
    main()
