"""Which rerankers and embedders are served, by the names that clients know them by."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeVar

from overfetch.errors import SettingsError
from overfetch.models import ModelSpec, Profile
from overfetch.workspace import Workspace
from overfetch_serve.errors import NotFound
from overfetch_serve.in_time import InTime
from overfetch_serve.settings import ServiceSettings, listed
from overfetch_serve.vendors.embedding import TextEmbedder, TextKind
from overfetch_serve.vendors.ranking import Ranker

Found = TypeVar("Found", Ranker, TextEmbedder)

SUFFIXES: dict[str, TextKind] = {":query": "query", ":passage": "passage"}


class Named(NamedTuple):
    """An embedder, and what the suffix of its name says that the texts are."""

    embedder: TextEmbedder
    kind: TextKind | None


class Catalogue:
    """Each model goes by its profile's name, its own, and its repository's; `aliases` by what they stand for."""

    def __init__(self, workspace: Workspace, settings: ServiceSettings, sites: Sequence[str]) -> None:
        """Loads nothing. Raises SettingsError on an unknown profile, or an alias of what is not served."""
        profiles = [workspace.environment.pair(name) for name in (None, *listed(settings.profiles))]
        self.rankers: dict[str, Ranker] = {}
        self.embedders: dict[str, TextEmbedder] = {}
        self.aliases = dict(_alias(one) for one in listed(settings.aliases))
        for profile in profiles:
            self._add(profile, workspace)
        known = {*self.rankers, *self.embedders, *sites}
        for alias, meant in self.aliases.items():
            if meant.partition("/")[0] not in known and meant not in known:
                raise SettingsError(f"alias {alias!r} stands for {meant!r}, which is not served: {', '.join(known)}")

    def _add(self, profile: Profile, workspace: Workspace) -> None:
        embedder, reranker = workspace.embedder(profile.embedder), workspace.reranker(profile.reranker)
        known = [*self.embedders.values()]
        texts = next((one for one in known if one.embedder is embedder), None) or TextEmbedder(embedder)
        ranker = Ranker(embedder, InTime(reranker))
        self.rankers |= {name: self.rankers.get(name, ranker) for name in _names(profile, profile.reranker)}
        self.embedders |= {name: self.embedders.get(name, texts) for name in _names(profile, profile.embedder)}

    def meant(self, name: str) -> str:
        """What an alias stands for, or the name itself."""
        return self.aliases.get(name, name)

    def ranker(self, name: str | None) -> Ranker:
        """By default the first. Raises NotFound naming those there are."""
        return self._find(next(iter(self.rankers)) if name is None else name, self.rankers, "reranker")

    def embedder(self, name: str) -> Named:
        """Raises NotFound naming those there are."""
        suffix = next((suffix for suffix in SUFFIXES if name.endswith(suffix)), "")
        return Named(self._find(name.removesuffix(suffix), self.embedders, "embedder"), SUFFIXES.get(suffix))

    def names(self, of: Mapping[str, object]) -> list[str]:
        """Of the models in `of`, aliases too."""
        return [*of, *(alias for alias, meant in self.aliases.items() if meant in of)]

    def warm_up(self) -> None:
        for ranker in {*self.rankers.values()}:
            ranker.embedder.warm_up()
            ranker.reranker.warm_up()

    def _find(self, name: str, of: Mapping[str, Found], kind: str) -> Found:
        found = of.get(self.meant(name))
        if found is None:
            raise NotFound(f"no {kind} {name!r} is served; these are: {', '.join(self.names(of))}")
        return found


def _names(profile: Profile, spec: ModelSpec) -> dict[str, None]:
    return dict.fromkeys((profile.name, spec.name, spec.repo, spec.known_as))


def _alias(given: str) -> tuple[str, str]:
    alias, equals, meant = given.partition("=")
    if not (alias and equals and meant):
        raise SettingsError(
            f"OVERFETCH_SERVE_ALIASES has {given!r}; write ALIAS=MODEL, such as rerank-v3.5=mini, with commas between"
        )
    return alias, meant
