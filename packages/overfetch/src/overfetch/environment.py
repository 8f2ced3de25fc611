"""Every `OVERFETCH_...` variable: what to open, where models run, who answers. Read once for a workspace."""

import re
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from platformdirs import user_cache_path, user_data_path
from pydantic import Field, model_validator

from overfetch.models import ModelSpec, Profile, find_profile
from overfetch.types import LanguageModel, OnRefused
from overfetch.variables import Variables, require_known

SERVER_SCHEMES = ("http://", "https://", "grpc://", "grpcs://")
TLS_SCHEMES = ("https://", "grpcs://")
NVIDIA_DRIVER = Path("/proc/driver/nvidia/version")
LONGEST_WAIT_S = 86_400
MOST_RETRIES, MOST_THREADS = 1_000, 1_024
OF_OTHERS = ("OVERFETCH_TEST_", "OVERFETCH_SERVE_")  # who reads these checks them
ENDPOINT = re.compile(r"https?://[^/?#]+/[^?#]+")


class ModelServer(Variables):
    """Where a server is asked, and what for.

    `url` is the whole endpoint; `model` is what the server calls the model, by default the profile's repository;
    `revision` is what you know it to run.
    """

    example: ClassVar[str]

    url: str | None = None
    model: str | None = None
    revision: str | None = None
    api_key: str | None = Field(default=None, repr=False)
    timeout_s: float = Field(default=30.0, gt=0, le=LONGEST_WAIT_S)

    @model_validator(mode="after")
    def _has_an_endpoint(self) -> Self:
        prefix = self.prefix
        given = sorted(self.model_fields_set - {"url"})
        if given and self.url is None:
            raise ValueError(f"{prefix}{given[0].upper()} is set, but {prefix}URL, which it belongs to, is not")
        if self.url is not None and not ENDPOINT.match(self.url):
            raise ValueError(f"{prefix}URL is {self.url!r}; give the whole endpoint, such as {self.example}")
        return self

    def model_served(self, spec: ModelSpec) -> ModelSpec:
        """What runs in place of `spec`; what the user does not know of it is called unstated."""
        if self.url is None:
            return spec
        repo = self.model if self.model is not None else spec.known_as
        changes: dict[str, Any] = {
            "name": re.sub(r"[^\w.-]+", "-", f"remote-{repo}"),
            "repo": repo,
            "revision": self.revision if self.revision is not None else "unstated",
            "precision": "remote",
            "read_tokens": None,
            "package": None,
            "files": {},
            "searches": (),
        }
        if repo not in (spec.repo, spec.known_as):
            changes |= {"licence": "unstated", "languages": (), "order_weight": 1.0}
        return spec.model_copy(update=changes)


class RerankServer(ModelServer):
    """A `/rerank` endpoint; `api` is the shape that it speaks (`overfetch.inference.remote`)."""

    prefix = "OVERFETCH_RERANK_"
    example = "http://HOST:8080/rerank"

    api: Literal["cohere", "jina", "infinity", "vllm", "tei"] = "cohere"


class EmbedServer(ModelServer):
    """An OpenAI-shaped `/embeddings` endpoint.

    `dimension` says that it runs another model than the profile's, with prefixes of its own.
    """

    prefix = "OVERFETCH_EMBED_"
    example = "http://HOST:8080/v1/embeddings"

    dimension: int | None = Field(default=None, gt=0)
    query_prefix: str = ""
    passage_prefix: str = ""

    @model_validator(mode="after")
    def _says_what_else_it_runs(self) -> Self:
        if self.dimension is not None and self.model is None:
            raise ValueError("OVERFETCH_EMBED_DIMENSION is that of another model: name it by OVERFETCH_EMBED_MODEL")
        if self.dimension is None and (self.query_prefix or self.passage_prefix):
            raise ValueError("prefixes are those of another model: give its OVERFETCH_EMBED_DIMENSION too")
        return self

    def model_served(self, spec: ModelSpec) -> ModelSpec:
        """As above; vectors count as those of the pinned model only where its very revision is stated."""
        if self.dimension is None:
            stated = f"{spec.known_as}@{self.revision}#{spec.precision}"
            is_pinned = self.revision == spec.revision or spec.makes(stated)
            return spec if is_pinned else super().model_served(spec)
        own = {"dimension": self.dimension, "query_prefix": self.query_prefix, "passage_prefix": self.passage_prefix}
        return super().model_served(spec).model_copy(update=own)


class ServerSettings(Variables):
    """How to reach a Qdrant server, and how new collections are laid out there: `OVERFETCH_QDRANT_*`.

    `tls_ca` is a PEM file of the authorities that vouch for the server, instead of the system's. `retries` follow a
    busy answer or a broken connection, at growing intervals. Uploads go in requests of `upload_batch` passages, from
    `upload_threads` threads. The rest holds for collections made from then on (`--rebuild`), but for `oversampling`:
    quantised vectors fetch that many times the candidates, and the original vectors order them.
    """

    prefix = "OVERFETCH_QDRANT_"

    api_key: str | None = Field(default=None, repr=False)
    tls_ca: Path | None = None
    timeout_s: int = Field(default=10, gt=0, le=LONGEST_WAIT_S)
    retries: int = Field(default=4, ge=0, le=MOST_RETRIES)
    upload_batch: int = Field(default=64, gt=0, le=100_000)
    upload_threads: int = Field(default=4, gt=0, le=MOST_THREADS)
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


