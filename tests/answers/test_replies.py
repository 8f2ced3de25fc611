"""Replies with thoughts before the fields, and in JSON: read as they are meant, and shown so while they come."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import dspy
import pytest
from openai_server import ChatServer

from builddaily.answering import ChatAnswer
from overfetch import Answer, LanguageModel, load_site
from overfetch.testing import open_fake
from overfetch_answers.replies import FieldReader, ReplyAdapter, without_thoughts
from overfetch_answers.testing import reply_to

DRAFT = "Draft:\n[[ ## answer ## ]]\nmaybe [1]?\n"
FIELDS = "[[ ## product ## ]]\nSage\n\n[[ ## answer ## ]]\n\n It is [[so]] [1].\n\n And on. \n\n[[ ## completed ## ]]\n"
TEXT = "It is [[so]] [1].\n\n And on."
THOUGHTS = [
    ("<think>", "</think>"),
    ("\n<thinking>", "</thinking>"),
    ("<reasoning>", "</reasoning>\n\n"),
    ("[THINK]", "[/THINK]"),
    ("◁think▷", "◁/think▷"),
]


@pytest.mark.parametrize(("opening", "closing"), [("", ""), *THOUGHTS])
@pytest.mark.parametrize("size", [1, 3, 7, 1_000])
def test_a_field_is_shown_as_it_comes(opening: str, closing: str, size: int) -> None:
    reply = (f"{opening}{DRAFT}{closing}" if opening else "") + FIELDS
    reader = FieldReader("answer")
    pieces = [reader.add(reply[at : at + size]) for at in range(0, len(reply), size)]
    assert "".join([*pieces, reader.end()]) == TEXT
    assert size > 10 or sum(map(bool, pieces)) > 3, "in pieces"


def test_a_reply_that_is_cut_off_shows_what_there_was() -> None:
    reader = FieldReader("answer")
    assert reader.add("[[ ## answer ## ]]\nIt is [[") == "It is"
    assert reader.end() == " [["
    assert FieldReader("answer").add(f"<think>{DRAFT}") == ""


def test_json_is_not_shown_in_pieces() -> None:
    reader = FieldReader("answer")
    assert reader.add('{"answer": "It is."}') + reader.end() == ""


@pytest.mark.parametrize(("opening", "closing"), THOUGHTS)
def test_thoughts_are_no_reply(opening: str, closing: str) -> None:
    assert without_thoughts(f"{opening}{DRAFT}{closing}{FIELDS}").strip() == FIELDS.strip()
    assert without_thoughts(f"{opening}{DRAFT}") == ""


def test_thoughts_may_begin_before_the_reply() -> None:
    """As templates do that open them in the prompt; an answer about the tag is no thought."""
    assert without_thoughts(f"{DRAFT}</think>{FIELDS}", "[[ ## product ## ]]") == FIELDS
    about = FIELDS.replace("It is", "Models end it with </think>, so it is")
    assert without_thoughts(about, "[[ ## product ## ]]") == about


class Fields(dspy.Signature):
    """Two fields."""

    question: str = dspy.InputField()
    product: str = dspy.OutputField()
    answer: str = dspy.OutputField()


@pytest.mark.parametrize(
    "reply",
    [
        FIELDS,
        f"<think>{DRAFT}</think>{FIELDS}",
        f"{DRAFT}</think>{FIELDS}",
        json.dumps({"product": "Sage", "answer": TEXT}),
        f"<think>{DRAFT}</think>\n```json\n{json.dumps({'product': 'Sage', 'answer': TEXT})}\n```",
    ],
)
def test_replies_are_read_in_either_form(reply: str) -> None:
    assert ReplyAdapter().parse(Fields, reply) == {"product": "Sage", "answer": TEXT}
    for unread in ("", f"<think>{DRAFT}", "I would rather not."):
        with pytest.raises(dspy.AdapterParseError):
            ReplyAdapter().parse(Fields, unread)


def as_json(reply: str) -> str:
    """A reply in headers, with the same fields in JSON."""
    fields = ReplyAdapter().parse(ChatAnswer.signature, reply)
    return json.dumps({**fields, "quotes": [dict(quote) for quote in fields["quotes"]]})


@pytest.mark.parametrize(
    "change",
    [
        lambda reply: reply,
        lambda reply: f"<think>\n{DRAFT}</think>\n\n{reply}",
        as_json,
        lambda reply: reply.replace("[[ ## answer ## ]]\n", "[[ ## answer ## ]]\n固定 👨‍👩‍👧 "),
    ],
    ids=["headers", "thoughts", "json", "beyond ASCII"],
)
async def test_a_stream_ends_as_an_answer_does(change: Callable[[str], str]) -> None:
    server = ChatServer({}, delay=0, reply=lambda messages: change(reply_to(messages)))
    engine = open_fake(load_site("builddaily"))
    listening = await asyncio.start_server(server.handle, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    engine.lm = LanguageModel(name="openai/rules", api_base=f"http://127.0.0.1:{port}/v1", timeout_s=20)
    try:
        plain = await engine.ask_async("What is Sage Daily?")
        pieces: list[Any] = [piece async for piece in engine.ask_stream("What is Sage Daily?")]
    finally:
        listening.close()  # not `async with`: from Python 3.12 on that waits for connections that the client keeps
    answer, shown = pieces[-1], "".join(pieces[:-1])
    assert isinstance(answer, Answer)
    assert (plain.mode, answer.mode) == ("lm", "lm"), answer.reason
    assert "maybe" not in plain.answer + answer.answer + shown
    assert answer.answer == plain.answer
    assert shown or change is as_json
