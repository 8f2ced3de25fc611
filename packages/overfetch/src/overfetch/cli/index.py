"""`overfetch index` and `overfetch sites`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from overfetch.cli.console import IndexOptions, Json, Profile, Target, ending_errors, index_with_progress, opened
from overfetch.cli.terminal import error_line, notice, output, print_json
from overfetch.errors import SettingsError
from overfetch.indexing import IndexReport
from overfetch.partitions import parse_partition
from overfetch.sites import Site, load_sites


def _named_path(text: str) -> Path:
    """An empty name would be the current folder."""
    if not text.strip():
        raise typer.BadParameter("the name of a source is empty; write a path, or . for the current folder")
    return Path(text)


@ending_errors
def index(
    target: Target,
    source: Annotated[
        list[Path] | None,
        typer.Option(
            parser=_named_path,
            metavar="PATH",
            help="Folder of Markdown, text or HTML, or a JSONL or CSV file; repeatable; by default the sample corpus.",
        ),
    ] = None,
    id_prefix: Annotated[
        list[str] | None,
        typer.Option(help="Before the ids of a source's documents; once for each --source, in their order."),
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out what cannot be read, and say what and why.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would change; change nothing.")] = False,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Build from nothing beside the old one, then swap.")
    ] = False,
    partition: Annotated[
        str | None,
        typer.Option(
            metavar="NUMBER/COUNT", help="Only this part of the documents: one process for each, on a server."
        ),
    ] = None,
    accept_loss: Annotated[
        bool, typer.Option("--accept-loss", help="Publish even if the judged queries find less than before.")
    ] = False,
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Make a collection equal to its source; what did not change is not embedded again."""
    with opened(target, profile) as (_, engine, named):
        if source and named is None and len(engine.site.collections) > 1:
            names = ", ".join(engine.name_of(c.name) for c in engine.site.collections)
            raise SettingsError(f"--source needs one collection, given {target!r}; name one of: {names}")
        part = None if partition is None else parse_partition(partition)
        names_wanted = [named] if named else [c.name for c in engine.site.collections]
        options = IndexOptions(
            dry_run=dry_run,
            rebuild=rebuild,
            partition=part,
            accept_loss=accept_loss,
            id_prefixes=id_prefix or (),
            skip_bad=skip_bad,
        )
        reports = [index_with_progress(engine, name, *(source or ()), **options) for name in names_wanted]
    if as_json:
        documents = [report.model_dump() for report in reports]
        print_json(documents[0] if named else documents)
        for report in reports:
            if report.truncated_tokens:
                notice(f"{report.collection}: {_cut(report)}")
    else:
        for report in reports:
            _print_report(report)


@ending_errors
def sites(as_json: Json = False) -> None:
    """List the installed sites and their collections; one that cannot be loaded is named, and the exit code is 1."""
    found, broken = load_sites()
    if as_json:
        print_json([{"site": s.name, "title": s.title, "collections": [c.name for c in s.collections]} for s in found])
    else:
        _print_sites(found)
    for error in broken.values():
        error_line(f"error: {error}")
    if broken:
        raise typer.Exit(1)


def _print_sites(found: Sequence[Site]) -> None:
    for site in found:
        for collection in site.collections:
            settings = collection.retrieval
            filters = ", ".join(collection.filters)
            output.print(
                f"{site.name}/{collection.name}  top_k {settings.top_k}, top_n {settings.top_n}  filters: {filters}"
            )


def _print_report(report: IndexReport) -> None:
    verb = "would embed" if report.dry_run else "embedded"
    number = report.added + report.changed - report.moved if report.dry_run else report.embedded
    output.print(
        f"{report.collection}: {report.documents} documents; passages: {report.added} added, {report.changed} changed, "
        f"{report.removed} removed, {report.kept} kept; {report.moved} moved, {verb} {number}"
    )
    if copied := report.copied:
        how = "sharing its blocks (reflinks)" if copied.reflinked else "copied"
        output.print(f"  the last generation: {copied.bytes / 1e6:.1f} MB {how} in {copied.seconds:.2f} s")
    if recall := report.recall:
        before = "not known" if recall.before is None else f"{recall.before:.3f}"
        output.print(
            f"  recall@{recall.top_k} of {recall.queries} judged queries: {recall.after:.3f} (before: {before})"
        )
    for reason in report.skipped:
        output.print(f"  left out: {reason}", markup=False)
    if report.truncated_tokens:
        output.print(escape(f"  {_cut(report)}"))


def _cut(report: IndexReport) -> str:
    worst = ", ".join(f"{document} ({tokens:,})" for document, tokens in report.longest)
    return (
        f"{report.truncated_tokens:,} tokens lie beyond the embedder's limit: no vector holds them, only BM25 finds "
        f"them. Most are in {worst}. Cut these documents at headings, let the site's chunker make shorter passages, or "
        "index with a profile that reads more (--profile bge)"
    )
