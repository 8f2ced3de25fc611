"""Turn a trained cross-encoder into the files that ship: a small ONNX graph, its tokenizer and its configuration.

    uv run python packages/overfetch-mini/training/export.py --run FOLDER --name overfetch-mini --exact FOLDER
        [--share 0.5 [--with RUN|MODEL]] [--trial]

`--share` averages the trained weights with those of the base, of a whole model only, or of what `--with` names
(WiSE-FT, Wortsman et al. 2022, arXiv 2109.01903): the card says what that did. Leaves the fp32 export in `--exact`, for
`tests/bench/precision.py`, `crossed.py` and `reranking.py`; a `--trial` ends there. Else the files that ship are
written, and the sha256 sums for shared/models.toml printed.
"""

import argparse
from pathlib import Path
from typing import Any

from judged import read_judged
from students import BASE, PACKAGE, base, load

from overfetch.inference.checksums import sha256
from overfetch.inference.quantising import export_exact, export_int8
from overfetch.inference.tokenizing import TextTokenizer, Tokens
from overfetch.models import read_models

SAMPLED, PASSAGES = 6, 3  # each so many-th list of judged candidates, so many passages of it


def average(model: Any, share: float, other: Any) -> None:
    """`share` of the model's weights, the rest the other's."""
    begun = other.state_dict()
    model.load_state_dict({name: begun[name].lerp(own, share) for name, own in model.state_dict().items()})


def samples(tokenizer: Path, max_tokens: int) -> list[list[Tokens]]:
    """By which int8 products are rounded: pairs of judged lists that are trained on."""
    read = TextTokenizer(tokenizer, max_tokens)
    lists = [one for one in read_judged() if not one.held_out][::SAMPLED]
    return [[read.pair(one.query, passage) for passage in one.passages[:PASSAGES]] for one in lists]


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
    parser.add_argument("--with", dest="other", help="whose weights the rest is, in place of the base's")
    parser.add_argument("--trial", action="store_true")
    options = parser.parse_args()
    spec = read_models()[0][options.name]
    model, tokenizer, target = load(options.run), BASE / "tokenizer.json", PACKAGE / spec.folder
    if options.share < 1:
        average(model, options.share, load(options.other) if options.other else base())
    export_exact(model, tokenizer, spec, options.exact)
    if options.trial:
        return
    export_int8(model, tokenizer, spec, target, samples(tokenizer, spec.max_tokens))
    print_sums(target)


if __name__ == "__main__":
    main()
