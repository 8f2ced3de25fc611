"""How a developer's question is read: the names in it are looked up, whole and first; the rest is searched as it is."""

import builtins
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from functools import cached_property
from itertools import chain, filterfalse, islice, product

from builddaily.identifiers import KNOWN, SEPARATORS, is_identifier, key, parts_of, singular, squash, tokens
from builddaily.tools import of_tools, product_names, tools_in, words_in
from builddaily.wording import everyday, field_words, read_as_others, respelled, spelled, without_unwanted
from overfetch import AnyOf, Focus, Understood, compared, unheard

LOOKED_AT = 1_000  # characters of a question
MOST_IDENTIFIERS, LONGEST_NAME = 4, 5
MOST_FOCUSES = 32  # of Understood
SHORT = 3  # words of a short question, beside its names
# Weights: of a name that a short question asks something about, so that half of what is found is the question's own; of
# one in a longer question, and of what mentions it: its first few are read beside the question's own.
BESIDE, IN_PASSING, MENTIONED = 0.5, 0.2, 0.5
OF_OTHERS = 0.5  # weight: of a name outside of the tool that is to have it
UNHEARD = 0.1  # weight: of what may not be there at all
AS_WRITTEN, AS_CALLED = 0.5, 0.5  # weights: of a question that means more, of pages that are called what it means
OF_PRODUCT = 1.0
FIELDS = (("names", 4), ("defines", 2))  # in which a name is looked up, and their weights
VERSION = re.compile(r"v?\d+(?:\.\d+)+")
# A message that was pasted names what the asker's own code is called, too.
FAILED = r"\b(?:invalid|failed|not found|cannot|could not|unable to|no such)\b"
MESSAGE = re.compile(
    r"(?i:\b(?:error|exception|traceback|warning)\b|\w(?:error|exception|warning)\b"
    rf"|{FAILED}[^:]{{0,80}}:|:[^:]{{0,80}}{FAILED})|[a-z] [a-z]+: [A-Z][a-z]+[A-Z]\w*$"
)
PLACEHOLDER = re.compile(r"\$\{[^{}]{0,80}\}")


def understand(question: str, _day: date) -> Understood:
    """Passages about what the question names, and about its product, are lists of their own beside the question's.

    >>> read = understand("what is dspy.BestOfN", date(2026, 1, 1))
    >>> read.notes, [focus.missing for focus in read.focuses if focus.missing]
    (('looked up: dspy.BestOfN',), ['dspy.BestOfN'])
    >>> understand("rerank passages in python, not the hosted API", date(2026, 1, 1)).text
    'rerank passages in python'
    """
    text, unwanted = without_unwanted(question)
    asked = Asked(text[:LOOKED_AT])
    told = {
        "looked up": asked.names,
        "also read as": asked.meant,
        "compared": asked.sides,
        "not searched for": unwanted,
    }
    notes = tuple(f"{what}: {', '.join(name.strip(' ,;') for name in names)}" for what, names in told.items() if names)
    focuses = (*asked.looked_up(), *asked.titled(), *asked.by_side(), *asked.reworded(text), *asked.absent())
    read = f"{text} ({', '.join(asked.meant)})" if asked.meant else text
    named = tuple(dict.fromkeys(asked.written()))
    return Understood(text=read, focuses=focuses[:MOST_FOCUSES], named=named, notes=notes)


