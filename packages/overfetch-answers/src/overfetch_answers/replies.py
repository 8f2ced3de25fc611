"""Replies as language models write them: thoughts aloud before the fields, JSON where headers were asked for."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dspy

from overfetch_answers.language_model import RequestClient, UnfinishedReply

OPENING = re.compile(
    r"\s*(?:<(think|thinking|thought|thoughts|reasoning|analysis)>|(\[THINK\])|(◁think▷))", re.IGNORECASE
)
CLOSING = re.compile(r"</(?:think|thinking|thought|thoughts|reasoning|analysis)>|\[/THINK\]|◁/think▷", re.IGNORECASE)
LONGEST_TAG = 16
HEADER = re.compile(r"\[\[ ## \w+ ## \]\]")
HEADER_BEGUN = re.compile(r"\[(?:\[(?: (?:#(?:# ?\w* ?#{0,2} ?\]?)?)?)?)?$")
LONGEST_HEADER = 80
NULL = re.compile(r"\s*(?:null|none)\s*", re.IGNORECASE)
JSON = re.compile(r"\s*(?:```(?:json)?\s*)?\{")


def without_thoughts(reply: str, first_header: str = "") -> str:
    """What comes after the thoughts; nothing where they do not end.

    Some servers send only their end: then they are what stands before it, if the fields begin after it.
    """
    closing = CLOSING.search(reply)
    if OPENING.match(reply):
        return reply[closing.end() :] if closing else ""
    if closing and (first_header in reply[closing.end() :] or JSON.match(reply, closing.end())):
        return reply[closing.end() :]
    return reply


def without_nulls(fields: dict[str, Any]) -> dict[str, Any]:
    """Texts that say nothing but that there is none are empty."""
    return {name: "" if isinstance(said, str) and NULL.fullmatch(said) else said for name, said in fields.items()}


@contextmanager
def unfinished_told(lm: Any) -> Iterator[None]:
    """Where a reply cannot be read since it was cut or is a refusal, that is said, and no second form asked for."""
    try:
        yield
    except dspy.AdapterParseError as error:
        if isinstance(lm, RequestClient) and lm.unfinished:
            raise UnfinishedReply(lm.unfinished) from error
        raise


class ReplyAdapter(dspy.ChatAdapter):
    """DSPy's chat form, reading also what it asked for otherwise: without the thoughts, and in JSON."""

    def _call_postprocess(self, processed: Any, original: Any, outputs: Any, lm: Any, lm_kwargs: Any) -> Any:
        with unfinished_told(lm):
            return super()._call_postprocess(processed, original, outputs, lm, lm_kwargs)

    def parse(self, signature: Any, completion: str) -> Any:
        reply = without_thoughts(completion, f"[[ ## {next(iter(signature.output_fields))} ## ]]")
        if JSON.match(reply):
            return without_nulls(dspy.JSONAdapter().parse(signature, reply))
        return without_nulls(super().parse(signature, reply))

    def _make_json_adapter_fallback(self) -> dspy.JSONAdapter:
        return _JSONReplyAdapter(use_native_function_calling=self.use_native_function_calling)


class _JSONReplyAdapter(dspy.JSONAdapter):
    def _call_postprocess(self, processed: Any, original: Any, outputs: Any, lm: Any, lm_kwargs: Any) -> Any:
        with unfinished_told(lm):
            return super()._call_postprocess(processed, original, outputs, lm, lm_kwargs)

    def parse(self, signature: Any, completion: str) -> Any:
        return without_nulls(super().parse(signature, without_thoughts(completion, "{")))


class FieldReader:
    """The text of one field out of the pieces of a reply: `add` gives what has become certain, `end` the rest.

    Thoughts before the fields are passed over; `before` has the fields that come first. A reply in JSON has no headers:
    nothing of it is shown.
    """

    def __init__(self, field: str) -> None:
        self.header = f"[[ ## {field} ## ]]"
        self.before = ""
        self._read = self._start
        self._pending = ""
        self._begun = False

    def add(self, piece: str) -> str:
        self._pending += piece
        return self._read()

    def end(self) -> str:
        """What was held back, since a header might have begun there."""
        rest = self._pending.rstrip() if self._read == self._within else ""
        self._read, self._pending = self._done, ""
        return rest

    def _start(self) -> str:
        self._pending = self._pending.lstrip()
        if OPENING.match(self._pending):
            self._read = self._thinking
        elif len(self._pending) >= LONGEST_TAG or self._pending[:1] not in ("", "<", "[", "◁"):
            self._read = self._before
        else:
            return ""
        return self._read()

    def _thinking(self) -> str:
        closing = CLOSING.search(self._pending)
        self._pending = self._pending[closing.end() if closing else -LONGEST_TAG :]
        if closing is None:
            return ""
        self._read = self._before
        return self._read()

    def _before(self) -> str:
        before, found, rest = self._pending.partition(self.header)
        if not found:
            before, rest = before[: -len(self.header)], before[-len(self.header) :]
        self.before, self._pending = self.before + before, rest
        if not found:
            return ""
        self._read = self._within
        return self._read()

    def _within(self) -> str:
        if header := HEADER.search(self._pending):
            text = self._pending[: header.start()].rstrip()
            self._read, self._pending = self._done, ""
            return text if self._begun else text.lstrip()
        if not self._begun:
            self._pending = self._pending.lstrip()
        # Space before a header is no part of the field, nor is the header's beginning.
        opening = HEADER_BEGUN.search(self._pending, max(0, len(self._pending) - LONGEST_HEADER))
        certain = self._pending[: opening.start() if opening else None].rstrip()
        self._pending = self._pending[len(certain) :]
        self._begun = self._begun or bool(certain)
        return certain

    def _done(self) -> str:
        self._pending = ""
        return ""


class FieldListener(dspy.streaming.StreamListener):
    """Shows a field of a streamed reply as `FieldReader` has it."""

    def __init__(self, field: str) -> None:
        super().__init__(signature_field_name=field)
        self.reader = FieldReader(field)

    def receive(self, chunk: Any) -> Any:
        content = chunk.choices[0].delta.content if chunk.choices else None
        return self._shown(self.reader.add(content or ""), last=False)

    def finalize(self) -> Any:
        return self._shown(self.reader.end(), last=True)

    def _shown(self, text: str, last: bool) -> Any:
        response = dspy.streaming.StreamResponse
        return response(self.predict_name, self.signature_field_name, text, is_last_chunk=last) if text else None
