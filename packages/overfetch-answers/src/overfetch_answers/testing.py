"""A rule-based language model for tests: no weights, no network, the same reply every time.

It is as careless as small models are, and the more its prompt shows or tells it, the better it does. Of the questions
that it is asked cold, it quotes a third letter for letter and cuts the others short; demonstrations with good quotes,
an instruction to quote letter for letter, or feedback on its last reply make it careful. It reads only the first
passage, unless told to read every one or shown so. What stands in passages it takes as data. So optimisers have
something real to find.
"""

import json
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import dspy
from dspy.lm15 import Message, Request, Response, Usage
from sentencex import segment

CARELESS_SHARE, LEARNT_A_DEMO = 33, 35
CAREFUL = re.compile(r"letter for letter|verbatim|word for word", re.IGNORECASE)
THOROUGH = re.compile(r"every passage|all passages|each passage", re.IGNORECASE)
# What it proposes where an optimiser asks for instructions: only some help.
TIPS = (
    "Be creative and bold.",
    "Quote whole sentences, letter for letter.",
    "Think about it.",
    "Read every passage, then quote whole sentences letter for letter.",
)


class Chosen(NamedTuple):
    """A passage and the sentence of it that the model quotes."""

    number: int
    quote: str
    shared: int


class RuleBasedEngine:
    """An engine for `dspy.LM("rules", engine=RuleBasedEngine(), async_engine=AsyncRuleBasedEngine())`."""

    def complete(self, request: Request) -> Response:
        prompt = [(message.role, message.text or "") for message in request.messages]
        system = request.system if isinstance(request.system, str) else ""
        text = reply_to([("system", system), *prompt])
        read = sum(len(content) for _, content in prompt) // 4
        usage = Usage(input_tokens=read, output_tokens=len(text) // 4)
        return Response(
            id=None, model=request.model, message=Message.assistant(text), finish_reason="stop", usage=usage
        )


class AsyncRuleBasedEngine:
    """The same, awaited."""

    async def complete(self, request: Request) -> Response:
        return RuleBasedEngine().complete(request)


def rule_based_model() -> dspy.LM:
    """A language model without weights, which quotes by rule."""
    return dspy.LM("rules", engine=RuleBasedEngine(), async_engine=AsyncRuleBasedEngine(), cache=False)


def reply_to(messages: Sequence[tuple[str, str]]) -> str:
    """The reply to (role, content) messages: in the form that DSPy's chat or JSON adapter asks for."""
    prompt = messages[-1][1]
    wanted = re.findall(r"`(?:\[\[ ## )?(\w+)(?: ## \]\])?`", prompt[prompt.rfind("Respond with") :])
    values = _values(messages)
    filled = {name: values.get(name, "") for name in wanted if name != "completed"}
    if "[[ ## completed ## ]]" not in prompt:
        return json.dumps(filled)
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in filled.items()}
    return "".join(f"[[ ## {name} ## ]]\n{text}\n\n" for name, text in texts.items()) + "[[ ## completed ## ]]"


def _propose(prompt: str) -> str:
    """A new instruction: the old one, and what the feedback complains about."""
    tips = [TIPS[1]] if re.search(r"refused|nothing is cited", prompt, re.IGNORECASE) else []
    tips += ["Read every passage."] if "but is not cited" in prompt else []
    return " ".join([section(prompt, "current_instruction"), *(tips or TIPS[:1])])


