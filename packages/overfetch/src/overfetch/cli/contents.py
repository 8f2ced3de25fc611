"""`overfetch show`, `overfetch export` and `overfetch delete`: what a collection holds."""

from typing import Annotated

import typer
from rich.markup import escape

from overfetch.citations import was_known
from overfetch.cli.console import Json, ending_errors
from overfetch.cli.search import AsOf
from overfetch.cli.terminal import notice, output, print_json, print_json_line
from overfetch.contents import find_passages
from overfetch.documents import GenerationDocument
from overfetch.errors import CollectionMissing
from overfetch.requests import SearchRequest
from overfetch.sites import find_collection, find_target
from overfetch.types import AsOf as Bound
from overfetch.types import Passage
from overfetch.workspace import Workspace

Collection = Annotated[str, typer.Argument(metavar="SITE/COLLECTION", help="SITE/COLLECTION.")]


@ending_errors
def show(
    target: Collection,
    wanted: Annotated[str, typer.Argument(metavar="PASSAGE|DOCUMENT", help="Id of a passage or of a document.")],
    as_of: AsOf = None,
    as_json: Json = False,
) -> None:
    """Show a passage, or all passages of a document, as they are indexed."""
    name, bound = find_collection(target), _known_by(target, as_of)
    with Workspace(report=notice) as workspace:
        found = find_passages(workspace.store, name, wanted, bound)
    if as_json:
        print_json([_document(passage) for passage in found])
        return
    for passage in found:
        output.print(f"[bold]{escape(passage.breadcrumb or passage.title)}[/bold]")
        output.print(f"[dim]{escape(passage.document_id)} · passage {passage.position + 1} · {passage.id}[/dim]")
        for field, value in passage.metadata.items():
            output.print(f"[dim]{escape(f'{field}: {value}')}[/dim]")
        output.print(escape(passage.text) + "\n")


@ending_errors
def export(target: Collection, as_of: AsOf = None, as_json: Json = False) -> None:
    """Print every passage as it is indexed, one JSON object a line; with --json as one array."""
    name, bound = find_collection(target), _known_by(target, as_of)
    with Workspace(report=notice) as workspace:
        found = workspace.store.passages(name)
        documents = (_document(passage) for passage in found if bound is None or was_known(passage, bound))
        if as_json:
            print_json([*documents])
            return
        for document in documents:
            print_json_line(document)


@ending_errors
def delete(
    target: Collection,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Delete a collection with all its generations. There is no way back but to index again."""
    name = find_collection(target)
    with Workspace(report=notice) as workspace:
        stored = workspace.store.generations(name)
        if not stored:
            raise CollectionMissing(f"nothing of {name} is stored")
        if not yes:
            passages = stored[0].passages
            what = "" if passages is None else f", {passages:,} passages"
            typer.confirm(f"Delete {name} ({len(stored)} generations{what})?", abort=True, err=True)
        dropped = workspace.store.drop(name)
    if as_json:
        print_json({"collection": name, "deleted": [GenerationDocument.of(generation) for generation in dropped]})
    else:
        output.print(escape(f"{name}: deleted {', '.join(generation.name for generation in dropped)}"))


def _known_by(target: str, as_of: str | None) -> Bound | None:
    """Raises SettingsError where the collection has no such date, as a search does."""
    site, named = find_target(target)
    assert named is not None
    return SearchRequest.of("", as_of=as_of).known_by(site.collection(named))


def _document(passage: Passage) -> dict[str, object]:
    return passage.model_dump(mode="json")
