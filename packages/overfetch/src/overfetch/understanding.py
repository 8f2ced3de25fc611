"""How a collection reads the questions of its users: by rule, without a model and without a store."""

from collections.abc import Callable, Iterator, Sequence
from datetime import date
from typing import Annotated, Any

from pydantic import Field

from overfetch.filters import AnyOf, Condition
from overfetch.settings import Weight
from overfetch.types import Frozen

Place = Annotated[int, Field(ge=0, le=100)]
TELLING = 0.01  # weight of a list that only tells whether anything is there


class Focus(Frozen):
    """Passages that are also looked for by themselves, as a list of their own beside the question's.

    They meet the `conditions` and match `text`, by default the question's; with `worded`, they have one of its words.
    In the fusion by rank this list has `weight`, the question's own has 1. What `leads` stays before all else,
    whatever the second stage reads, and what leads by a larger number before what leads by a smaller one; of several
    focuses that lead alike, each has its turn: first the best of each, then the second ones. `missing` says what the
    question asks for and is not there, where nothing is found, nor by any other that says the same; nor, of a `worded`
    one, a passage with a word much like its own. What is only `among` so many passages is not asked of fewer. What is
    meant `unless` a passage has that word is not looked for where one has it, or a form of it: it is no mistake then.
    """

    conditions: tuple[Condition, ...] = ()
    text: str | None = None
    weight: Weight = 1.0
    worded: bool = False
    leads: Place = 0
    missing: str | None = None
    among: Annotated[int, Field(ge=0)] = 0
    unless: str | None = None

    @property
    def only_tells(self) -> bool:
        """Whether it looks for nothing but whether something is there."""
        return self.weight == TELLING and not self.leads


def absence(missing: str, *conditions: Condition, words: str | None = None, among: int = 0) -> Focus:
    """What finds next to nothing, and only tells: `missing` is there if a passage has one of the `words`, where given.

    >>> absence("no chakras", words="chakra chakras").worded
    True
    """
    worded = words is not None
    return Focus(conditions=conditions, text=words, worded=worded, weight=TELLING, missing=missing, among=among)


def looked_up(field: str, values: str | Sequence[str], *conditions: Condition, **options: Any) -> Iterator[Focus]:
    """A focus on what has one of the values, where there are any; `options` are a Focus's own.

    >>> [focus.leads for focus in looked_up("names", ["kia"], leads=3)], list(looked_up("names", []))
    ([3], [])
    """
    if values:
        found = AnyOf(field=field, values=(values,) if isinstance(values, str) else tuple(dict.fromkeys(values)))
        yield Focus(conditions=(found, *conditions), **options)


class Understood(Frozen):
    """What a question means: both stages read its `text`, and `conditions` bound what is searched.

    Conditions that nothing meets are given up. `named` is what the question names, as texts write it: what has one of
    these is quoted first. `notes` tell in words what was read into the question, for people.
    """

    text: str
    conditions: tuple[Condition, ...] = ()
    focuses: Annotated[tuple[Focus, ...], Field(max_length=32)] = ()
    named: Annotated[tuple[str, ...], Field(max_length=32)] = ()
    notes: tuple[str, ...] = ()

    @property
    def texts(self) -> list[str]:
        """All that is searched for, each once, the question's own first."""
        return list(dict.fromkeys([self.text, *(focus.text or self.text for focus in self.focuses)]))

    @property
    def asked(self) -> list[Condition]:
        """Every condition, its own and those of its focuses."""
        return [*self.conditions, *(condition for focus in self.focuses for condition in focus.conditions)]

    @property
    def embedded(self) -> list[str]:
        """What of it needs a vector: a `worded` focus looks by words alone."""
        near = (focus.text or self.text for focus in self.focuses if not focus.worded)
        return list(dict.fromkeys([self.text, *near]))

    def on(self, fields: set[str], passages: int) -> "Understood":
        """What of it can be asked of so many passages that have no other `fields`, as those indexed before it could."""
        asked = (f for f in self.focuses if {c.field for c in f.conditions} <= fields and f.among <= passages)
        conditions = tuple(c for c in self.conditions if c.field in fields)
        return self.model_copy(update={"conditions": conditions, "focuses": tuple(asked)})


Understand = Callable[[str, date], Understood]
"""Reads a question as asked on a day, so that "last spring" is one: the day of `as_of`, else today."""


def literally(question: str, _day: date) -> Understood:
    """The question as it is written."""
    return Understood(text=question)
