"""`overfetch keys add|list|revoke`. Light: keys are read where a command runs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from overfetch.cli.console import Json, ending_errors
from overfetch.cli.terminal import notice, output, print_json
from overfetch.errors import SettingsError

if TYPE_CHECKING:
    from overfetch_serve.keys import Key, Keys

app = typer.Typer(no_args_is_help=True, help="API keys of the service: add, list, revoke.", rich_markup_mode=None)

USUAL_SCOPES = ("search", "ask", "rerank")

File = Annotated[Path | None, typer.Option("--file", help="The file of keys; by default OVERFETCH_SERVE_KEYS.")]


@app.command()
@ending_errors
def add(
    site: Annotated[list[str], typer.Option(help="A site, or a folder that is served as one; '*' for every site.")],
    scope: Annotated[
        list[str] | None,
        typer.Option(help="search, ask, rerank or admin (indexing, documents, metrics); by default the first three."),
    ] = None,
    note: Annotated[str, typer.Option(help="Whose it is, or what for.")] = "",
    requests_per_minute: Annotated[
        int | None, typer.Option(min=1, help="In place of OVERFETCH_SERVE_REQUESTS_PER_MINUTE.")
    ] = None,
    file: File = None,
    as_json: Json = False,
) -> None:
    """Make a key. What its holder sends is printed this once, and kept nowhere."""
    key, secret = _keys(file).add([*map(_site_named, site)], scope or USUAL_SCOPES, note, requests_per_minute)
    if as_json:
        print_json({**_document(key), "key": secret})
        return
    typer.echo(secret)
    notice(f"key {key.id} for {', '.join(key.sites)} ({', '.join(key.scopes)}): it is not shown again")


@app.command("list")
@ending_errors
def list_keys(file: File = None, as_json: Json = False) -> None:
    """Show the keys, without their secrets, which nobody has."""
    keys = list(_keys(file).all().values())
    if as_json:
        print_json({"keys": [_document(key) for key in keys]})
        return
    for key in keys:
        limit = f"  {key.requests_per_minute} a minute" if key.requests_per_minute else ""
        parts = (key.id, ",".join(key.sites), ",".join(key.scopes), f"{key.created:%Y-%m-%d}{limit}", key.note)
        output.print("  ".join(parts).rstrip(), markup=False)


@app.command()
@ending_errors
def revoke(
    key: Annotated[str, typer.Argument(metavar="ID", help="As `overfetch keys list` shows it.")],
    file: File = None,
    as_json: Json = False,
) -> None:
    """Take a key back: running services refuse it from the next request on."""
    revoked = _keys(file).revoke(key)
    if as_json:
        print_json({"revoked": _document(revoked)})
        return
    output.print(f"revoked {revoked.id}  {revoked.note}".rstrip(), markup=False)


def _keys(file: Path | None) -> "Keys":
    from overfetch_serve.keys import Keys
    from overfetch_serve.settings import read_settings

    chosen = file or read_settings().keys
    if chosen is None:
        raise SettingsError("OVERFETCH_SERVE_KEYS names no file of keys: set it, or give --file PATH")
    return Keys(chosen)


def _site_named(given: str) -> str:
    """Raises SettingsError naming what there is."""
    from overfetch.sites import site_names
    from overfetch_serve.folders import folder_site
    from overfetch_serve.keys import EVERY_SITE

    known = site_names()
    if given in (EVERY_SITE, *known):
        return given
    if Path(given).is_dir():
        return folder_site(Path(given)).name
    raise SettingsError(
        f"no site {given!r} is installed, and there is no folder of that name; sites: {', '.join(known)}, "
        f"or {EVERY_SITE!r} for every site"
    )


def _document(key: "Key") -> dict[str, Any]:
    return key.model_dump(mode="json", exclude={"digest"})