class Asked:
    """A question's identifiers and words."""

    def __init__(self, question: str) -> None:
        self.question = question
        written = words_in(question)
        self.respelled = spelled(written)
        self.words = [self.respelled.get(word, word) for word in written]
        self.tools = tools_in(self.words)[0]
        self.sides = compared(question)
        self.is_message = MESSAGE.search(question) is not None

    @cached_property
    def names(self) -> list[str]:
        """The identifiers, each once; neither brands nor products, nor what any code may raise."""
        brands = KNOWN.words("brands")
        found = filter(is_identifier, tokens(PLACEHOLDER.sub(" ", self.question)))
        own = (t for t in found if not (key(t) in brands or squash(t) in product_names() or hasattr(builtins, t)))
        return list(dict.fromkeys(islice(own, MOST_IDENTIFIERS)))

    @cached_property
    def said(self) -> Mapping[str, re.Match[str]]:
        """What it says in everyday words."""
        return everyday(self.question, self.names)

    @cached_property
    def beside(self) -> list[str]:
        """What stands beside its names, and does not only ask."""
        asking = KNOWN.words("asking")
        return [token for token in tokens(self.question) if key(token) not in asking and token not in self.names]

    @cached_property
    def is_short(self) -> bool:
        """A name and little else."""
        return len(self.beside) <= SHORT

    @cached_property
    def is_bare(self) -> bool:
        """Names, with their tool, and flags with their command: nothing is asked or said about them."""
        flags = any(name.startswith("--") for name in self.names)
        commands = KNOWN.words("verbs") | KNOWN.words("groups") if flags else frozenset[str]()
        beside = [self.respelled.get(word, word) for word in words_in(" ".join(self.beside))]
        return bool(self.names) and not self.said and commands.issuperset(map(singular, tools_in(beside)[1]))

    @cached_property
    def meant(self) -> list[str]:
        """Words that it has misspelt, and those that pages have for what it says in its own."""
        if self.is_bare:
            return []
        return [*dict.fromkeys(self.respelled.values()), *field_words(self.said)]

    def reworded(self, text: str) -> Iterator[Focus]:
        """The question as it is written, where more is read into it, and pages that are called what is."""
        if self.meant:
            yield Focus(text=text, weight=AS_WRITTEN)
            called = tuple(dict.fromkeys(key(word) for words in self.meant for word in words.split()))
            yield Focus(conditions=(AnyOf(field="names", values=called),), weight=AS_CALLED)

    def written(self) -> Iterator[str]:
        """How passages may write what is asked for: identifiers whole and by their last part, commands."""
        for name in self.names:
            last = SEPARATORS.split(name)[-1]
            yield from (name,) if last.lower() in KNOWN.words("endings") else (name, last)
        if self.command:
            yield " ".join(self.command)

    def looked_up(self) -> Iterator[Focus]:
        """Pages that are called so, passages that define it, passages that mention it.

        Only what is asked for and nothing more leads: of the tool that is named, and of others only where that stands
        within the name. In a longer question it is one word of several, and says little if it may be no code at all.
        """
        weight = 1.0 if self.is_bare else BESIDE if self.is_short else IN_PASSING
        places: list[tuple[tuple[AnyOf, ...], float, int]] = [((), 1.0, int(self.is_bare))]
        if own := of_tools(self.tools):
            places = [(own, 1.0, 2 * self.is_bare), ((), OF_OTHERS, int(self.is_bare and not self.beside))]
        for name in self.names if self.is_short else filterfalse(_is_plain, self.names):
            for (field, share), (of, part, leads) in product(FIELDS, places):
                called = AnyOf(field=field, values=_keys(name))
                yield Focus(conditions=(called, *of), weight=share * part * weight, leads=leads)
            missing = None if self._may_be_own(name) or self._of_tool(name) else name
            yield Focus(conditions=_all(_ends(name)), weight=max(weight, MENTIONED), missing=missing)

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

    def by_side(self) -> Iterator[Focus]:
        """Each side of "X vs Y" by itself, with its tool; a single word with all that is asked."""
        for side in self.sides:
            yield Focus(conditions=of_tools(tools_in(words_in(side))[0]), text=side if " " in side else None)

    def _of_tool(self, name: str) -> list[str]:
        """In a short question, the name beside the one tool that is to have it: `fastembed AudioEmbedding`."""
        of_one = self.is_short and len(self.tools) == 1 and not self._may_be_own(name)
        return [*self.tools, name] if of_one and squash(self.tools[0]) not in parts_of(name) else []

    def absent(self) -> Iterator[Focus]:
        """What only its tool can have: a command, a version, a plugin; a model by its full name; a tool itself."""
        versions = [
            [tool, word.removeprefix("v")]
            for place, word in enumerate([] if self.is_message else self.words)
            for tool in self.tools
            if VERSION.fullmatch(word) and "".join(self.words[:place]).endswith(squash(tool))
        ]
        told = [
            *versions,
            *filter(None, map(self._of_tool, self.names)),
            *([self.command] if self.command else []),
            *([one] for one in self._joined()),
            *([one] for one in tokens(self.question) if is_identifier(one) and squash(one) in product_names()),
        ]
        if not told and len(self.tools) == 1 and self.is_short and not self.names:  # in passing, a tool says little
            told = [self.tools]
        for names in told:
            yield Focus(conditions=_all(names), weight=UNHEARD, missing=" ".join(names))
        yield from self._unheard()
        for words in KNOWN.said("elsewhere", self.question.lower()):
            own, missing = of_tools(self.tools[:1]), f"nothing on {words}"
            yield Focus(conditions=own, text=words, worded=True, weight=UNHEARD, missing=missing)

    def _joined(self) -> Iterator[str]:
        """In a short question, plugins of a tool and models: `llm-teletext`, `bge-reranker-v9`."""
        for token in dict.fromkeys(tokens(self.question)) if self.is_short else ():
            parts = [squash(part) for part in token.split("-")]
            own = KNOWN.words("products").intersection(parts) or any(map(str.isdigit, token))
            if len(parts) > 1 and own and any(map(str.isalpha, token)) and token not in self.names:
                yield token

    def _unheard(self) -> Iterator[Focus]:
        """What tells of single words; a message has the asker's own, and everyday ones are read as those of pages."""
        if not self.is_message:
            parts = set(chain.from_iterable(map(words_in, self.names)))
            known = parts.union(read_as_others(self.said), *map(KNOWN.words, ("stop", "asking", "colloquial")))
            yield from unheard(self.question, known.__contains__, everyday=True)

    @cached_property
    def command(self) -> list[str]:
        """`uv rollback`, also as "does uv have a rollback command"; `uv cache defrag`."""
        asking = KNOWN.words("asking")
        said = [word for word in self.words if singular(word) not in asking | KNOWN.words("stop")]
        if self.is_message or self.names or len(said) < 2 or said[0] not in KNOWN.words("commands"):
            return []
        asked = all(word in said or singular(word) in asking for word in self.words)
        is_one = "command" in self.words or (asked and singular(said[-1]) in KNOWN.words("verbs"))
        in_group = len(said) == 3 and singular(said[1]) in KNOWN.words("groups")
        return said if (is_one and len(said) == 2) or in_group else []

    def _may_be_own(self, name: str) -> bool:
        """Of an error message, of the asker's own code, or of no code at all: its absence says nothing."""
        own = re.search(rf"\bmy {re.escape(name)}", self.question, re.IGNORECASE)
        return _is_plain(name) or own is not None or self.is_message