class Environment(Variables):
    """Settings from `OVERFETCH_*` environment variables.

    `backend` runs the models of the hub: onnxruntime, or one of the libraries on torch (`torch` is
    sentence-transformers), which `auto` takes where there is an NVIDIA GPU; `rerank` and `embed` are servers that run
    models instead. `rerank_lm`: the language model orders candidates too, each list within a budget of tokens of its
    own. `faster` is a profile whose reranker reads, here, where a deadline leaves the other too little time;
    `refuse`: whether fitted rules may say that nothing answers.
    """

    prefix = "OVERFETCH_"

    profile: str = "mini"
    faster: str | None = None
    qdrant: str = ""
    server: ServerSettings = Field(default_factory=ServerSettings)
    cache: Path = Field(default_factory=lambda: user_cache_path("overfetch"))
    tuned: Path = Field(default_factory=lambda: user_data_path("overfetch") / "tuned")
    threads: int = Field(default=0, ge=0, le=MOST_THREADS)
    backend: Literal["auto", "onnx", "torch", "transformers", "flagembedding"] = "auto"
    rerank: RerankServer = Field(default_factory=RerankServer)
    embed: EmbedServer = Field(default_factory=EmbedServer)
    cached_scores: int = Field(default=20_000, ge=0)
    scores_file: Path | None = None
    long_passages: Literal["windows", "cut"] = "windows"
    rerank_tokens: int | None = Field(default=None, ge=0)
    lm: str | None = None
    lm_api_base: str | None = None
    lm_api_key: str | None = Field(default=None, repr=False)
    lm_timeout_s: float = Field(default=60.0, gt=0, le=LONGEST_WAIT_S)
    lm_retries: int = Field(default=1, ge=0, le=MOST_RETRIES)
    lm_max_tokens: int | None = Field(default=None, gt=0)
    lm_token_budget: int | None = Field(default=None, gt=0)
    lm_rewrites: bool = False
    rerank_lm: bool = False
    rerank_lm_token_budget: int = Field(default=16_000, gt=0)
    on_refused: OnRefused = "flag"
    refuse: bool = True

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

    @model_validator(mode="after")
    def _what_orders_is_named(self) -> Self:
        if self.rerank_lm and self.lm is None:
            raise ValueError("OVERFETCH_RERANK_LM is set, but OVERFETCH_LM, which is to order, is not")
        return self

    @property
    def runner(self) -> Literal["onnx", "torch", "transformers", "flagembedding"]:
        """What runs the models of the hub here."""
        if self.backend == "auto":
            return "torch" if NVIDIA_DRIVER.exists() else "onnx"
        return self.backend

    @property
    def reads_windows(self) -> bool:
        """Whether a passage beyond a model's limit is read in windows, else it is cut."""
        return self.long_passages == "windows"

    @property
    def language_model(self) -> LanguageModel | None:
        """What answers, where one is configured."""
        if self.lm is None:
            return None
        return LanguageModel(
            name=self.lm,
            api_base=self.lm_api_base,
            api_key=self.lm_api_key,
            timeout_s=self.lm_timeout_s,
            retries=self.lm_retries,
            max_tokens=self.lm_max_tokens,
            token_budget=self.lm_token_budget,
            rewrites=self.lm_rewrites,
        )

    @property
    def list_model(self) -> LanguageModel | None:
        """What orders candidates, where it is to; its budget is apart from that of the answers."""
        lm = self.language_model if self.rerank_lm else None
        return None if lm is None else lm.model_copy(update={"token_budget": self.rerank_lm_token_budget})

    def pair(self, profile: str | None = None) -> Profile:
        """What serves as the profile of that name, by default the environment's. Raises SettingsError."""
        return self.served(find_profile(self.profile if profile is None else profile))

    def served(self, profile: Profile) -> Profile:
        """The pair with the models of servers in place of its own."""
        reranker = self.rerank.model_served(profile.reranker.within(self.rerank_tokens))
        embedder = self.embed.model_served(profile.embedder)
        return Profile(name=profile.name, embedder=embedder, reranker=reranker)

    def budget(self, tokens: int | None) -> int | None:
        """Tokens that a reranker reads for one query: those set here, else those of a site; None: as its model does."""
        return tokens if self.rerank_tokens is None else self.rerank_tokens

    def refusals_of(self, collection: str) -> Path:
        """Where the rules of `SITE/COLLECTION` are that were fitted here."""
        return self.tuned / collection / "refusals.json"

    @property
    def store_address(self) -> str:
        """`file:PATH`, `:memory:`, or the address of a Qdrant server."""
        return self.qdrant or f"file:{user_data_path('overfetch') / 'collections'}"


def read_environment() -> Environment:
    """The environment's settings. Raises SettingsError naming the variable, also where Overfetch knows none of it."""
    _require_known()
    return Environment.read(server=ServerSettings.read(), rerank=RerankServer.read(), embed=EmbedServer.read())


def _require_known() -> None:
    """A misspelt variable would leave a setting as it is, in silence."""
    require_known(Environment.prefix, (Environment, ServerSettings, RerankServer, EmbedServer), OF_OTHERS)
