"""What a DSPy module holds instead of a store."""

from collections.abc import Callable, Sequence
from typing import Any, Self, Unpack

from overfetch import Engine, Retrieval, SearchOptions, in_thread


class Retriever:
    """A question goes in, its retrievals come out.

    Optimisers copy a module dozens of times; models and stores behind it must not be copied along. So every copy
    of a retriever is the retriever itself, and since it is no DSPy parameter, saved programs know nothing of it.
    """

    def __init__(self, search: Callable[[str], Sequence[Retrieval]]) -> None:
        self._search = search

    @classmethod
    def fixed(cls, retrievals: Sequence[Retrieval]) -> Self:
        """Hands out retrievals that are already there, whatever the question."""
        return cls(lambda question: retrievals)

    @classmethod
    def of(cls, engine: Engine, collection: str, **options: Unpack[SearchOptions]) -> Self:
        """Searches one collection; `options` are those of `Engine.search`."""
        return cls(lambda question: (engine.search(collection, question, **options),))

    def __call__(self, question: str) -> tuple[Retrieval, ...]:
        return tuple(self._search(question))

    async def acall(self, question: str) -> tuple[Retrieval, ...]:
        """The same in a worker thread: the event loop stays free, and a cancelled task stops the search."""
        return await in_thread(self, question)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __reduce__(self) -> str:
        raise TypeError(
            "a Retriever is not pickled, since the store and the models behind it stay here: save the program's state "
            '(program.save("NAME.json") or overfetch_answers.save_program), and load it into a module with a Retriever'
        )
