"""Tokens of a model that ships in a package: what a chunker cuts by, so that no passage lies beyond the limit."""

from functools import cache
from typing import TYPE_CHECKING

from overfetch.errors import SettingsError
from overfetch.models import read_models
from overfetch.pieces import Size

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def token_counter(model: str) -> Size:
    """Counts the tokens that the model makes of a text, without those that it adds to every one (two, of BERT's kind).

    Raises SettingsError unless the model ships in a package, and ModelNotPrepared where that is not installed.
    """
    tokenizer = _tokenizer(model)
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)


def first_tokens(text: str, limit: int, model: str) -> str:
    """The text as far as it has no more than `limit` tokens. Raises as `token_counter`."""
    if len(text) <= limit:  # no token has less than a character
        return text
    offsets = _tokenizer(model).encode(text, add_special_tokens=False).offsets
    return text if len(offsets) <= limit else text[: offsets[limit - 1][1]]


@cache
def _tokenizer(model: str) -> "Tokenizer":
    from tokenizers import Tokenizer

    from overfetch.inference.packaged import package_folder

    spec = read_models()[0].get(model)
    if spec is None or spec.package is None:
        packaged = ", ".join(name for name, known in read_models()[0].items() if known.package)
        raise SettingsError(f"no model {model!r} ships in a package; these do: {packaged}")
    tokenizer = Tokenizer.from_file(str(package_folder(model, spec.package) / spec.folder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer
