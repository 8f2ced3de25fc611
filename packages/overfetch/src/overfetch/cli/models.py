"""`overfetch models list|prepare|verify`."""

from pathlib import Path
from typing import Annotated

import typer

from overfetch.cli.console import Json, ending_errors
from overfetch.cli.terminal import notices, output, print_json
from overfetch.environment import read_environment
from overfetch.errors import ModelNotPrepared, SettingsError
from overfetch.models import ModelSpec, read_models

app = typer.Typer(no_args_is_help=True, help="Pinned models: list, prepare, verify.")

Names = Annotated[list[str] | None, typer.Argument(help="Models or profiles; by default those of the mini profile.")]


@app.command("list")
@ending_errors
def list_models(as_json: Json = False) -> None:
    """Every pinned model, and whether it is prepared."""
    models, profiles = read_models()
    cache = read_environment().cache
    documents = [{**m.model_dump(exclude={"files"}), "prepared": _is_prepared(m, cache)} for m in models.values()]
    if as_json:
        print_json(
            {"models": documents, "profiles": {p.name: _names(p.embedder, p.reranker) for p in profiles.values()}}
        )
        return
    for model in models.values():
        state = "prepared" if _is_prepared(model, cache) else "not prepared"
        output.print(f"{model.name}  {model.kind}  {model.repo}@{model.revision[:12]}  {model.licence}  {state}")
    for profile in profiles.values():
        output.print(f"profile {profile.name}: {' + '.join(_names(profile.embedder, profile.reranker))}")
    output.print(f"cache: {cache}", style="dim")


@app.command()
@ending_errors
def prepare(names: Names = None) -> None:
    """Fetch, verify and export models of the hub, once; those that ship in a package are ready as they are."""
    from overfetch.inference.preparing import prepare as prepare_model

    cache = read_environment().cache
    for model in _chosen(names):
        with notices.status(f"{model.name} ..."):
            folder = prepare_model(model, cache, lambda message: notices.print(message, style="dim"))
        output.print(f"{model.name}: ready in {folder}")


@app.command()
@ending_errors
def verify(names: Names = None) -> None:
    """Check the sha256 sums of models, as they were prepared or are pinned."""
    from overfetch.inference.preparing import verify as verify_model

    cache = read_environment().cache
    for model in _chosen(names):
        sums = verify_model(model, cache)
        output.print(f"{model.name}: {len(sums)} files as recorded")


def _chosen(names: list[str] | None) -> list[ModelSpec]:
    """Models by name; a profile's name stands for its two models."""
    models, profiles = read_models()
    chosen: list[ModelSpec] = []
    for name in names or ["mini"]:
        if name in profiles:
            chosen += [profiles[name].embedder, profiles[name].reranker]
        elif name in models:
            chosen.append(models[name])
        else:
            known = ", ".join([*models, *profiles])
            raise SettingsError(f"unknown model {name!r}; known models and profiles: {known}")
    return chosen


def _is_prepared(model: ModelSpec, cache: Path) -> bool:
    from overfetch.inference.preparing import prepared_folder

    try:
        prepared_folder(model, cache)
    except ModelNotPrepared:
        return False
    return True


def _names(*models: ModelSpec) -> list[str]:
    return [model.name for model in models]
