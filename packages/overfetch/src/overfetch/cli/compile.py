"""`overfetch compile`: optimise a collection's answer module on judged questions; keep it only if it is better."""

import hashlib
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.markup import escape

from overfetch.cli.console import Json, Profile, ending_errors, keeping, opened_collection, with_sample_if_missing
from overfetch.cli.evaluate import Queries, Test, Train, judged_of
from overfetch.cli.progress import progress_bar
from overfetch.cli.terminal import notice, output, print_json
from overfetch.environment import Environment
from overfetch.errors import SettingsError
from overfetch.evaluation.known import require_known
from overfetch.extras import find_plugin, needing
from overfetch.judged import read_judged_queries
from overfetch.types import LanguageModel

NOT_BETTER = 3


@ending_errors
def compile_answers(
    target: Annotated[str, typer.Argument(help="SITE/COLLECTION.")],
    optimizer: Annotated[
        Literal["bootstrap", "random", "mipro", "gepa"], typer.Option(help="DSPy's optimiser.")
    ] = "bootstrap",
    lm: Annotated[str | None, typer.Option(help="DSPy model string; by default OVERFETCH_LM.")] = None,
    budget: Annotated[int, typer.Option(min=1, help="Calls of the language model while optimising.")] = 200,
    queries: Queries = None,
    train: Train = "dev",
    test: Test = "test",
    out: Annotated[Path | None, typer.Option(help="Where to save; by default the site's programs/.")] = None,
    seed: Annotated[int, typer.Option(help="Of the halves and the optimiser.")] = 0,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget the log of an earlier run.")] = False,
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Optimise the answer module of a collection; saved only if better on questions that it did not see (else 3).

    Every call is logged: the same command goes on where an interrupted one stopped.
    """
    with opened_collection(target, profile) as (workspace, engine, collection):
        folder = judged_of(engine, collection, queries)
        learning, decisive = (read_judged_queries(folder, split) for split in (train, test))
        model = _language_model(workspace.environment, lm)
        log = _log(workspace.environment.cache, engine.name_of(collection), optimizer, model, seed, fresh)
        with needing("eval"):
            run = find_plugin("compile", "`overfetch compile`")
        work = partial(
            run,
            engine,
            collection,
            learning,
            decisive,
            optimizer=optimizer,
            lm=model,
            budget=budget,
            log=log,
            watch=progress_bar,
            out=out,
            seed=seed,
        )
        with keeping(lambda: f"calls made so far are kept in {log}: the same command goes on with them"):

            def checked() -> Any:
                for part in (learning, decisive):
                    require_known(engine, collection, part, notice, own=queries is None)
                return work()

            result = with_sample_if_missing(workspace, engine, collection, checked)
    if as_json:
        print_json(result.model_dump())
    else:
        _print(result)
    if result.saved is None:
        raise typer.Exit(NOT_BETTER)


def _language_model(environment: Environment, name: str | None) -> LanguageModel:
    given = environment if name is None else environment.model_copy(update={"lm": name})
    model = given.language_model
    if model is None:
        raise SettingsError("which language model? give --lm PROVIDER/MODEL or set OVERFETCH_LM")
    return model


def _log(cache: Path, collection: str, optimizer: str, lm: LanguageModel, seed: int, fresh: bool) -> Path:
    """The log of exactly such a run: of another model, seed or optimiser it would be of no use."""
    which = hashlib.sha256(f"{lm.name} {lm.api_base} {optimizer} {seed}".encode()).hexdigest()[:8]
    log = cache / "compile" / f"{collection.replace('/', '-')}-{optimizer}-{which}.jsonl"
    if fresh:
        log.unlink(missing_ok=True)
    elif log.exists():
        notice(f"replaying the calls of an earlier run from {log} (--fresh forgets them)")
    return log


def _print(result: Any) -> None:
    output.print(
        f"[bold]{escape(result.collection)}[/bold] · {result.optimizer} · {escape(result.lm)} · learnt on "
        f"{result.train_queries} + {result.dev_queries} questions, tested on {result.test_queries}"
    )
    output.print(escape(f"answer quality {result.before:.3f} -> {result.after:.3f}, {result.difference.told}"))
    output.print(
        f"{result.calls} calls ({result.replayed_calls} replayed), "
        f"{result.input_tokens} tokens in, {result.output_tokens} out"
    )
    output.print(escape(f"saved: {result.saved}" if result.saved else f"not saved: {result.reason}"))
