"""`overfetch search` and `overfetch ask`."""

from functools import partial
from typing import Annotated, Unpack, cast

import typer
from rich.markup import escape

from overfetch.cli.console import Json, Profile, Target, ending_errors, opened, with_sample_if_missing
from overfetch.cli.terminal import notices, output, print_json
from overfetch.documents import AnswerDocument, RetrievalDocument
from overfetch.engine import Engine
from overfetch.requests import AskOptions
from overfetch.settings import FirstStage as FirstStageName
from overfetch.types import Answer, Citation, Reading, Retrieval, Written

SNIPPET = 240

TopK = Annotated[int | None, typer.Option(help="Passages that the first stage retrieves and the reranker reads.")]
TopN = Annotated[int | None, typer.Option(help="Passages to keep.")]
Where = Annotated[list[str] | None, typer.Option(help="FIELD=VALUE, FIELD=A|B of keywords, or with >= <= > <, quoted.")]
AsOf = Annotated[str | None, typer.Option(help="Hide what became known after this date.")]
Near = Annotated[str | None, typer.Option(help="Keep what happened near this date.")]
Rerank = Annotated[bool | None, typer.Option("--rerank/--no-rerank", help="Second stage on or off.")]
RerankLm = Annotated[
    bool | None,
    typer.Option(
        "--rerank-lm/--no-rerank-lm", help="Whether the language model orders, where OVERFETCH_RERANK_LM is set."
    ),
]
FirstStage = Annotated[str | None, typer.Option(help="hybrid, dense or bm25.")]
Literal = Annotated[bool, typer.Option("--literal", help="Take the question as it is written: read nothing into it.")]
Explain = Annotated[bool, typer.Option("--explain", help="Show how the question was read.")]
Deadline = Annotated[
    float | None, typer.Option("--deadline-ms", help="Time for the whole query, what a language model writes included.")
]


