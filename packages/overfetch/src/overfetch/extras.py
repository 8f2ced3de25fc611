"""What an installation may lack: each optional part of Overfetch is an extra, and a missing one names its command."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from overfetch.errors import SettingsError

PLUGINS = "overfetch.plugins"


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


def find_plugin(name: str, needed_by: str) -> Any:
    """What another package offers under that name. Raises SettingsError."""
    from importlib.metadata import entry_points

    found = entry_points(group=PLUGINS, name=name)
    if not found:
        clone = "or in a clone: uv run --extra answers overfetch ..."
        raise SettingsError(f"{needed_by} needs the package overfetch-answers: uv add overfetch-answers, {clone}")
    return found[name].load()
