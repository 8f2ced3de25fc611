"""A module's reply while it comes: its text in pieces, and a draft of its module with each further sentence."""

import re
from collections.abc import Callable, Sequence
from contextlib import suppress

import dspy

from overfetch import AnswerError, Draft, Retrieval, has_markers, whole_sentences
from overfetch_answers.module import GroundedModule
from overfetch_answers.replies import FieldListener, ReplyAdapter

Emit = Callable[[str | Draft], None]

# Cheap to look for in each piece: splitting into sentences takes a millisecond.
NEXT_BEGINS = re.compile(r"[^\w\s,]\s+\w|\n|[。！？]")


async def stream_prediction(
    program: dspy.Module, module: GroundedModule, retrievals: Sequence[Retrieval], emit: Emit, **inputs: object
) -> dspy.Prediction:
    """The prediction of `program`, which runs `module`; of its first attempt, text and partial drafts go to `emit`."""
    assert module.streamed is not None
    listener, sentences = FieldListener(module.streamed), Sentences()
    prediction = None
    async for piece in dspy.streamify(program, stream_listeners=[listener], is_async_program=True)(**inputs):
        if isinstance(piece, dspy.Prediction):
            prediction = piece
        elif isinstance(piece, dspy.streaming.StreamResponse) and piece.chunk:
            emit(piece.chunk)
            if sentences.grow(piece.chunk) and (draft := draft_so_far(module, retrievals, listener, sentences.whole)):
                emit(draft)
    if prediction is None:
        raise AnswerError("the stream of the language model ended without an answer; ask again")
    return prediction


class Sentences:
    """Of a text that comes in pieces, the sentences that are whole."""

    def __init__(self) -> None:
        self.whole = ""
        self._written = self._unread = ""

    def grow(self, piece: str) -> bool:
        """Whether there are more of them now.

        Not before the first marker: citations of a text without any stand at its end, wherever that is by then.
        """
        self._written += piece
        self._unread += piece
        if not NEXT_BEGINS.search(self._unread):
            return False
        before, self.whole, self._unread = self.whole, whole_sentences(self._written), ""
        return self.whole != before and has_markers(self.whole)


def draft_so_far(
    module: GroundedModule, retrievals: Sequence[Retrieval], listener: FieldListener, text: str
) -> Draft | None:
    """What the module would make of the reply if it ended after that text of the field; None where it fails."""
    signature, fields = module.respond.signature, [*module.respond.signature.output_fields]
    field = listener.signature_field_name
    empty = [f"[[ ## {name} ## ]]\n" for name in fields[fields.index(field) + 1 :]]
    reply = "\n\n".join([f"{listener.reader.before}[[ ## {field} ## ]]\n{text}", *empty])
    with suppress(Exception):  # whatever a module makes of half a reply: the whole one says what is wrong
        draft = module.draft(dspy.Prediction(**ReplyAdapter().parse(signature, reply)), retrievals)
        return draft.model_copy(update={"partial": True})
    return None