def _is_plain(name: str) -> bool:
    """`uv.lock`, or a full stop without its space."""
    return "_" not in name and name.islower() and not name.startswith("--")


def _ends(name: str) -> list[str]:
    """The first and the last part: `Class.method` may stand apart on its page."""
    parts = list(filter(squash, SEPARATORS.split(name)))
    return [parts[0], parts[-1]] if len(parts) > 1 else parts


def _keys(name: str) -> tuple[str, ...]:
    """As it is compared, also rightly spelled."""
    return tuple(dict.fromkeys(map(key, (name, respelled(name)))))


def _all(names: Sequence[str]) -> tuple[AnyOf, ...]:
    return tuple(AnyOf(field="mentions", values=_keys(name)) for name in names)


def _between(words: list[str], asking: frozenset[str]) -> list[str]:
    """From the first to the last word that is none of those that only ask."""
    kept = [place for place, word in enumerate(words) if word not in asking]
    return words[kept[0] : kept[-1] + 1] if kept else []


def _grams(words: list[str], length: int) -> tuple[str, ...]:
    """Runs of words, written together, that neither begin nor end with a word that names nothing."""
    stop = KNOWN.words("stop")
    runs: Iterable[list[str]] = (words[start : start + length] for start in range(len(words) - length + 1))
    return tuple(dict.fromkeys(singular("".join(run)) for run in runs if not stop & {run[0], run[-1]}))
