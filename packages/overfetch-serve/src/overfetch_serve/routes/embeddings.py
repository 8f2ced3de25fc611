"""`/v1/embeddings` in OpenAI's shape."""

import base64
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from overfetch.errors import SettingsError
from overfetch.protocols import Vectors
from overfetch.requests import LONGEST_QUERY
from overfetch_serve.access import CurrentService, DeadlineHeader, allowed, budget
from overfetch_serve.vendors.bodies import Body
from overfetch_serve.vendors.embedding import Embedded, TextKind
from overfetch_serve.vendors.shapes import OPENAI
from overfetch_serve.vendors.tokens import Tokens

router = APIRouter(tags=["other vendors' shapes"], dependencies=[allowed("rerank")], responses=OPENAI.responses)

MOST_TEXTS = 2_048  # as OpenAI has it

# As Cohere, Voyage and NVIDIA call them.
KINDS: dict[str, TextKind] = {
    "query": "query",
    "search_query": "query",
    "passage": "passage",
    "document": "passage",
    "search_document": "passage",
}

Texts = Annotated[list[str], Field(min_length=1, max_length=MOST_TEXTS, fail_fast=True)]
TokenList = Annotated[list[int], Field(max_length=LONGEST_QUERY, fail_fast=True)]
TokenLists = TokenList | Annotated[list[TokenList], Field(max_length=MOST_TEXTS, fail_fast=True)]


class EmbeddingsRequest(Body):
    """`input_type` (or the suffix `:query` or `:passage` of the model's name) says what the texts are."""

    model_config = ConfigDict(extra="forbid")

    model: str
    input: str | Texts | TokenLists
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = None
    input_type: Literal["query", "search_query", "passage", "document", "search_document"] | None = None
    user: str | None = None

    @property
    def texts(self) -> list[str]:
        """Raises SettingsError."""
        texts = [self.input] if isinstance(self.input, str) else self.input
        if not texts:
            raise SettingsError("input: there is no text")
        if not all(isinstance(text, str) for text in texts):
            raise SettingsError("input: tokens were given, and those of another model mean nothing to this: send texts")
        if not all(texts):
            raise SettingsError("input: a text is empty")
        return [str(text) for text in texts]


class Embedding(BaseModel):
    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class EmbeddingsResponse(BaseModel):
    """`truncated_tokens` (not OpenAI's) were beyond the model's limit, which no vector holds."""

    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str
    usage: dict[str, int] | None
    truncated_tokens: int | None


@router.post("/v1/embeddings")
async def embeddings(
    asked: EmbeddingsRequest, service: CurrentService, deadline_ms: DeadlineHeader = None
) -> EmbeddingsResponse:
    """A vector of unit length for each text."""
    texts, (embedder, named_kind) = asked.texts, service.catalogue.embedder(asked.model)
    spec = embedder.embedder.spec
    if asked.dimensions not in (None, spec.dimension):
        raise SettingsError(
            f"dimensions: {spec.name} makes vectors of {spec.dimension} numbers, not {asked.dimensions}"
        )
    kind = KINDS[asked.input_type] if asked.input_type else named_kind
    time = budget(service, deadline_ms)

    def embed() -> tuple[Embedded, int | None]:
        return embedder.embed(texts, kind, time), Tokens.of(spec).count("", texts)

    found, tokens = await service.work_by(time.patience, embed)
    return EmbeddingsResponse(
        data=[Embedding(index=i, embedding=_encoded(v, asked.encoding_format)) for i, v in enumerate(found.vectors)],
        model=asked.model,
        usage=None if tokens is None else {"prompt_tokens": tokens, "total_tokens": tokens},
        truncated_tokens=found.truncated,
    )


def _encoded(vector: Vectors, encoding: str) -> list[float] | Any:
    if encoding == "base64":
        return base64.b64encode(vector.astype("<f4").tobytes()).decode()
    return vector.tolist()