def _values(messages: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """A value for every output field that a site's signature or an optimiser's may ask for."""
    prompt = messages[-1][1]
    question = section(prompt, "question")
    parts = _json(prompt, "parts") or [{"number": 1, "passages": _json(prompt, "passages") or []}]
    best = [_choose(messages, question, part["passages"]) for part in parts]
    first = next((chosen for chosen in best if chosen), None)
    passages = {p["number"]: p for part in parts for p in part["passages"]}
    quotes = [{"passage": c.number, "quote": c.quote} for c in best if c]
    told = f"{first.quote} [{first.number}]" if first else ""
    symbol = passages[first.number]["facts"].get("symbol", "") if first else ""
    proposed = TIPS[zlib.crc32(prompt.encode()) % len(TIPS)]
    return {
        "quotes": quotes,
        "page": first.number if first else None,
        "why": told,
        "how_to_start": "",
        "product": passages[first.number]["title"] if first else "",
        "verdict": "answered" if first else "not in the sources",
        "answer": told,
        "ranking": [{"symbol": symbol, "evidence": told, "quotes": quotes}] if first else [],
        "precedents": [{"passage": first.number, "alike": told, "unlike": told, "quotes": quotes}] if first else [],
        "meanings": [
            {"part": part["number"], "meaning": c.quote, "quotes": [{"passage": c.number, "quote": c.quote}]}
            for part, c in zip(parts, best, strict=True)
            if c
        ],
        "reading": " ".join(f"{c.quote} [{c.number}]" for c in best if c),
        "standalone_question": _standalone(prompt, question),
        "order": _order(prompt, question),
        "proposed_instruction": f"{section(prompt, 'basic_instruction')} {proposed}",
        "new_instruction": _propose(prompt),
        "program_description": "It answers questions by quoting passages.",
        "module_description": "It quotes passages.",
        "observations": "Questions about passages.",
        "summary": "Questions about passages.",
    }


def _order(prompt: str, question: str) -> str:
    """Candidates by how many words of the question each has."""
    wanted = set(_words(question))
    candidates = _json(prompt, "candidates") or []
    best = sorted(candidates, key=lambda candidate: -len(wanted & set(_words(candidate["text"]))))
    return " > ".join(f"[{candidate['number']}]" for candidate in best)


def _choose(messages: Sequence[tuple[str, str]], question: str, passages: Sequence[Mapping[str, Any]]) -> Chosen | None:
    """The sentence that shares most words with the question, as faithfully as the prompt has taught."""
    if not passages:
        return None
    told = messages[0][1].rpartition("your objective is:")[2]
    shown = _good_demonstrations(messages)
    thorough = bool(THOROUGH.search(told)) or shown >= 2
    wanted = set(_words(question))
    best = max(
        (
            Chosen(passage["number"], sentence, len(wanted & set(_words(f"{passage['title']} {sentence}"))))
            for passage in (passages if thorough else passages[:1])
            for sentence in _sentences(passage["text"])
        ),
        key=lambda chosen: chosen.shared,
        default=None,
    )
    if best is None:
        return None
    warned = CAREFUL.search(told) or section(messages[-1][1], "feedback")
    competence = 100 if warned else CARELESS_SHARE + LEARNT_A_DEMO * shown
    careful = zlib.crc32(question.encode()) % 100 < competence
    return best if careful else best._replace(quote=best.quote.lower().rpartition(" ")[0] + " and so on")


def _good_demonstrations(messages: Sequence[tuple[str, str]]) -> int:
    """How many demonstrations quote the passages that they were given, letter for letter."""
    turns = list(zip(messages[1:-1:2], messages[2:-1:2], strict=False))
    return sum(_is_good(asked[1], replied[1]) for asked, replied in turns)


def _is_good(asked: str, replied: str) -> bool:
    quotes = re.findall(r'"quote": ("(?:[^"\\]|\\.)*")', replied)
    return bool(quotes) and all(quote[1:-1] in asked for quote in quotes)


def section(prompt: str, name: str) -> str:
    """What stands under a field's header."""
    found = re.search(rf"^\[\[ ## {name} ## \]\]\n(.*?)(?=\n\n\[\[ ##|\n\nRespond with|\Z)", prompt, re.M | re.S)
    return found.group(1).strip() if found else ""


def _json(prompt: str, name: str) -> Any:
    text = section(prompt, name)
    return json.loads(text) if text.startswith("[") else None


def _sentences(text: str) -> Iterable[str]:
    """As they stand: a sentence is quoted with the line breaks that it has."""
    return [s.strip() for s in segment("en", text) if len(s.split()) >= 4]


def _words(text: str) -> list[str]:
    return [word for word in re.findall(r"\w+", text.lower()) if len(word) > 3]


def _standalone(prompt: str, question: str) -> str:
    """Names in place of "it": the last capitalised word of the turns before."""
    named = re.findall(r"\b[A-Z][\w.-]+", section(prompt, "history"))
    return re.sub(r"\b(it|its|that one)\b", named[-1], question) if named else question
