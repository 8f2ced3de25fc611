"""Which servers run models in place of this machine: `OVERFETCH_RERANK_*` and `OVERFETCH_EMBED_*`."""

import re
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

if TYPE_CHECKING:
    from overfetch.settings import ModelSpec

ENDPOINT = re.compile(r"https?://[^/?#]+/[^?#]+")


class ModelServer(BaseSettings):
    """Where a server is asked, and what for.

    `url` is the whole endpoint; `model` is what the server calls the model, by default the profile's repository;
    `revision` is what you know it to run.
    """

    example: ClassVar[str]

    url: str | None = None
    model: str | None = None
    revision: str | None = None
    api_key: str | None = Field(default=None, repr=False)
    timeout_s: float = Field(default=30.0, gt=0)

    @model_validator(mode="after")
    def _has_an_endpoint(self) -> Self:
        prefix = self.model_config["env_prefix"]
        given = sorted(self.model_fields_set - {"url"})
        if given and self.url is None:
            raise ValueError(f"{prefix}{given[0].upper()} is set, but {prefix}URL, which it belongs to, is not")
        if self.url is not None and not ENDPOINT.match(self.url):
            raise ValueError(f"{prefix}URL is {self.url!r}; give the whole endpoint, such as {self.example}")
        return self

    def model_served(self, spec: "ModelSpec") -> "ModelSpec":
        """What runs in place of `spec`; what the user does not know of it is called unstated."""
        if self.url is None:
            return spec
        repo = self.model if self.model is not None else spec.repo
        changes: dict[str, Any] = {
            "name": re.sub(r"[^\w.-]+", "-", f"remote-{repo}"),
            "repo": repo,
            "revision": self.revision if self.revision is not None else "unstated",
            "precision": "remote",
            "package": None,
            "files": {},
        }
        if repo != spec.repo:
            changes |= {"licence": "unstated", "languages": (), "order_weight": 1.0}
        return spec.model_copy(update=changes)


class RerankServer(ModelServer):
    """A `/rerank` endpoint; `api` is the shape that it speaks (`overfetch.inference.remote`)."""

    model_config = SettingsConfigDict(env_prefix="OVERFETCH_RERANK_", frozen=True, env_ignore_empty=True)
    example = "http://HOST:8080/rerank"

    api: Literal["cohere", "jina", "infinity", "vllm", "tei"] = "cohere"


class EmbedServer(ModelServer):
    """An OpenAI-shaped `/embeddings` endpoint.

    `dimension` says that it runs another model than the profile's, with prefixes of its own.
    """

    model_config = SettingsConfigDict(env_prefix="OVERFETCH_EMBED_", frozen=True, env_ignore_empty=True)
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

    def model_served(self, spec: "ModelSpec") -> "ModelSpec":
        """As above; vectors count as those of the pinned model only where its very revision is stated."""
        if self.dimension is None:
            return spec if self.revision == spec.revision else super().model_served(spec)
        own = {"dimension": self.dimension, "query_prefix": self.query_prefix, "passage_prefix": self.passage_prefix}
        return super().model_served(spec).model_copy(update=own)
