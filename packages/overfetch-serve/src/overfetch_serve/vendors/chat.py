"""A chat in OpenAI's shape as a question with its history, and an answer as a text with footnotes."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from overfetch.documents import AnswerDocument
from overfetch.errors import SettingsError
from overfetch.requests import AskRequest, Query
from overfetch.settings import explain
from overfetch.types import Answer, Turn
from overfetch_serve.vendors.bodies import Body

MOST_MESSAGES = 2_000
FOOTNOTES = "\n\n---\n"  # between an answer and where it comes from
LONGEST_QUOTE = 160

# What asks for an answer of another form than there is; what only tunes a model's writing is ignored, and said so.
REFUSED = ("tools", "functions", "response_format", "logprobs", "modalities", "audio")
BOUNDS = {"as_of", "near", "where"}  # of what is seen: passed over in silence, they would show what they were to hide
UNDERSTOOD: tuple[object, ...] = {"type": "text"}, ["text"], None, False, [], {}


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid")

    type: Literal["text"]
    text: Query


class Message(BaseModel):
    model_config = ConfigDict(extra="allow")

    role: Literal["system", "developer", "user", "assistant"]
    content: Query | Annotated[list[Part], Field(max_length=MOST_MESSAGES, fail_fast=True)] | None = None

    @property
    def text(self) -> str:
        if isinstance(self.content, list):
            return "\n".join(part.text for part in self.content)
        return self.content or ""


class ChatRequest(Body):
    """`overfetch` (not OpenAI's) takes what `ask` takes: `where`, `as_of`, `parts`, `top_n` ..."""

    model_config = ConfigDict(extra="allow")

    model: str
    messages: Annotated[list[Message], Field(min_length=1, max_length=MOST_MESSAGES, fail_fast=True)]
    stream: bool = False
    stream_options: dict[str, Any] | None = None
    n: Literal[1] | None = 1
    overfetch: dict[str, Any] = Field(default_factory=dict)

    def asking(self, collection: str | None) -> AskRequest:
        """The last message as the question, those before it as its history. Raises SettingsError."""
        if misplaced := set(self.model_extra or ()) & BOUNDS:
            raise SettingsError(f"{min(misplaced)}: give it under `overfetch`, where what `ask` takes is read")
        for name in REFUSED:
            if (given := (self.model_extra or {}).get(name)) not in UNDERSTOOD:
                raise SettingsError(f"{name}: this service answers in plain text with citations (given {given!r})")
        *earlier, last = self.messages
        if last.role != "user":
            raise SettingsError(f"messages: the last one is the question, of the role 'user' (given {last.role!r})")
        said = {"question": last.text, "history": turns(earlier), "collection": collection}
        try:
            return AskRequest.model_validate({**self.overfetch, **said})
        except ValidationError as error:
            raise SettingsError(explain(error)) from error

    @property
    def ignored(self) -> tuple[str, ...]:
        """What was given and changes nothing here."""
        roles = {f"messages of the role {m.role!r}" for m in self.messages if m.role in ("system", "developer")}
        return (*(self.model_extra or ()), *sorted(roles))


def turns(messages: Sequence[Message]) -> tuple[Turn, ...]:
    """Each question with what was answered, but for its footnotes."""
    found: list[Turn] = []
    for message in messages:
        if message.role == "user":
            found.append(Turn(question=message.text))
        elif message.role == "assistant" and found:
            answer = message.text.partition(FOOTNOTES)[0]
            found[-1] = found[-1].model_copy(update={"answer": answer})
    return tuple(found)


class ChatDocument(AnswerDocument):
    """What `ask` answers; `ignored` names what was given and changes nothing here."""

    ignored: tuple[str, ...] = ()

    @classmethod
    def of_chat(cls, answer: Answer, ignored: tuple[str, ...]) -> Self:
        return cls(**dict(AnswerDocument.of_answer(answer)), ignored=ignored)


def footnotes(answer: AnswerDocument) -> str:
    """What stands under the answer: what each `[n]` quotes."""
    titles = {hit.passage_id: hit.title for hit in answer.hits}
    notes = [
        f"[{number}] {titles.get(citation.passage_id, citation.document_id)}: “{_shortened(citation.quote)}”"
        for number, citation in enumerate(answer.citations, start=1)
    ]
    return FOOTNOTES + "\n".join(notes) if notes else ""


def _shortened(quote: str) -> str:
    line = " ".join(quote.split())
    return line if len(line) <= LONGEST_QUOTE else f"{line[:LONGEST_QUOTE]}…"
