"""A new site: a package made of the template, complete and tested, for its author to change."""

import re
import sys
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from keyword import iskeyword
from pathlib import Path
from tempfile import TemporaryDirectory

from overfetch.errors import SettingsError
from overfetch.sites import site_names

TEMPLATE = Path(__file__).parent / "site_template"
PLACEHOLDER = "mysite"  # in the template's texts and paths
QUESTION = "how do I bring my own documents"  # which the template's sample answers
NAME = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)*")
LONGEST_NAME = 40  # the template's lines have room for it
# Lines that isort puts in order: each is one import, and the new name may belong elsewhere among them.
IMPORTS = re.compile(r"^(?:from \S+ import [^(\n]+\n)+", re.MULTILINE)


def new_site(name: str, folder: Path) -> list[Path]:
    """Writes the package of a new site into `folder`, all of it or nothing; gives its files.

    Raises SettingsError where the name or the folder is taken or not allowed, and OSError where it cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise SettingsError(f"{folder} is there already and is not empty; choose another place with --folder")
    require_name(name)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder.parent, prefix=".new-site-") as scratch:
        made = Path(scratch) / name
        for source in template_files():
            path = made / _renamed(source.relative_to(TEMPLATE).as_posix(), name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(_renamed(source.read_text(encoding="utf-8"), name), encoding="utf-8")
        if folder.exists():
            folder.rmdir()
        made.rename(folder)
    return sorted(path for path in folder.rglob("*") if path.is_file())


def require_name(name: str) -> None:
    """Raises SettingsError unless a distribution, a module and a site may be called so, and none is yet."""
    if not NAME.fullmatch(name) or len(name) > LONGEST_NAME:
        raise SettingsError(
            f"{name!r} cannot name a site: it is a package's name and a module's, up to {LONGEST_NAME} lower-case "
            f"letters, digits and single underscores between them, and begins with a letter{_suggested(name)}"
        )
    if holder := _holder(name):
        raise SettingsError(f"{name!r} is taken: it is {holder}; choose another name")


def template_files() -> Iterator[Path]:
    """What a new site is made of."""
    return (path for path in sorted(TEMPLATE.rglob("*")) if path.is_file() and "__pycache__" not in path.parts)


def workspace_root(start: Path) -> Path | None:
    """The nearest folder at or above `start` whose uv workspace takes each folder of `sites/` as a member."""
    return next((folder for folder in (start, *start.parents) if "sites/*" in _members(folder)), None)


def _members(folder: Path) -> Sequence[str]:
    """Of its uv workspace, where it is one."""
    import tomllib

    try:
        project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return ()
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{folder / 'pyproject.toml'} cannot be read: {error}") from error
    members: Sequence[str] = project.get("tool", {}).get("uv", {}).get("workspace", {}).get("members", ())
    return members


def _holder(name: str) -> str | None:
    """What has that name already."""
    from importlib.metadata import PackageNotFoundError, distribution

    if iskeyword(name):
        return "a keyword of Python"
    if name in sys.stdlib_module_names:
        return "a module of Python's standard library"
    if name in site_names():
        return "an installed site"
    if find_spec(name) is not None:
        return "an installed module"
    try:
        return f"the installed distribution {distribution(name).name}"
    except PackageNotFoundError:
        return None


def _suggested(name: str) -> str:
    near = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_0123456789")[:LONGEST_NAME]
    return f"; {near!r} would do" if NAME.fullmatch(near) and near != name else ""


def _renamed(text: str, name: str) -> str:
    """With that name in place of the template's, imports in their order."""
    return IMPORTS.sub(_in_order, text.replace(PLACEHOLDER, name))


def _in_order(imports: re.Match[str]) -> str:
    return "".join(sorted(imports[0].splitlines(keepends=True), key=lambda line: line.split()[1]))
