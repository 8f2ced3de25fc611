"""How a developer's question is read: the names in it are looked up, whole and first; the rest is searched as it is."""

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from functools import cached_property
from itertools import chain, filterfalse, islice

from builddaily.identifiers import KNOWN, SEPARATORS, forms, is_identifier, key, parts_of, singular, squash, tokens
from builddaily.wording import field_words, spelled
from overfetch import AnyOf, Focus, Understood, unheard

LOOKED_AT = 1_000  # characters of a question
MOST_IDENTIFIERS, MOST_WORDS, LONGEST_NAME = 4, 60, 5
MOST_FOCUSES = 32  # of Understood
SHORT = 3  # words beside a name: it is looked up, not asked about
IN_PASSING, UNHEARD = 0.2, 0.1  # weights: of a name in a longer question, of what may not be there at all
AS_WRITTEN, AS_CALLED = 0.5, 0.5  # weights: of a question that means more, of pages that are called what it means
OF_PRODUCT = 1.0
WORD = re.compile(r"[^\W_]+(?:[+#]+|(?:\.\d+)+)?")
VERSION = re.compile(r"v?\d+(?:\.\d+)+")
# "..., not the hosted one": both stages would find just that.
UNWANTED = re.compile(r"[,;]\s{0,3}(?:but )?not\b[^,;.:?!]{1,200}", re.IGNORECASE)
LEFT_OVER = 3  # words that a question keeps
# A message that was pasted names what the asker's own code is called, too.
MESSAGE = re.compile(r"\b(?:error|exception|traceback|warning)\b|\w(?:Error|Exception|Warning)\b", re.IGNORECASE)


def understand(question: str, _day: date) -> Understood:
    """Passages about what the question names, and about its product, are lists of their own beside the question's.

    >>> read = understand("what is dspy.BestOfN", date(2026, 1, 1))
    >>> read.notes, [focus.missing for focus in read.focuses if focus.missing]
    (('looked up: dspy.BestOfN',), ['dspy.BestOfN'])
    >>> understand("rerank passages in python, not the hosted API", date(2026, 1, 1)).text
    'rerank passages in python'
    """
    wanted = UNWANTED.sub("", question).strip()
    text = wanted if len(wanted.split()) >= LEFT_OVER else question
    asked = Asked(text[:LOOKED_AT])
    told = {
        "looked up": asked.names,
        "also read as": asked.meant,
        "not searched for": UNWANTED.findall(question) if text == wanted else [],
    }
    notes = tuple(f"{what}: {', '.join(name.strip(' ,;') for name in names)}" for what, names in told.items() if names)
    focuses = (*asked.looked_up(), *asked.titled(), *asked.reworded(text), *asked.absent())[:MOST_FOCUSES]
    read = f"{text} ({', '.join(asked.meant)})" if asked.meant else text
    return Understood(text=read, focuses=focuses, named=tuple(dict.fromkeys(asked.written())), notes=notes)


