"""The names that users of this site write, in the one form in which they are compared."""

import re

NAME = re.compile(r"--[a-z][\w-]+|\b\w+\.(?:jsonl|md|py|toml|tsv)\b|\b[^\W_]+(?:_[^\W_]+)+\b", re.IGNORECASE)


def names_in(text: str) -> list[str]:
    """Options, names of files and names in snake_case, each once.

    >>> names_in("Try `--explain`; top_k stands in SETTINGS.toml, and Top_K only once in here.")
    ['--explain', 'top_k', 'settings.toml']
    """
    return list(dict.fromkeys(name.casefold() for name in NAME.findall(text)))
