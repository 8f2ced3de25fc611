"""The application: every site's routes over one workspace, warmed up before it says that it is ready."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Route

from overfetch import SettingsError, Workspace, in_thread
from overfetch.leaving import threads
from overfetch.redacting import redacted
from overfetch.sites import Site, load_site, site_names
from overfetch_serve import problems
from overfetch_serve.access import DEADLINE, RAW_SCORES, SCHEMES
from overfetch_serve.agents.http import PATH, AgentsOverHttp
from overfetch_serve.bounds import Bounded
from overfetch_serve.folders import folder_site
from overfetch_serve.metrics import VERSION
from overfetch_serve.routes import (
    chat,
    described,
    documents,
    embeddings,
    jobs,
    listing,
    operations,
    page,
    reranking,
    searching,
    sites,
)
from overfetch_serve.routes.reranking import WARNINGS
from overfetch_serve.service import Service
from overfetch_serve.settings import ServiceSettings, listed, read_settings
from overfetch_serve.watching import REQUEST_ID, RERANK_STATUS, Watched

log = logging.getLogger(__name__)

SAMPLED_EVERY_S = 1.0
TAKEN = ("jobs", "models")  # /v1/NAME/... is the service's own
OF_VENDORS = (reranking.router, embeddings.router, chat.router, listing.router)  # before what could be sites' names
# They are looked through in turn: what is asked most, and no other's path looks like, comes first.
ROUTERS = (
    searching.router,
    page.router,
    described.router,
    operations.router,
    *OF_VENDORS,
    jobs.router,
    documents.router,
    sites.router,
)


def create_app(
    served: Sequence[Site | str] | None = None,
    *,
    workspace: Workspace | None = None,
    settings: ServiceSettings | None = None,
) -> FastAPI:
    """Serves the sites (objects, names of installed ones, or folders of documents), by default all installed ones.

    Its lifespan warms up; mounted into another application, that one's has to enter `app.router.lifespan_context`.
    Raises SettingsError on an unknown site.
    """
    chosen = settings or read_settings()
    service = Service(find_sites(served, chosen), workspace or Workspace(), chosen)
    app = FastAPI(
        title="Overfetch",
        summary="Two-stage retrieval: retrieve 20, read 20, keep 5.",
        description=f"A request has {chosen.longest_deadline_ms:g} ms at most, also where it asks for more.",
        version=VERSION,
        lifespan=_lifespan,
        dependencies=SCHEMES,
        responses=problems.responses(),
        docs_url=None,  # FastAPI's read scripts from elsewhere
        redoc_url=None,
    )
    app.state.service = service
    app.add_middleware(Bounded, settings=chosen)
    _watch(app, service)
    app.state.agents = AgentsOverHttp(service)
    problems.install(app)
    for router in ROUTERS:
        app.include_router(router)
    app.router.routes.append(Route(PATH, app.state.agents, methods=["POST"]))  # it has no stream of its own to offer
    return app


def find_sites(served: Sequence[Site | str] | None, settings: ServiceSettings) -> list[Site]:
    """Raises SettingsError on an unknown site, and where two have one name, or one a name of the service's own."""
    named = served or listed(settings.sites) or site_names()
    sites = [one if isinstance(one, Site) else _find_site(one) for one in named]
    for name, count in Counter(site.name for site in sites).items():
        if count > 1:
            raise SettingsError(f"{count} sites are called {name!r}, and would be one: rename a site, or its folder")
        if name in TAKEN:
            raise SettingsError(
                f"a site {name!r} cannot be served: /v1/{name} is the service's own address; rename it, or its folder"
            )
    return sites


def _find_site(named: str) -> Site:
    return folder_site(Path(named)) if Path(named).is_dir() else load_site(named)


def _watch(app: FastAPI, service: Service) -> None:
    """The one added last is the outermost: what CORS refuses is seen too."""
    origins = listed(service.settings.cors_origins)
    if origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["GET", "POST", "PUT", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "X-API-Key", DEADLINE, RAW_SCORES, REQUEST_ID],
            expose_headers=[REQUEST_ID, RERANK_STATUS, WARNINGS, "Retry-After"],
        )
    app.add_middleware(Watched, watching=service.watching)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    service: Service = app.state.service
    with threads(service.settings.threads):
        await in_thread(service.warm_up)  # what can be served is; /readyz and the log say what cannot
        _tell(service)
        sampling = asyncio.create_task(_sample(service))
        try:
            async with app.state.agents.running():
                yield
        finally:
            sampling.cancel()
            await in_thread(service.close)


def _tell(service: Service) -> None:
    environment = service.workspace.environment
    sites, store = ", ".join(service.sites), redacted(environment.store_address)
    keys = service.settings.keys or "none"
    log.info("overfetch-serve %s: %s; profile %s, store %s, keys %s", VERSION, sites, environment.profile, store, keys)


async def _sample(service: Service) -> None:
    """Where another worker is asked for the figures, it knows those of this one."""
    while True:
        service.sample()
        await asyncio.sleep(SAMPLED_EVERY_S)
