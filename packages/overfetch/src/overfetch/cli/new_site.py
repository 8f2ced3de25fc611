"""`overfetch new-site`: the package of a new site."""

import shlex
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from overfetch.cli.console import Json, ending_errors
from overfetch.cli.terminal import output, print_json
from overfetch.new_site import QUESTION, new_site, workspace_root


@ending_errors
def create_site(
    name: Annotated[str, typer.Argument(help="Of the site, its distribution and its module.")],
    folder: Annotated[
        Path | None, typer.Option(help="Where to make it; by default sites/NAME in this workspace, elsewhere NAME.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Make the package of a new site: settings, chunker, reading of questions, sample, judged queries and tests."""
    here = Path.cwd()
    root = workspace_root(here)
    place = folder or (root / "sites" / name if root else Path(name))
    if place.is_relative_to(here):
        place = place.relative_to(here)
    files = new_site(name, place)
    member = root is not None and place.resolve().parent == root / "sites"
    commands = _commands(name, place, member=member)
    if as_json:
        written = [path.relative_to(place).as_posix() for path in files]
        print_json({"site": name, "folder": str(place.resolve()), "files": written, "next": commands})
        return
    output.print(escape(f"{place}: a site of {len(files)} files, with a sample. Search it, test it, make it yours:"))
    for command in commands:
        output.print(f"  {command}", markup=False)


def _commands(name: str, place: Path, *, member: bool) -> list[str]:
    """What to run next, in the current folder."""
    run = f"uv run --package {name} " if member else ""
    made, group = (shlex.quote(path) for path in (str(place), f"{place / 'pyproject.toml'}:dev"))
    return [
        *([] if member else [f"uv pip install -e {made} --group {group}"]),
        f'{run}overfetch search {name} "{QUESTION}"',
        f"{run}python -m pytest {made}",  # not another environment's that is on the path
        f"{run}overfetch eval {name}/pages",
    ]
