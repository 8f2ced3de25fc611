"""A service over the real engine and the real mini models, on the sites' sample corpora."""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from language_model import Model
from listening import listening

from overfetch import Environment, Workspace
from overfetch_serve import create_app
from overfetch_serve.settings import ServiceSettings

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SITES = ("builddaily", "sagedaily")

Opened = Callable[..., FastAPI]
Unwarmed = Callable[..., AbstractContextManager[TestClient]]


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith(ServiceSettings.prefix):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def served_workspace(samples: Environment) -> Workspace:
    """Its models are loaded once; the store is opened again for each application."""
    return Workspace(samples)


@pytest.fixture
def opened(served_workspace: Workspace, tmp_path: Path) -> Opened:
    """Makes an application; keywords are settings of the service."""

    def make(**settings: object) -> FastAPI:
        chosen = ServiceSettings.model_validate({"state": tmp_path / "state", **settings})
        return create_app(SITES, workspace=served_workspace, settings=chosen)

    return make


@pytest.fixture
def unwarmed(opened: Opened) -> Unwarmed:
    """A client of an application that was not started: no model is loaded before a route needs it."""

    @contextmanager
    def make(
        client: tuple[str, int] = ("127.0.0.1", 50_000), headers: Mapping[str, str] | None = None, **settings: object
    ) -> Iterator[TestClient]:
        app = opened(**settings)
        yield TestClient(app, client=client, headers=dict(headers or {}))
        app.state.service.close()

    return make


@pytest.fixture
def client(opened: Opened) -> Iterator[TestClient]:
    """Of a service that asks for no key, warmed up."""
    with TestClient(opened()) as client:
        yield client


@pytest.fixture
def model() -> Iterator[Model]:
    model = Model()
    with model.running():
        yield model


@pytest.fixture
def asking(samples: Environment, model: Model, tmp_path: Path) -> Iterator[TestClient]:
    """A service whose questions that model answers."""
    answered_by = {"lm": "openai/rules", "lm_api_base": model.address, "lm_retries": 0}
    workspace = Workspace(samples.model_copy(update=answered_by))
    settings = ServiceSettings(state=tmp_path)
    with TestClient(create_app(["builddaily"], workspace=workspace, settings=settings)) as client:
        yield client


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """No longer than a module: its loop would stand in the way of tests that run their own."""
    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium")
    if program is None:
        pytest.skip("no Chromium is installed: apt-get install --no-install-recommends chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def address(samples: Environment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of a service that listens, warmed up."""
    settings = ServiceSettings(state=tmp_path_factory.mktemp("state"))
    with listening(create_app(SITES, workspace=Workspace(samples), settings=settings)) as address:
        yield address


@pytest.fixture
def page(browser: "Browser") -> Iterator["Page"]:
    """Fails where a script fails, a policy is broken, or anything is asked of another host."""
    context = browser.new_context(viewport={"width": 1_280, "height": 900})
    page = context.new_page()
    failed: list[str] = []
    page.on("pageerror", lambda error: failed.append(str(error)))
    page.on("console", lambda said: failed.append(said.text) if "Content Security" in said.text else None)
    page.on("request", lambda asked: None if asked.url.startswith("http://127.0.0.1:") else failed.append(asked.url))
    yield page
    context.close()
    assert failed == []