@ending_errors
def search(
    target: Target,
    query: Annotated[str, typer.Argument(help="What to search for.")],
    top_k: TopK = None,
    top_n: TopN = None,
    where: Where = None,
    as_of: AsOf = None,
    near: Near = None,
    rerank: Rerank = None,
    rerank_lm: RerankLm = None,
    first_stage: FirstStage = None,
    deadline_ms: Deadline = None,
    literal: Literal = False,
    explain: Explain = False,
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Retrieve top-k passages, rerank them, keep top-n."""
    with opened(target, profile) as (workspace, engine, named):
        collection = named or engine.site.ask
        work = partial(
            engine.search,
            collection,
            query,
            where=where or (),
            as_of=as_of,
            near=near,
            top_k=top_k,
            top_n=top_n,
            rerank=rerank,
            rerank_lm=rerank_lm,
            first_stage=cast(FirstStageName | None, first_stage),  # checked with the request
            deadline_ms=deadline_ms,
            literal=literal,
        )
        retrieval = with_sample_if_missing(workspace, engine, collection, work)
    if as_json:
        print_json(RetrievalDocument.of(retrieval))
    else:
        _print_retrieval(retrieval, explain)


@ending_errors
def ask(
    target: Target,
    question: Annotated[str, typer.Argument(help="What to ask.")],
    part: Annotated[
        list[str] | None, typer.Option(help="One part of the question, such as a card; repeatable.")
    ] = None,
    top_k: TopK = None,
    top_n: TopN = None,
    where: Where = None,
    as_of: AsOf = None,
    near: Near = None,
    rerank: Rerank = None,
    rerank_lm: RerankLm = None,
    first_stage: FirstStage = None,
    deadline_ms: Deadline = None,
    literal: Literal = False,
    explain: Explain = False,
    after: Annotated[
        list[str] | None, typer.Option(help="An earlier question of this chat; repeatable, oldest first.")
    ] = None,
    stream: Annotated[bool, typer.Option("--stream", help="Show the text on standard error as it is written.")] = False,
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Search, then answer with citations."""
    with opened(target, profile) as (workspace, engine, collection):
        work = partial(
            partial(_streamed, engine) if stream else engine.ask,
            question,
            collection=collection,
            history=after or (),
            parts=part or (),
            where=where or (),
            as_of=as_of,
            near=near,
            top_k=top_k,
            top_n=top_n,
            rerank=rerank,
            rerank_lm=rerank_lm,
            first_stage=cast(FirstStageName | None, first_stage),
            deadline_ms=deadline_ms,
            literal=literal,
        )
        answer = with_sample_if_missing(workspace, engine, collection or engine.site.ask, work)
    if as_json:
        print_json(AnswerDocument.of_answer(answer))
    else:
        _print_answer(answer, explain)


def _streamed(engine: Engine, question: str, **options: Unpack[AskOptions]) -> Answer:
    """The answer; its text, unchecked as yet, goes to standard error as it comes."""

    import asyncio

    async def read() -> Answer:
        async for piece in engine.ask_stream(question, **options):
            if isinstance(piece, Answer):
                notices.print()
                return piece
            notices.print(escape(piece), end="", style="dim")
        raise AssertionError("an answer comes last")

    return asyncio.run(read())


def _print_retrieval(retrieval: Retrieval, explain: bool) -> None:
    unscored = "ordered by the language model" if retrieval.rerank_status == "listwise" else "not reranked"
    for hit in retrieval.hits:
        score = unscored if hit.rerank_score is None else f"rerank {hit.rerank_score:+.2f}"
        output.print(f"[bold]{hit.rank}. {escape(hit.passage.breadcrumb or hit.passage.title)}[/bold]")
        output.print(f"   [dim]{escape(hit.passage.document_id)} · {score} · first stage #{hit.first_stage_rank}[/dim]")
        text = " ".join(hit.passage.text.split())
        output.print(f"   {escape(text[:SNIPPET])}{'…' if len(text) > SNIPPET else ''}")
    if not retrieval.hits:
        output.print("Nothing found.")
    _print_footer(retrieval, explain)


def _print_footer(retrieval: Retrieval, explain: bool) -> None:
    if retrieval.understood:
        _print_reading(retrieval.understood, explain)
    elif explain:
        output.print("[dim]read as it is written[/dim]")
    t = retrieval.timings_ms
    status = retrieval.rerank_status + (f" ({retrieval.rerank_reason})" if retrieval.rerank_reason else "")
    is_told = "left out" in (retrieval.rerank_reason or "")
    cut = f" · {retrieval.truncated_tokens} tokens left out" if retrieval.truncated_tokens and not is_told else ""
    times = f"embed {t.embed:.0f} + search {t.search:.0f} + rerank {t.rerank:.0f} = {t.total:.0f} ms"
    output.print(f"[dim]{escape(retrieval.collection)} · rerank: {escape(status)} · {times}{cut}[/dim]")


def _print_reading(reading: Reading, explain: bool) -> None:
    if explain:
        output.print(f"[dim]searched for: {escape(reading.text)}[/dim]")
        for condition in reading.conditions:
            output.print(f"[dim]where: {escape(condition)}[/dim]")
    told = "; ".join([*reading.notes, *(f"in no passage: {name}" for name in reading.missing)])
    dropped = " (nothing meets that: searched without)" if reading.given_up else ""
    if told or dropped:
        output.print(f"[dim]understood: {escape(told)}{dropped} · --literal takes it as written[/dim]")


def _print_guard(answer: Answer) -> None:
    for refused in answer.refused:
        output.print(f"[dim]refused: “{escape(refused.citation.quote)}”: {escape(refused.reason)}[/dim]")
    if answer.coverage is not None:
        output.print(f"[dim]{answer.coverage:.0%} of its sentences carry a citation that holds[/dim]")
    if answer.reason:
        output.print(f"[dim]{escape(answer.reason)}[/dim]")
    if answer.written:
        output.print(f"[dim]{escape(_told_of(answer.written))}[/dim]")


def _told_of(written: Written) -> str:
    by = f" and {written.program}" if written.program else ""
    tokens = f": {written.input_tokens} tokens read, {written.output_tokens} written"
    known = written.input_tokens is not None and written.output_tokens is not None
    replies = "1 reply" if written.replies == 1 else f"{written.replies} replies"
    return f"written by {written.lm}{by} in {written.ms:.0f} ms, {replies}{tokens if known else ''}"


def _part_of(citation: Citation, answer: Answer) -> str:
    """The parts of the question whose hits hold the passage, the one that ranks it best first; of a whole one none."""
    if len(answer.retrievals) == 1:
        return ""
    ranked = sorted(
        (hit.rank, number, retrieval.query)
        for number, retrieval in enumerate(answer.retrievals)
        for hit in retrieval.hits
        if hit.passage.id == citation.passage_id
    )
    return f"({' / '.join(name for _, _, name in ranked)}) "


def _print_answer(answer: Answer, explain: bool) -> None:
    output.print(escape(answer.answer))
    output.print()
    titles = {hit.passage.id: hit.passage.breadcrumb for r in answer.retrievals for hit in r.hits}
    for number, citation in enumerate(answer.citations, start=1):
        quote = f" “{citation.quote}”" if answer.mode == "lm" else ""
        part = _part_of(citation, answer)
        output.print(escape(f"[{number}] {part}{citation.document_id}: {titles[citation.passage_id]}{quote}"))
    if answer.mode == "extractive" and answer.citations:
        output.print(f"[dim]quoted from the sources, not written: {escape(answer.reason or '')}[/dim]")
    if answer.mode == "lm":
        _print_guard(answer)
    elif not answer.found:
        output.print(f"[dim]{escape(answer.reason or '')}[/dim]")
    for retrieval in answer.retrievals:
        _print_footer(retrieval, explain)
