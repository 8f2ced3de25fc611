"""A service over the real engine and the real mini models, on the sites' sample corpora."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from overfetch import Environment, Workspace
from overfetch_serve import create_app
from overfetch_serve.settings import ServiceSettings

SITES = ("builddaily", "sagedaily")

Opened = Callable[..., FastAPI]


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith(ServiceSettings.prefix):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def served_environment(tmp_path_factory: pytest.TempPathFactory, session_cache: Path) -> Environment:
    """One store for all tests that only search."""
    environment = Environment(qdrant=f"file:{tmp_path_factory.mktemp('served')}", cache=session_cache, lm=None)
    with Workspace(environment) as workspace:
        for site in SITES:
            engine = workspace.site(site)
            for collection in engine.site.collections:
                engine.index(collection.name)
    return environment


@pytest.fixture
def opened(served_environment: Environment, tmp_path: Path) -> Opened:
    """Makes an application; keywords are settings of the service."""

    def make(**settings: object) -> FastAPI:
        chosen = ServiceSettings.model_validate({"state": tmp_path / "state", **settings})
        return create_app(SITES, workspace=Workspace(served_environment), settings=chosen)

    return make


@pytest.fixture
def client(opened: Opened) -> Iterator[TestClient]:
    """Of a service that asks for no key, warmed up."""
    with TestClient(opened()) as client:
        yield client
