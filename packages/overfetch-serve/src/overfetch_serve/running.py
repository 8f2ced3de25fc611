"""A server with one or more workers: what it serves is indexed first, and only this machine is served without keys."""

import asyncio
import errno
import logging
import logging.config
import os
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI
from starlette.middleware import Middleware

from overfetch import SettingsError, Site, Workspace
from overfetch.cli.console import index_with_progress
from overfetch.cli.terminal import notice
from overfetch.indexing import IndexReport
from overfetch_serve.agents.server import Agents, serve_stdio
from overfetch_serve.app import create_app, find_sites
from overfetch_serve.connections import PatientProtocol
from overfetch_serve.draining import leaving_first
from overfetch_serve.folders import folder_of, require_own
from overfetch_serve.keys import ANYBODY
from overfetch_serve.logs import CONFIG
from overfetch_serve.metrics import share_between_workers
from overfetch_serve.own_pages import OwnPages
from overfetch_serve.service import Service
from overfetch_serve.settings import LOOPBACK, ServiceSettings, listed, read_settings
from overfetch_serve.tracing import export_where_asked

log = logging.getLogger(__name__)

APPLICATION = "overfetch_serve.running:application"


def application() -> FastAPI:
    """What each worker serves: the variables say what, and where spans go."""
    export_where_asked()
    app = create_app()
    service: Service = app.state.service
    if service.keys is None:  # else a page of any site could ask, by this machine's name or one of its own
        own = Middleware(OwnPages, allowed=listed(service.settings.cors_origins))
        app.user_middleware.insert(1, own)  # within the outermost, which sees what is refused
    serving = app.router.lifespan_context

    @asynccontextmanager
    async def leaving(app: FastAPI) -> AsyncIterator[Any]:
        with leaving_first(service):
            async with serving(app) as state:
                yield state

    app.router.lifespan_context = leaving
    return app


def run(served: Sequence[str], host: str, port: int, workers: int) -> None:
    """Serves until it is told to end. Raises SettingsError."""
    settings = _settings_with(served)
    if settings.keys is None and host not in (*LOOPBACK, "localhost"):
        raise SettingsError(
            f"{host!r} is open to others, and OVERFETCH_SERVE_KEYS names no file of keys: "
            "make one by `overfetch keys add`, or serve 127.0.0.1"
        )
    require_free(host, port)
    logging.config.dictConfig(CONFIG)
    index_missing(find_sites(None, settings))
    if workers > 1:
        share_between_workers(settings.state / "metrics")
    uvicorn.run(
        APPLICATION,
        factory=True,
        host=host,
        port=port,
        workers=workers,
        access_log=False,
        log_config=CONFIG,
        **server_options(settings),
    )


def require_free(host: str, port: int) -> None:
    """Before what takes long, and changes what is stored. Raises SettingsError."""
    try:
        socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except OSError as error:
        found = "is taken" if error.errno == errno.EADDRINUSE else f"cannot be listened at ({error.strerror})"
        raise SettingsError(f"{host}:{port} {found}: give another --host or --port (0: a free one)") from error


def server_options(settings: ServiceSettings) -> dict[str, Any]:
    """What bounds the connections of a server, and its end."""
    return {
        "http": PatientProtocol,
        "ws": "none",
        "limit_concurrency": settings.connections,
        "h11_max_incomplete_event_size": settings.head_bytes,
        "timeout_keep_alive": settings.head_timeout_s,
        "timeout_graceful_shutdown": round(settings.drain_s),
        "server_header": False,
    }


def run_mcp(served: Sequence[str]) -> None:
    """Serves whoever started it, until that side closes. Raises SettingsError."""
    settings = _settings_with(served)
    sites = find_sites(None, settings)
    index_missing(sites)
    with Workspace(report=notice) as workspace:
        asyncio.run(serve_stdio(Agents(Service(sites, workspace, settings), lambda context: ANYBODY)))


def _settings_with(served: Sequence[str]) -> ServiceSettings:
    """The variables', and in them for the workers what the command line names."""
    if served:
        os.environ["OVERFETCH_SERVE_SITES"] = ",".join(served)
    return read_settings()


def index_missing(sites: Sequence[Site]) -> None:
    """Folders are made equal to what they hold; of other sites what was never indexed is, from their sample."""
    with Workspace(report=notice) as workspace:
        for site in sites:
            engine = workspace.site(site)
            require_own(engine)
            folder = folder_of(site)
            for collection in site.collections:
                if folder is not None:
                    _tell(index_with_progress(engine, collection.name, folder))
                elif collection.sample.exists() and not engine.is_indexed(collection.name):
                    _tell(index_with_progress(engine, collection.name))


def _tell(report: IndexReport) -> None:
    """What is removed may have been put over HTTP."""
    log.log(
        logging.WARNING if report.removed else logging.INFO,
        "%s was indexed: passages: %s added, %s changed, %s removed, %s kept",
        report.collection,
        report.added,
        report.changed,
        report.removed,
        report.kept,
    )
