"""What an installation may lack: each optional part of Overfetch is an extra, and a missing one names its command."""

from collections.abc import Iterator
from contextlib import contextmanager

from overfetch.errors import SettingsError


@contextmanager
def needing(extra: str, distribution: str = "overfetch") -> Iterator[None]:
    """Around imports of what `distribution[extra]` installs. Raises SettingsError naming the command."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("overfetch."):
            raise  # not missing: broken
        raise SettingsError(f"{error.name} is not installed: {command(extra, distribution)}") from error


def command(extra: str, distribution: str = "overfetch") -> str:
    """What to do about a missing extra.

    >>> command("eval")
    "uv add 'overfetch[eval]', or in a clone: uv run --extra eval overfetch ..."
    """
    return f"uv add '{distribution}[{extra}]', or in a clone: uv run --extra {extra} overfetch ..."