class Asked:
    """A question's identifiers and words."""

    def __init__(self, question: str) -> None:
        self.question = question
        written = [squash(found[0]) for found in islice(WORD.finditer(question), MOST_WORDS)]
        self.respelled = spelled(written)
        self.words = [self.respelled.get(word, word) for word in written]

    @cached_property
    def names(self) -> list[str]:
        """The identifiers, each once."""
        brands = KNOWN.words("brands")
        found = (t for t in tokens(self.question) if is_identifier(t) and key(t) not in brands)
        return list(dict.fromkeys(islice(found, MOST_IDENTIFIERS)))

    @cached_property
    def is_short(self) -> bool:
        """A name and little else."""
        beside = (token for token in tokens(self.question) if key(token) not in KNOWN.words("asking"))
        return len([token for token in beside if token not in self.names]) <= SHORT

    @cached_property
    def meant(self) -> list[str]:
        """Words that it has misspelt, and those that pages have for what it says in its own."""
        if self.names and self.is_short:
            return []
        return [*dict.fromkeys(self.respelled.values()), *field_words(self.question)]

    def reworded(self, text: str) -> Iterator[Focus]:
        """The question as it is written, where more is read into it, and pages that are called what is."""
        if self.meant:
            yield Focus(text=text, weight=AS_WRITTEN)
            called = tuple(dict.fromkeys(key(word) for words in self.meant for word in words.split()))
            yield Focus(conditions=(AnyOf(field="names", values=called),), weight=AS_CALLED)

    def written(self) -> Iterator[str]:
        """How passages may write what is asked for: identifiers whole and by their last part, commands."""
        for name in self.names:
            yield from (name, SEPARATORS.split(name)[-1])
        rest = _between(self.words, KNOWN.words("asking"))
        if self.is_short and 1 < len(rest) <= LONGEST_NAME:
            yield " ".join(rest)

    def looked_up(self) -> Iterator[Focus]:
        """Pages that are called so, passages that define it, passages that mention it.

        In a longer question it is one word of several, and says little if it may be no code at all.
        """
        weight = 1.0 if self.is_short else IN_PASSING
        for name in self.names if self.is_short else filterfalse(_is_plain, self.names):
            whole = (singular(forms(name)[0]),)
            yield Focus(conditions=(AnyOf(field="names", values=whole),), weight=4 * weight, leads=self.is_short)
            yield Focus(conditions=(AnyOf(field="defines", values=whole),), weight=2 * weight, leads=self.is_short)
            missing = None if self._may_be_own(name) or self._of_tool(name) else name
            yield Focus(conditions=_all(_ends(name)), weight=weight, missing=missing)

    def titled(self) -> Iterator[Focus]:
        """Pages and products whose name the question has; it may be nothing but a name."""
        single, *longer = [_grams(self.words, length) for length in range(1, LONGEST_NAME + 1)]
        several = tuple(chain.from_iterable(longer))
        if rest := _between(self.words, KNOWN.words("asking")):
            whole = (singular("".join(rest)),)
            yield Focus(conditions=(AnyOf(field="names", values=whole),), weight=4, leads=True)
            yield Focus(conditions=(AnyOf(field="product", values=(*single, *several, *whole)),), weight=OF_PRODUCT)
        if self.is_short and several:
            yield Focus(conditions=(AnyOf(field="names", values=several),), weight=1.5)
        if self.is_short and len(single) > 1:
            yield Focus(conditions=_all(single))

    @cached_property
    def tools(self) -> list[str]:
        known = frozenset(map(squash, KNOWN.table("products")))
        return [word for word in dict.fromkeys(self.words) if word in known]

    def _of_tool(self, name: str) -> list[str]:
        """In a short question, the name beside the one tool that is to have it: `fastembed AudioEmbedding`."""
        of_one = self.is_short and len(self.tools) == 1 and not self._may_be_own(name)
        return [*self.tools, name] if of_one and self.tools[0] not in parts_of(name) else []

    def absent(self) -> Iterator[Focus]:
        """What only its tool can have: a command, a version, a plugin; a model by its full name; a tool itself."""
        versions = [
            [tool, after.removeprefix("v")]
            for tool, after in zip(self.words, self.words[1:], strict=False)
            if tool in self.tools and VERSION.fullmatch(after)
        ]
        told = [
            *versions,
            *filter(None, map(self._of_tool, self.names)),
            *([self.command] if self.command else []),
            *([one] for one in self._joined()),
        ]
        if not told and len(self.tools) == 1 and self.is_short and not self.names:  # in passing, a tool says little
            told = [self.tools]
        for names in told:
            yield Focus(conditions=_all(list(map(squash, names))), weight=UNHEARD, missing=" ".join(names))
        yield from self._unheard()
        for words in KNOWN.said("elsewhere", self.question.lower()):
            product = tuple(AnyOf(field="product", values=(singular(tool),)) for tool in self.tools[:1])
            yield Focus(conditions=product, text=words, worded=True, weight=UNHEARD, missing=f"nothing on {words}")

    def _joined(self) -> Iterator[str]:
        """In a short question, plugins of a tool and models: `llm-teletext`, `bge-reranker-v9`."""
        for token in dict.fromkeys(tokens(self.question)) if self.is_short else ():
            parts = [squash(part) for part in token.split("-")]
            own = KNOWN.words("products").intersection(parts) or any(map(str.isdigit, token))
            if len(parts) > 1 and own and any(map(str.isalpha, token)) and token not in self.names:
                yield token

    def _unheard(self) -> Iterator[Focus]:
        """What tells of single words; a message has the asker's own."""
        if not MESSAGE.search(self.question):
            parts = {part.casefold() for name in self.names for part in WORD.findall(name)}
            known = KNOWN.words("stop") | KNOWN.words("asking") | parts
            yield from unheard(self.question, known.__contains__, everyday=True)

    @cached_property
    def command(self) -> list[str]:
        """`uv rollback`, also as "does uv have a rollback command"; `uv cache defrag`."""
        asking = KNOWN.words("asking")
        said = [word for word in self.words if singular(word) not in asking | KNOWN.words("stop")]
        if self.names or len(said) < 2 or said[0] not in KNOWN.words("commands"):
            return []
        asked = all(word in said or singular(word) in asking for word in self.words)
        is_one = "command" in self.words or (asked and singular(said[-1]) in KNOWN.words("verbs"))
        in_group = len(said) == 3 and singular(said[1]) in KNOWN.words("groups")
        return said if (is_one and len(said) == 2) or in_group else []

    def _may_be_own(self, name: str) -> bool:
        """Of an error message, of the asker's own code, or of no code at all: its absence says nothing."""
        own = re.search(rf"\bmy {re.escape(name)}", self.question, re.IGNORECASE)
        return _is_plain(name) or own is not None or MESSAGE.search(self.question) is not None


def _is_plain(name: str) -> bool:
    """`uv.lock`, or a full stop without its space."""
    return "_" not in name and name.islower() and not name.startswith("--")


def _ends(name: str) -> list[str]:
    """The first and the last part: `Class.method` may stand apart on its page."""
    parts = parts_of(name)
    return [parts[0], parts[-1]] if len(parts) > 1 else parts


def _all(names: Sequence[str]) -> tuple[AnyOf, ...]:
    return tuple(AnyOf(field="mentions", values=(singular(name),)) for name in names)


def _between(words: list[str], asking: frozenset[str]) -> list[str]:
    """From the first to the last word that is none of those that only ask."""
    kept = [place for place, word in enumerate(words) if word not in asking]
    return words[kept[0] : kept[-1] + 1] if kept else []


def _grams(words: list[str], length: int) -> tuple[str, ...]:
    """Runs of words, written together, that neither begin nor end with a word that names nothing."""
    stop = KNOWN.words("stop")
    runs: Iterable[list[str]] = (words[start : start + length] for start in range(len(words) - length + 1))
    return tuple(dict.fromkeys(singular("".join(run)) for run in runs if not stop & {run[0], run[-1]}))
